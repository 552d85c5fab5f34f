"""PostgreSQL commits and its reply is lost: what was said is there once, everybody is told, and who
asks again gets the first answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import (
    GroupMemberJoined,
    MessageDeleted,
    OneToOneChat,
    Reaction,
    ServerFrame,
    Success,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, history, names, post, refusal
from tests.e2e.town import Town, chat_of, contents, everything
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node
from tests.support.nodes_together import nodes_together
from tests.support.stored import message_store, rows, until_so
from tests.support.unheard import UnheardProxy

pytestmark = pytest.mark.slow
SECONDS: Final = 90.0
FOUND_SECONDS: Final = 40.0
"""Another node compares heads every ten."""
COUNT: Final = "SELECT count(*) FROM ledger WHERE conversation_id = $1"


class Pair(NamedTuple):
    here: Node
    """Its replies may be lost."""
    there: Node
    proxy: UnheardProxy
    backends: Backends


@pytest.fixture(scope="module")
def pair(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with UnheardProxy.before(backends.database_url) as proxy:
        settings = [{"database_url": proxy.url}, {}]
        folder = tmp_path_factory.mktemp("pair")
        with nodes_together(folder, backends, settings) as (here, there):
            yield Pair(here, there, proxy, backends)
            complaints = here.complaints + there.complaints
            assert [one for one in complaints if "senders must repeat" not in one] == []


class Scene(NamedTuple):
    """Ann and Ben are on the node whose replies are lost, Cat is on the other."""

    pair: Pair
    ann: ChatClient
    ben: ChatClient
    cat: ChatClient
    place: Place
    """A group of theirs."""
    head: int

    async def lose_reply(self, request: requests.Request, words: str) -> None:
        """Ann asks, and the reply of the database to what has these words is lost."""
        self.pair.proxy.keep_reply_to(words.encode())
        asking = asyncio.create_task(refusal(self.ann, request))
        await until(lambda: self.pair.proxy.has_heard, "it is asked")
        await self.is_committed(self.place.id, self.head + 1)
        self.pair.proxy.lose()
        assert await asking is ErrorCode.UNAVAILABLE

    async def is_committed(self, conversation_id: str, count: int) -> None:
        """Until the ledger has so many events of the conversation."""

        async def has_them() -> bool:
            ((found,),) = await rows(self.pair.backends.database_url, COUNT, conversation_id)
            return bool(found >= count)

        await until_so(has_them, "it is committed", seconds=FOUND_SECONDS)

    async def is_told(self, kind: type[ServerFrame]) -> list[ServerFrame]:
        """The next of a type that Ben and Cat are told."""
        return [await one.next_push(kind, timeout=FOUND_SECONDS) for one in (self.ben, self.cat)]


@asynccontextmanager
async def scene(pair: Pair) -> AsyncIterator[Scene]:
    async with Town(pair.here) as here, Town(pair.there) as there:
        ann, ben, cat = await here.settle_all("ann", "ben", "cat")
        # Ann is told of what she caused, since she has no ack of it, and then has one nevertheless.
        writer = await here.connect(ann, positions=None)
        others = [await here.connect(ben), await there.connect(cat)]
        place = await club(writer, *others)
        head = (await history(writer, place)).head_seq
        yield Scene(pair, writer, others[0], others[1], place, head)


@pytest.mark.parametrize("kind", ["direct", "group"])
def test_a_post_is_there_once_and_its_repeat_is_a_duplicate(kind: str, pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            if kind == "direct":
                await post(s.cat, chat(s.ann, s.cat), "hello")
                await s.ann.next_push(OneToOneChat)
                s = s._replace(place=chat(s.ann, s.cat), head=1)
            request: requests.Request = (
                requests.OneToOneChat(to=s.cat.user, content="once", client_msg_id="the key")
                if kind == "direct"
                else requests.GroupChat(
                    group_id=s.place.id, content="once", client_msg_id="the key"
                )
            )
            await s.lose_reply(request, "the key")
            told = [s.cat, s.ann] if kind == "direct" else [s.ben, s.cat, s.ann]
            for client in told:
                frame = await client.next_push(
                    lambda frame: contents([frame]) == ["once"], timeout=FOUND_SECONDS
                )
                assert getattr(frame, "seq", None) == s.head + 1
            again = await frames.ask(s.ann, request)
            assert (again.seq, again.duplicate) == (s.head + 1, True)
            for client in told:
                assert contents(await everything(client)) == []
            for client in (s.ann, s.cat):
                messages = (await history(client, s.place)).messages
                assert [message.id for message in messages if message.content == "once"] == [
                    again.id
                ]
            await is_stored(pair, s.place.id, s.head + 1)

    run(main(), seconds=SECONDS)


def test_who_repeats_at_once_gets_the_first_ack(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            request = requests.GroupChat(
                group_id=s.place.id, content="once", client_msg_id="at once"
            )
            await s.lose_reply(request, "at once")
            again = await frames.ask(s.ann, request)
            assert (again.seq, again.duplicate) == (s.head + 1, True)
            live = await post(s.cat, s.place, "afterwards")
            assert live.seq == s.head + 2
            assert again.id is not None
            for client in (s.ben, s.cat):
                await client.next_push(names(again.id), timeout=FOUND_SECONDS)
            await s.ben.next_push(names(live.id), timeout=FOUND_SECONDS)

    run(main(), seconds=SECONDS)


def test_a_reaction_is_there_once(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            message = await post(s.cat, s.place, "hello")
            s = s._replace(head=message.seq)
            request = requests.React(group_id=s.place.id, id=message.id, emoji="🎉")
            await s.lose_reply(request, "🎉")
            for frame in await s.is_told(Reaction):
                assert isinstance(frame, Reaction)
                assert (frame.from_, frame.seq) == (s.ann.user, s.head + 1)
            again = await frames.ask(s.ann, request)
            assert (again.seq, again.duplicate) == (s.head + 1, True)
            (shown,) = (await history(s.cat, s.place)).messages
            assert shown.reactions == {"🎉": [s.ann.user]}
            await is_stored(pair, s.place.id, s.head + 1)

    run(main(), seconds=SECONDS)


def test_a_delete_is_told_within_a_second_or_two(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            message = await post(s.ann, s.place, "a secret")
            s = s._replace(head=message.seq)
            request = requests.DeleteMessage(group_id=s.place.id, id=message.id)
            await s.lose_reply(request, "COMMIT")
            for frame in await s.is_told(MessageDeleted):
                assert isinstance(frame, MessageDeleted)
                assert (frame.id, frame.seq) == (message.id, s.head + 1)
            again = await frames.ask(s.ann, request)
            assert (again.seq, again.duplicate) == (s.head + 1, True)
            for client in (s.ann, s.cat):
                (shown,) = (await history(client, s.place)).messages
                assert (shown.deleted, shown.content) == (True, "")
            await is_stored(pair, s.place.id, s.head + 1)

    run(main(), seconds=SECONDS)


def test_who_has_joined_without_hearing_so_is_in(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            made = await s.cat.create_group("open", open=True)
            assert made.group_id is not None
            s = s._replace(place=Place(group_id=made.group_id), head=1)
            await s.lose_reply(requests.JoinGroup(group_id=made.group_id), made.group_id)
            frame = await s.cat.next_push(GroupMemberJoined, timeout=FOUND_SECONDS)
            assert (frame.username, frame.seq) == (s.ann.user, 2)
            said = await post(s.cat, s.place, "welcome")
            await s.ann.next_push(names(said.id), timeout=FOUND_SECONDS)
            answer = await post(s.ann, s.place, "thanks")
            await s.cat.next_push(names(answer.id), timeout=FOUND_SECONDS)

    run(main(), seconds=SECONDS)


async def is_stored(pair: Pair, conversation_id: str, head: int) -> None:
    """Until Cassandra has everything of a conversation."""
    async with message_store(pair.backends) as store:

        async def has_all() -> bool:
            events = await store.read(conversation_id, after=0, before=head + 1, limit=head)
            return [event.seq for event in events] == list(range(1, head + 1))

        await until_so(has_all, "Cassandra has everything", seconds=FOUND_SECONDS)


def test_a_conversation_that_begins_so_is_there_once(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            conversation = chat_of(s.ann, s.cat)
            s = s._replace(place=Place(chat_id=conversation), head=0)
            request = requests.OneToOneChat(
                to=s.cat.user, content="hello", client_msg_id="the first"
            )
            await s.lose_reply(request, "the first")
            frame = await s.cat.next_push(
                lambda frame: contents([frame]) == ["hello"], timeout=FOUND_SECONDS
            )
            assert getattr(frame, "seq", None) == 1
            again = await frames.ask(s.ann, request)
            assert isinstance(again, Success) and (again.seq, again.duplicate) == (1, True)
            live = await post(s.cat, s.place, "an answer")
            await s.ann.next_push(names(live.id), timeout=FOUND_SECONDS)

    run(main(), seconds=SECONDS)


def test_who_could_not_be_put_into_a_conversation_is_put_there_later(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            conversation = chat_of(s.ann, s.cat)
            membership = b"%b\0\0\0%c%b" % (
                conversation.encode(),
                len(s.ann.user),
                s.ann.user.encode(),
            )
            # Once when the bus tells of it, and once when the change feed does.
            pair.proxy.keep_reply_to(membership)
            await post(s.cat, chat(s.ann, s.cat), "one")
            for _ in range(2):
                await until(lambda: pair.proxy.has_heard, "her node asks whether she is in it")
                pair.proxy.keep_reply_to(membership)
                pair.proxy.lose()
            await until(lambda: pair.proxy.has_heard, "it asks again")
            pair.proxy.lose()
            await post(s.cat, chat(s.ann, s.cat), "two")
            for text in ("one", "two"):
                frame = await s.ann.next_push(OneToOneChat, timeout=FOUND_SECONDS)
                assert frame.content == text

    run(main(), seconds=SECONDS)
