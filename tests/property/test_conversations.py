"""A stateful model of conversations on the embedded ledger, hub, fan-out and catch-up.

Events are committed and released in two steps, so that connections come, go, stall, resume and
catch up between the two. What must be so is said in `model.py`.
"""

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chatd.delivery import pages
from chatd.delivery.lacking import take
from chatd.events import EventKind, MemberBody, MessageBody
from chatd.stores.ledger import Entry
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility
from protocol.pushes import Success
from protocol.requests import Resume
from tests.property.model import CONVERSATIONS, Logged, Period, Watched, check
from tests.support.builders import Core, Reader, Released, core, create, direct, join, leave, post
from tests.support.running import turns

USERS: Final = ("alice", "bob", "carol")
GROUP: Final = "7"
PAGE: Final = 3

users = st.sampled_from(USERS)
positions = st.dictionaries(
    st.sampled_from(CONVERSATIONS), st.integers(0, 5) | st.integers(0, 60), min_size=1
)


class Conversations(RuleBasedStateMachine):
    """Every released event was committed before; `delays_release` keeps the two apart."""

    delays_release = True
    history = HistoryVisibility.JOINED

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._runner = self._stack.enter_context(asyncio.Runner())
        opened = core(folder, *USERS)
        self.here: Core = self._run(opened.__aenter__())
        self._stack.callback(lambda: self._run(opened.__aexit__(None, None, None)))
        self.logs: dict[str, list[Logged]] = {name: [] for name in CONVERSATIONS}
        self.members: dict[str, set[str]] = {name: set() for name in CONVERSATIONS}
        self.unreleased: list[list[Released]] = []
        self.open: list[Watched] = []
        self.gone: list[Watched] = []
        self.texts = 0

    @initialize()
    def make_the_group(self) -> None:
        made = create(GROUP, "alice", ["bob"], is_open=True, history=self.history)
        self._commit([made], [None])
        self.release_all()

    # What users do.

    @rule(username=users, resumes=st.booleans())
    def connect(self, username: str, resumes: bool) -> None:
        if len(self.open) < 6:
            # A connection waits until what is committed is released; how the two mix is in
            # `tests/unit/services/test_subscriptions.py`.
            self.release_all()
            self._run(self._connect(username, resumes=resumes))

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 5), is_clean=st.booleans())
    def disconnect(self, at: int, is_clean: bool) -> None:
        watched = self.open.pop(at % len(self.open))
        self._run(self._disconnect(watched, is_clean))

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 5), takes_events=st.booleans())
    def stall(self, at: int, takes_events: bool) -> None:
        """A socket is slow: what is released is still written to it, or refused."""
        watched = self.open[at % len(self.open)]
        watched.is_slow = True
        if takes_events:
            watched.reader.outbox.pause()
        else:
            watched.reader.stall()

    @precondition(lambda self: any(watched.is_slow for watched in self.open))
    @rule(at=st.integers(0, 5))
    def sip(self, at: int) -> None:
        """A slow socket takes one write more."""
        watched = self.open[at % len(self.open)]
        if watched.is_slow:
            self._run(self._sip(watched))

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 5), positions=positions)
    def resume(self, at: int, positions: dict[str, int]) -> None:
        watched = self.open[at % len(self.open)]
        if watched.resuming is None or watched.resuming.done():
            self._run(self._resume(watched, positions))

    @precondition(lambda self: any(watched.is_slow for watched in self.open))
    @rule()
    def keep_up_again(self) -> None:
        self._run(self._wake())

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 5), to=st.sampled_from((GROUP, *USERS)), count=st.integers(1, 4))
    def post(self, at: int, to: str, count: int) -> None:
        """A connection posts, to the group or to another user."""
        reader = self.open[at % len(self.open)].reader
        sender = reader.outbox.principal.username
        if to == sender or (to == GROUP and sender not in self.members[GROUP]):
            return
        entries: list[Entry] = []
        for _ in range(count):
            self.texts += 1
            text = f"{self.texts}"
            origin = reader.outbox
            entries.append(
                post(GROUP, sender, text, origin=origin)
                if to == GROUP
                else direct(sender, to, text, origin=origin)
            )
        self._commit(entries, [reader] * count)

    @rule(username=st.sampled_from(("bob", "carol")))
    def join_or_leave(self, username: str) -> None:
        change = leave if username in self.members[GROUP] else join
        self._commit([change(GROUP, username)], [None])

    @precondition(lambda self: self.unreleased)
    @rule()
    def release(self) -> None:
        self._run(self._release(self.unreleased.pop(0)))

    @precondition(lambda self: self.unreleased)
    @rule()
    def release_all(self) -> None:
        while self.unreleased:
            self._run(self._release(self.unreleased.pop(0)))

    # What must be so.

    def numbers_are_dense_and_what_was_stored_is_what_was_asked_for(self) -> None:
        for conversation_id, log in self.logs.items():
            events = self._run(self.here.ledger.read(conversation_id, limit=10_000))
            assert [event.seq for event in events] == list(range(1, len(log) + 1))
            assert [event.sender for event in events] == [logged.sender for logged in log]

    @invariant()
    def every_connection_was_sent_what_it_should_be(self) -> None:
        for watched in self.open + self.gone:
            frames = watched.reader.frames()
            for conversation_id in CONVERSATIONS:
                log, room = self.logs[conversation_id], self.here.hub.rooms.get(conversation_id)
                check(watched, conversation_id, frames, log, room, is_gone=watched in self.gone)

    def teardown(self) -> None:
        try:
            self.release_all()
            self.keep_up_again()
            self.every_connection_was_sent_what_it_should_be()
            for username in USERS:
                self._run(self._connect(username))
            self.numbers_are_dense_and_what_was_stored_is_what_was_asked_for()
            self.every_connection_was_sent_what_it_should_be()
            for username in USERS:
                self._check_nothing_was_missed(username)
        finally:
            self._stack.close()

    def _check_nothing_was_missed(self, username: str) -> None:
        """What others wrote since the user is in a conversation was sent to some connection."""
        connections = [one for one in self.open + self.gone if one.username == username]
        for membership in self._run(self.here.store.memberships(username)):
            conversation_id = membership.conversation_id
            seen = {seq for one in connections for seq in one.reader.seqs(conversation_id)}
            claimed = max(one.claimed[conversation_id] for one in connections)
            first = max(membership.joined_seq, claimed + 1, 1)
            for seq in range(first, len(self.logs[conversation_id]) + 1):
                assert seq in seen or self.logs[conversation_id][seq - 1].sender == username

    # How it is done.

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    def _commit(self, entries: list[Entry], origins: list[Reader | None]) -> None:
        committed = self._run(self.here.commit(*entries))
        for (entry, outcome), origin in zip(committed, origins, strict=True):
            log = self.logs[entry.conversation_id]
            assert outcome.seq == len(log) + 1
            members = self.members[entry.conversation_id]
            about = ""
            if isinstance(entry.body, MemberBody):
                about = entry.body.username
                (members.add if entry.kind is EventKind.MEMBER_JOINED else members.discard)(about)
            elif entry.kind is EventKind.GROUP_CREATED:
                members |= {"alice", "bob"}
            else:
                assert isinstance(entry.body, MessageBody)
                about = entry.body.content
            log.append(Logged(entry.kind, entry.sender, origin, about))
        self.unreleased.append(committed)
        if not self.delays_release:
            self.release_all()

    async def _release(self, committed: list[Released]) -> None:
        for entry, outcome in committed:
            conversation_id = entry.conversation_id
            room = self.here.hub.rooms.get(conversation_id)
            was_live = set() if room is None else set(room.live)
            self.here.release((entry, outcome))
            logged = self.logs[conversation_id][outcome.seq - 1]
            for watched in self.open:
                period = watched.current(conversation_id)
                if logged.kind is EventKind.MEMBER_LEFT and logged.about == watched.username:
                    if period is not None:
                        period.removal = outcome.seq
                        period.end = max(outcome.seq, period.start)
                        period.owes_all = watched.reader.outbox in was_live
                elif period is None and self._begins(conversation_id, logged, watched, outcome.seq):
                    watched.periods[conversation_id].append(Period(outcome.seq - 1, outcome.seq))
        await self._quiet()

    def _begins(self, conversation_id: str, logged: Logged, watched: Watched, seq: int) -> bool:
        """Whether the event puts the connection's user into the conversation."""
        if conversation_id != GROUP:
            return seq == 1 and watched.username in conversation_id.split("-")
        if logged.kind is EventKind.GROUP_CREATED:
            return watched.username in ("alice", "bob")
        return logged.kind is EventKind.MEMBER_JOINED and logged.about == watched.username

    async def _connect(self, username: str, *, resumes: bool = False) -> None:
        watched = Watched(Reader(username, f"{len(self.open) + len(self.gone)}"))
        # Read as the connection itself will: nothing is committed in between.
        for membership in await self.here.store.memberships(watched.username):
            conversation_id = membership.conversation_id
            known = self.here.receipts.known(
                conversation_id, watched.username, membership.delivered
            )
            start = max(known, membership.floor)
            began = len(self.logs[conversation_id])
            watched.periods[conversation_id].append(Period(start, began, is_held=resumes))
        self.open.append(watched)
        await self.here.subscriptions.connect(watched.reader.outbox, resumes=resumes)
        await self._quiet()

    async def _disconnect(self, watched: Watched, is_clean: bool) -> None:
        outbox = watched.reader.outbox
        outbox.close()
        if is_clean:
            confirmed = outbox.take_confirmed(everything=True)
            self.here.receipts.delivered(watched.username, confirmed)
        self.here.subscriptions.disconnect(outbox)
        self.gone.append(watched)
        await self._quiet()
        assert watched.resuming is None or watched.resuming.done()

    async def _wake(self) -> None:
        for watched in self.open:
            watched.is_slow = False
            watched.reader.wake()
        await self._quiet()

    async def _sip(self, watched: Watched) -> None:
        watched.reader.sip()
        await self._quiet()
        # Whether there was something to take or not.
        watched.reader.stall()

    async def _resume(self, watched: Watched, positions: dict[str, int]) -> None:
        outbox, errors = watched.reader.outbox, {}
        memberships = {
            membership.conversation_id: membership
            for membership in await self.here.store.memberships(watched.username)
        }
        heads = await self.here.ledger.heads(list(positions))
        for conversation_id, position in positions.items():
            membership = memberships.get(conversation_id)
            room = self.here.hub.users[watched.username].rooms.get(conversation_id)
            if membership is None:
                errors[conversation_id] = ErrorCode.NOT_A_MEMBER
                continue
            if room is None or not room.holds(outbox):
                continue
            behind = room.behind.get(outbox)
            assert room.released is not None
            if position > max(room.released, heads.get(conversation_id, 0)):
                position = 0
            start = max(position, membership.floor)
            period = watched.current(conversation_id)
            assert period is not None
            if period.promised is None or start < period.promised:
                period.promised = start
            watched.claimed[conversation_id] = max(watched.claimed[conversation_id], position)
            if period.is_held:
                period.is_held, period.start = False, start
                period.asked_at = start
                continue
            if behind is not None:
                if period.asked_at is None:
                    period.asked_at = behind.position
                if start > behind.position:
                    period.skips.append((behind.position, start))
            ranges, _ = take(room.live[outbox] if behind is None else behind.lacking, start)
            period.fills += ranges
        request = Resume(positions=positions)
        watched.resuming = asyncio.get_running_loop().create_task(
            self.here.resumes.resume(outbox.principal, outbox, request)
        )
        await self._quiet()
        if not watched.is_slow:
            await asyncio.wait([watched.resuming], timeout=10)
            assert watched.resuming.result() == Success(errors=errors or None)

    async def _quiet(self) -> None:
        """Let every catch-up go on until it is done, or waits for a slow connection."""
        before: object = None
        while before != (before := self._progress()):
            for _ in range(2):
                # What a catch-up asked for in these turns is read before this on the same thread.
                await turns(5)
                await self.here.ledger.heads([])
            await turns(5)

    def _progress(self) -> object:
        return [
            (room.conversation_id, len(room.live), [one.position for one in room.behind.values()])
            for room in self.here.hub.rooms.values()
        ] + [len(watched.reader.sink.writes) for watched in self.open]


class ReleasedAtOnce(Conversations):
    delays_release = False


class OpenHistory(Conversations):
    """Who comes back may ask for what came while it was no member."""

    history = HistoryVisibility.ALL


# No shrinking: an example is long, and what it leads to is seen in the assertion.
PHASES: Final = (Phase.explicit, Phase.generate)


def walk(machine: type[Conversations], examples: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE", PAGE)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                phases=PHASES,
            ),
        )


@pytest.mark.slow
def test_events_that_are_released_at_once() -> None:
    walk(ReleasedAtOnce, 15)


@pytest.mark.slow
def test_events_that_are_released_later() -> None:
    walk(Conversations, 30)


@pytest.mark.slow
def test_events_of_a_group_whose_history_is_for_all() -> None:
    walk(OpenHistory, 25)
