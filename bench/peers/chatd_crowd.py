"""Clients with conversations in common, and a poster who writes in all of these.

Each client is in two or three groups of about `GROUP_MEMBERS`, and has a direct conversation with
the poster. Messages are numbered through: those of one conversation are one range of numbers, sent
in their order.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bench.errors import BenchError
from bench.markers import content, padding
from bench.plan import Seat
from chatd.delivery.pages import PAGE
from testclients.client import ChatClient
from testclients.errors import ClientError

GROUP_MEMBERS: Final = 100
SEEN: Final = 100
"""Messages of a group that its members have when they are cut off: so the page that they come back
to is one of which they have a part."""
SEEN_DIRECT: Final = 1
MISSED_DIRECT: Final = 10
_LEAST_GROUPS: Final = 3
_POST_AT_ONCE: Final = 128
"""Conversations that are written to at a time."""


@dataclass
class Conversation:
    group_id: str
    """Empty for a direct one."""
    to: str
    """The other of a direct one."""
    numbers: range
    seen: int
    """How many of the numbers are sent before the cut."""
    id: str = ""
    """Known when something was posted."""
    head: int = 0


@dataclass
class Crowd:
    url: str
    token: str
    """The poster's."""
    size: int
    """Bytes of content."""
    seats: list[Seat]
    conversations: list[Conversation]
    of_seat: list[list[Conversation]]

    def post_seen(self) -> None:
        """Post what the clients have when they are cut.

        Raises:
            BenchError: a post was refused.
        """
        self._post([(one, one.numbers[: one.seen]) for one in self.conversations])

    def post_missed(self) -> None:
        """Post what comes while they are away; raises as `post_seen`."""
        self._post([(one, one.numbers[one.seen :]) for one in self.conversations])

    def pages_needed(self, positions: Mapping[str, int]) -> int:
        """Different pages in which there is something after these positions, by conversation."""
        return sum(
            len(range(positions[one.id] // PAGE, (one.head - 1) // PAGE + 1))
            for one in self.conversations
        )

    def _post(self, work: Sequence[tuple[Conversation, range]]) -> None:
        try:
            asyncio.run(self._post_all(work))
        except ClientError as error:
            raise BenchError(f"chatd takes no message: {error}") from None

    async def _post_all(self, work: Sequence[tuple[Conversation, range]]) -> None:
        gate = asyncio.Semaphore(_POST_AT_ONCE)
        filling = padding(self.size)

        async def post(poster: ChatClient, conversation: Conversation, numbers: range) -> None:
            async with gate:
                for number in numbers:
                    text = content(number, 0, filling)
                    if conversation.group_id:
                        ack = await poster.send_group(conversation.group_id, text)
                    else:
                        ack = await poster.send_direct(conversation.to, text)
                    assert ack.seq is not None
                    conversation.id = ack.group_id or ack.chat_id or ""
                    conversation.head = ack.seq

        async with _poster(self.url, self.token) as poster:
            await asyncio.gather(*(post(poster, *one) for one in work))


def memberships(clients: int) -> list[list[int]]:
    """The members of each group, by number: every client is in two groups, every other one in a
    third."""
    slots = [client for client in range(clients) for _ in range(2 + client % 2)]
    groups = max(len(slots) // GROUP_MEMBERS, _LEAST_GROUPS)
    return [slots[first::groups] for first in range(groups)]


async def make_groups(url: str, token: str, members: Iterable[Sequence[str]]) -> list[str]:
    """Make a group for each list of members; their ids.

    Raises:
        ClientError: chatd does not do it.
    """
    made = []
    async with _poster(url, token) as poster:
        for number, users in enumerate(members):
            made.append(await poster.create_group(f"bench {number}", list(users)))
    return [success.group_id or "" for success in made]


def conversations_of(
    group_ids: Sequence[str], members: Sequence[Sequence[int]], users: Sequence[str], missed: int
) -> tuple[list[Conversation], list[list[Conversation]]]:
    """All conversations, the groups first, and those of each client."""
    every: list[Conversation] = []
    of_client: list[list[Conversation]] = [[] for _ in users]
    following = 0
    for group_id, theirs in zip(group_ids, members, strict=True):
        numbers = range(following, following + SEEN + missed)
        following = numbers.stop
        every.append(Conversation(group_id, "", numbers, SEEN))
        for client in theirs:
            of_client[client].append(every[-1])
    for client, user in enumerate(users):
        numbers = range(following, following + SEEN_DIRECT + MISSED_DIRECT)
        following = numbers.stop
        every.append(Conversation("", user, numbers, SEEN_DIRECT))
        of_client[client].append(every[-1])
    return every, of_client


@asynccontextmanager
async def _poster(url: str, token: str) -> AsyncIterator[ChatClient]:
    """A connection that is sent nothing of what was, and whose pushes are thrown away."""
    async with ChatClient.connect(url, token, resume=True) as poster:

        async def throw_away() -> None:
            while True:
                await poster.pushes.get()

        throwing = asyncio.create_task(throw_away())
        try:
            yield poster
        finally:
            throwing.cancel()
