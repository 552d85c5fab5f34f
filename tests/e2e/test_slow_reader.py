"""A reader that is slower than it is sent to: it is told, costs nobody else anything, and ends
complete."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from protocol import requests
from protocol.codec import encode
from protocol.pushes import GroupCreated
from protocol.requests import Request
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, post
from tests.e2e.rest import add, remove
from tests.e2e.test_backlog import rss_mib
from tests.e2e.town import Resident, Town
from tests.edge import raw
from tests.edge.raw import RawClient
from tests.support.loop import run
from tests.support.node import Node

CONTENT: Final = "x" * 16_000
POSTS: Final = 450
"""Of that size they are more than an outbox and the buffers of the system together."""
GROWTH_MIB: Final = 32


class Sleeper:
    """A connection that reads nothing until it is asked to, and then checks what it reads."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.last: dict[str, int] = {}
        """By conversation, the number up to which it has everything."""
        self.acked: dict[str, set[int]] = {}
        """What it posted itself: told by the ack alone."""
        self.resyncs: Counter[str] = Counter()
        self.resumes = False
        """It answers RESYNC with RESUME, though it need not."""

    async def send(self, request: Request) -> None:
        await self.client.send(raw.frame(raw.TEXT, encode(request)))

    async def next(self) -> dict[str, Any]:
        """The next frame, which must be in its place."""
        frame: dict[str, Any] = json.loads(await self.client.text())
        where = str(frame.get("groupId") or frame.get("chatId"))
        match frame["type"]:
            case "SUCCESS" if "seq" in frame:
                self.acked.setdefault(where, set()).add(frame["seq"])
            case "RESYNC":
                self.resyncs[where] += 1
                assert frame["afterSeq"] == self._up_to(where), "everything up to it has come"
                if self.resumes:
                    await self.send(requests.Resume(positions={where: frame["afterSeq"]}))
            case _ if "prev" in frame:
                assert frame["seq"] == self._up_to(where) + 1, f"{frame} after {self.last}"
                self.last[where] = frame["seq"]
        return frame

    async def read_up_to(self, heads: dict[str, int]) -> None:
        """Read until it has these numbers."""
        while any(self._up_to(where) < head for where, head in heads.items()):
            await self.next()

    def _up_to(self, where: str) -> int:
        last, acked = self.last.get(where, 0), self.acked.get(where, set())
        while last + 1 in acked:
            last += 1
        return last


@asynccontextmanager
async def asleep(node: Node, who: Resident) -> AsyncIterator[Sleeper]:
    async with await RawClient.connect(node.chat_port, reads_ahead=False) as client:
        await client.open(headers={"Authorization": f"Bearer {who.token}"})
        assert json.loads(await client.text())["type"] == "INFO"
        yield Sleeper(client)


async def fill(
    writer: ChatClient, reader: ChatClient, places: list[Place], posts: int = POSTS
) -> dict[str, int]:
    """Post more than a sleeper's buffers hold, while another member reads; the heads."""
    heads: dict[str, int] = {}
    for number in range(posts):
        place = places[number % len(places)]
        posted = await post(writer, place, f"{number} {CONTENT}")
        heads[place.id] = posted.seq
        if place.group_id is not None:
            # The others are not held up.
            await reader.next_push(frames.names(posted.id))
    return heads


