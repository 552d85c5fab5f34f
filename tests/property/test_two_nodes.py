"""Two nodes write to the same conversations, over a bus that loses and mixes up: every connection
has every event of its time in a conversation, once and in order.

One that posts to a conversation before its node delivers it may, seldom, be sent its own event
beside the ack; the id tells that it is the same.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from chatd.events import EventKind, GroupCreatedBody, MemberBody, decode_body
from chatd.stores.ledger import Entry, Outcome
from tests.support.builders import Core, Reader, create, direct, join, leave, post
from tests.support.nodes import Nodes, two_nodes
from tests.support.running import on_a_quick_loop

USERS = ("alice", "bob", "carol", "dave")
GROUPS = ("1", "2", "3")
STEPS = 120
SEEDS = 25
SECONDS = 8


class Story(NamedTuple):
    senders: list[str]
    stretches: dict[str, list[tuple[int, int | None]]]
    """The times of membership by user: from this event to that one."""


class Joined(NamedTuple):
    """A connection and what it did itself."""

    reader: Reader
    node: Core
    acked: dict[str, set[int]]


class Game:
    def __init__(self, nodes: Nodes, seed: int) -> None:
        self.nodes = nodes
        self.random = random.Random(seed)
        self.here: list[Joined] = []
        self.working: set[asyncio.Task[None]] = set()

    async def step(self) -> None:
        choice = self.random.randrange(10)
        if choice == 0 and len(self.here) < 8:
            self.start(self.connect())
        elif choice == 1 and self.here:
            gone = self.here.pop(self.random.randrange(len(self.here)))
            gone.reader.outbox.close()
            gone.node.subscriptions.disconnect(gone.reader.outbox)
        elif self.here:
            self.act(self.random.choice(self.here))
        if self.random.randrange(3) == 0:
            await asyncio.sleep(self.random.random() * 0.01)

    def start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.working.add(task)
        task.add_done_callback(self.working.discard)

    async def connect(self) -> None:
        node = self.random.choice(self.nodes.both)
        joined = Joined(Reader(self.random.choice(USERS)), node, {})
        await node.subscriptions.connect(joined.reader.outbox)
        self.here.append(joined)

    def act(self, joined: Joined) -> None:
        username = joined.reader.outbox.principal.username
        origin = joined.reader.outbox
        other = self.random.choice([name for name in USERS if name != username])
        group_id = self.random.choice(GROUPS)
        makers: list[Callable[[], Entry]] = [
            lambda: direct(username, other, origin=origin),
            lambda: post(group_id, username, origin=origin),
            lambda: post(group_id, username, origin=origin),
            lambda: post(group_id, username, origin=origin),
            lambda: create(group_id, username, [other], is_open=True, origin=origin),
            lambda: join(group_id, username, origin=origin),
            lambda: leave(group_id, username, origin=origin),
        ]
        entry = self.random.choice(makers)()

        def done(_: Entry, outcome: Outcome) -> None:
            if outcome.code is None:
                joined.acked.setdefault(entry.conversation_id, set()).add(outcome.seq)

        entry.done = done
        joined.node.journal.submit(entry)

    async def stories(self) -> dict[str, Story]:
        """What happened in each conversation."""
        ledger, stories = self.nodes.one.ledger, dict[str, Story]()
        names = [*GROUPS, *(f"{a}-{b}" for a in USERS for b in USERS if a < b)]
        for conversation_id, head in (await ledger.heads(names)).items():
            story = stories[conversation_id] = Story([], {})
            of = story.stretches
            for event in await ledger.read(conversation_id, limit=head):
                story.senders.append(event.sender)
                if event.kind is EventKind.DIRECT_MESSAGE and event.seq == 1:
                    of.update({username: [(1, None)] for username in conversation_id.split("-")})
                body = decode_body(event.kind, event.body)
                if isinstance(body, GroupCreatedBody):
                    of.update({username: [(1, None)] for username in body.members})
                elif isinstance(body, MemberBody) and event.kind is EventKind.MEMBER_JOINED:
                    of.setdefault(body.username, []).append((event.seq, None))
                elif isinstance(body, MemberBody):
                    of[body.username][-1] = of[body.username][-1][0], event.seq
        return stories


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_connection_has_everything_once_and_in_order(seed: int, tmp_path: Path) -> None:
    @on_a_quick_loop
    async def play() -> None:
        async with two_nodes(tmp_path, *USERS, seed=seed) as nodes:
            game = Game(nodes, seed)
            nodes.wire.is_bad = True
            for _ in range(STEPS):
                await game.step()
            if game.working:
                await asyncio.wait(game.working)
            for node in nodes.both:
                await node.journal.drain()
            nodes.wire.is_bad = False
            stories = await game.stories()
            wrong: list[str] = []

            def is_right() -> bool:
                wrong[:] = [words for joined in game.here for words in _anomalies(joined, stories)]
                return not wrong

            try:
                async with asyncio.timeout(SECONDS):
                    while not is_right():
                        for node in nodes.both:
                            # What the reconcilers do by themselves, more slowly.
                            await node.sequencer.check(node.hub.rooms)
                        await asyncio.sleep(0.01)
            except TimeoutError:
                pytest.fail("\n".join(wrong))

    play()


def _anomalies(joined: Joined, stories: dict[str, Story]) -> list[str]:
    username = joined.reader.outbox.principal.username
    found: list[str] = []
    for conversation_id, story in stories.items():
        sent = joined.reader.seqs(conversation_id)
        acked = joined.acked.get(conversation_id, set())
        has = acked | set(sent)
        stretches = story.stretches.get(username, [])
        name = f"{username} in {conversation_id}: sent {sent}, acked {sorted(acked)}"
        if sent != sorted(set(sent)):
            found.append(f"{name}: not once and in order")
        head = len(story.senders)
        may = {seq for first, last in stretches for seq in range(first, (last or head) + 1)}
        if not has <= may:
            found.append(f"{name}: may have {sorted(may)}")
        if stretches and stretches[-1][1] is None:
            # What its user wrote last before it came counts as delivered.
            must = {
                seq
                for seq in range(stretches[-1][0], head + 1)
                if story.senders[seq - 1] != username
            }
            if not must <= has:
                found.append(f"{name}: lacks {sorted(must - has)}, member {stretches}")
    return found