@pytest.mark.parametrize("resumes", [False, True], ids=["does nothing", "resumes"])
def test_it_is_told_and_complete_when_it_wakes(resumes: bool, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            slow, ann, ben = await town.settle_all("slow", "ann", "ben")
            writer, reader = await town.connect_all(ann, ben)
            async with asleep(node, slow) as sleeper:
                sleeper.resumes = resumes
                places = [chat(ann, slow)]
                for _ in range(3):
                    made = await writer.create_group("club", [slow.name, ben.name])
                    await reader.next_push(GroupCreated)
                    places.append(Place(group_id=made.group_id))
                before = rss_mib(node)
                heads = await fill(writer, reader, places)
                assert rss_mib(node) - before < GROWTH_MIB
                await sleeper.read_up_to(heads)
                assert sleeper.last == heads
                assert sleeper.resyncs.keys() == heads.keys(), "of each it was told"
                for place in places:
                    posted = await post(writer, place, "live")
                    await sleeper.read_up_to({place.id: posted.seq})
                    assert sleeper.last[place.id] == posted.seq

    run(main())


def test_it_may_post_while_it_does_not_read(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            slow, ann, ben = await town.settle_all("slow", "ann", "ben")
            writer, reader = await town.connect_all(ann, ben)
            async with asleep(node, slow) as sleeper:
                made = await writer.create_group("club", [slow.name, ben.name])
                place = Place(group_id=made.group_id)
                await reader.next_push(GroupCreated)
                own = requests.GroupChat(group_id=made.group_id or "", content="I am here")
                for posts in (50, POSTS, 50):
                    await sleeper.send(own)
                    heads = await fill(writer, reader, [place], posts)
                await sleeper.read_up_to(heads)
                assert len(sleeper.acked[place.id]) == 3
                await sleeper.send(own)
                posted = await post(writer, place, "and you?")
                await sleeper.read_up_to({place.id: posted.seq})

    run(main())


def test_what_was_deleted_meanwhile_is_not_read_any_more(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            slow, ann, ben = await town.settle_all("slow", "ann", "ben")
            writer, reader = await town.connect_all(ann, ben)
            async with asleep(node, slow) as sleeper:
                made = await writer.create_group("club", [slow.name, ben.name])
                place = Place(group_id=made.group_id)
                await reader.next_push(GroupCreated)
                await fill(writer, reader, [place])
                secret = await post(writer, place, "the treasure lies under the old oak")
                deleted = await frames.delete(writer, place, secret.id)
                assert deleted.seq is not None
                while sleeper.last.get(place.id) != deleted.seq:
                    frame = await sleeper.next()
                    if frame.get("seq") == secret.seq:
                        assert frame["content"] == ""
                assert frame["type"] == "MESSAGE_DELETED"

    run(main())


def test_who_is_removed_meanwhile_is_told_and_sent_no_more(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            slow, ann, ben = await town.settle_all("slow", "ann", "ben")
            writer, reader = await town.connect_all(ann, ben)
            async with asleep(node, slow) as sleeper:
                made = await writer.create_group("club", [slow.name, ben.name])
                place = Place(group_id=made.group_id)
                await reader.next_push(GroupCreated)
                heads = await fill(writer, reader, [place])
                await remove(town, ann, place, slow)
                await post(writer, place, "without it")
                last = await post(writer, chat(ann, slow), "are you awake?")
                left = None
                while sleeper.last.get(chat(ann, slow).id) != last.seq:
                    frame = json.loads(await sleeper.client.text())
                    if frame["type"] == "GROUP_MEMBER_LEFT":
                        left = frame
                    elif frame.get("groupId") == place.id:
                        assert left is None, "nothing of the group comes after it"
                    else:
                        sleeper.last[frame["chatId"]] = frame["seq"]
                assert left is not None
                assert (left["username"], left["seq"]) == (slow.name, heads[place.id] + 1)

    run(main())


@pytest.mark.parametrize(
    "comes_back",
    [
        False,
        True,
    ],
)
def test_a_resume_under_way_ends_with_the_removal(comes_back: bool, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            slow, ann, ben = await town.settle_all("slow", "ann", "ben")
            writer, reader, phone = await town.connect_all(ann, ben, slow)
            place = await club(writer, reader, phone)
            heads = await fill(writer, reader, [place])
            await frames.ack(phone, place, heads[place.id])
            async with asleep(node, slow) as sleeper:
                # Everything was delivered to the user; this connection asks for it again.
                await sleeper.send(requests.Resume(ref="again", positions={place.id: 0}))
                await sleeper.read_up_to({place.id: 1})
                await remove(town, ann, place, slow)
                if comes_back:
                    # And may read from its return on.
                    await add(town, ann, place, slow)
                await sleeper.send(requests.Ping(ref="end"))
                came: list[dict[str, Any]] = []
                refs: set[str] = set()
                while refs != {"again", "end"}:
                    came.append(json.loads(await sleeper.client.text()))
                    refs.update(filter(None, [came[-1].get("ref")]))
                kinds = [frame["type"] for frame in came]
                after = came[kinds.index("GROUP_MEMBER_LEFT") + 1 :]
                events = [frame["seq"] for frame in after if "prev" in frame]
                assert events == [heads[place.id] + 2] * comes_back

    run(main())
