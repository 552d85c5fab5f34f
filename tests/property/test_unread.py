"""A stateful model of cursors: after any order of posts, deletes, acks, marks, joins and leaves the
unread counts are right, and whoever should be told of a move is told, and nobody else."""

import asyncio
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chatd.errors import ChatError
from chatd.stores.conversation_store import Summary
from chatd.stores.ledger import Wanted
from protocol.errors import ErrorCode
from protocol.requests import Ack, MarkRead
from tests.support.builders import Core, Reader, core, create, direct, join, leave, post
from tests.support.changes import add, delete, place, remove

USERS: Final = ("alice", "bob", "carol")
GROUP: Final = "7"
CHAT: Final = "alice-bob"
CAP: Final = 4

users = st.sampled_from(USERS)
conversations = st.sampled_from((GROUP, CHAT))
Told = Counter[tuple[str, str, str, int]]
"""Receipts by type, conversation, user and number."""


class Place:
    """A user's place in a conversation."""

    def __init__(self, floor: int, delivered: int) -> None:
        self.floor = floor
        self.delivered = delivered
        self.read = delivered


class Log:
    """A conversation: who posted its messages, which are deleted, and its members."""

    def __init__(self, head: int, members: dict[str, Place]) -> None:
        self.head = head
        self.members = members
        self.posts: dict[int, tuple[str, int]] = {}
        """Author and nonce."""
        self.deleted: set[int] = set()

    def unread(self, username: str) -> int:
        at = self.members[username]
        return sum(
            author != username and seq not in self.deleted
            for seq, (author, _) in self.posts.items()
            if seq > max(at.read, at.floor)
        )


class Cursors(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._runner = self._stack.enter_context(asyncio.Runner())
        opened = core(folder, *USERS)
        self.here: Core = self._run(opened.__aenter__())
        self._stack.callback(lambda: self._run(opened.__aexit__(None, None, None)))
        self.readers = [
            self._run(self.here.connect(username, device))
            for username in USERS
            for device in ("phone", "desk")
        ]
        self._run(self.here.submit(create(GROUP, "alice", ["bob"], is_open=True)))
        self._run(self.here.store.open_direct("alice", "bob", 0))
        self.logs = {
            GROUP: Log(1, {"alice": Place(0, 1), "bob": Place(0, 0)}),
            CHAT: Log(0, {"alice": Place(0, 0), "bob": Place(0, 0)}),
        }
        self.expected: dict[Reader, Told] = {reader: Counter() for reader in self.readers}

    # What users do.

    @rule(username=users, conversation_id=conversations, count=st.integers(1, 3))
    def post(self, username: str, conversation_id: str, count: int) -> None:
        log = self.logs[conversation_id]
        if username not in log.members:
            return
        if conversation_id == CHAT:
            to = "bob" if username == "alice" else "alice"
            entries = [direct(username, to) for _ in range(count)]
        else:
            entries = [post(GROUP, username) for _ in range(count)]
        self._run(self.here.submit(*entries))
        for entry in entries:
            log.head += 1
            log.posts[log.head] = username, entry.nonce

    @rule(conversation_id=conversations, pick=st.integers(0, 30))
    def delete(self, conversation_id: str, pick: int) -> None:
        """The author takes back a message."""
        log = self.logs[conversation_id]
        mine = [
            seq
            for seq, (author, _) in log.posts.items()
            if author in log.members and seq > log.members[author].floor
        ]
        if not mine:
            return
        seq = mine[pick % len(mine)]
        author, nonce = log.posts[seq]
        said = post(conversation_id, author)
        said.nonce = nonce
        (outcome,) = self._run(self.here.submit(delete(place(said, seq), author)))
        assert (outcome.code, outcome.duplicate) == (None, seq in log.deleted)
        log.head += not outcome.duplicate
        log.deleted.add(seq)

    @rule(username=st.sampled_from(("bob", "carol")), by_admin=st.booleans())
    def come_or_go(self, username: str, by_admin: bool) -> None:
        log = self.logs[GROUP]
        if username in log.members:
            gone = remove(GROUP, "alice", username) if by_admin else leave(GROUP, username)
            self._run(self.here.submit(gone))
            del log.members[username]
        else:
            came = add(GROUP, "alice", username) if by_admin else join(GROUP, username)
            self._run(self.here.submit(came))
            # Who was put in has not been told yet.
            log.members[username] = Place(log.head, log.head + (not by_admin))
        log.head += 1

    @rule(
        at=st.integers(0, 5),
        conversation_id=conversations,
        seq=st.integers(0, 40),
        is_read=st.booleans(),
    )
    def ask(self, at: int, conversation_id: str, seq: int, is_read: bool) -> None:
        """A connection sends ACK or MARK_READ."""
        reader = self.readers[at]
        fields = {"chat_id" if conversation_id == CHAT else "group_id": conversation_id}
        request = (MarkRead if is_read else Ack)(seq=seq, **fields)
        error = self._run(self._advance(reader, request))
        log, username = self.logs[conversation_id], reader.outbox.principal.username
        if username not in log.members:
            assert error is not None and error.code is ErrorCode.NOT_A_MEMBER
        elif seq > log.head:
            assert error is not None and error.code is ErrorCode.INVALID_FIELD
        else:
            assert error is None
            self._move(conversation_id, username, seq, is_read, reader)

    @rule(username=users, conversation_id=conversations, back=st.integers(0, 6))
    def confirm(self, username: str, conversation_id: str, back: int) -> None:
        """A pong says what a connection was sent."""
        log = self.logs[conversation_id]
        seq = max(log.head - back, 0)
        self.here.receipts.delivered(username, {conversation_id: seq})
        self._run(self._told())
        if username in log.members:
            self._move(conversation_id, username, seq, False, None)

    # What must be so.

    @invariant()
    def unread_counts_are_right(self) -> None:
        for username in USERS:
            summaries = self._run(self.here.store.summaries(username, limit=9))
            found = {one.membership.conversation_id: one for one in summaries}
            tails = self._run(self.here.ledger.tails(username, [*map(_wanted, summaries)]))
            unread = {name: tail.unread for name, tail in zip(found, tails, strict=True)}
            mine = {name for name, log in self.logs.items() if username in log.members}
            assert found.keys() == mine
            for conversation_id, summary in found.items():
                log = self.logs[conversation_id]
                at = log.members[username]
                cursors = (summary.membership.delivered, summary.membership.read)
                assert cursors == (at.delivered, at.read)
                assert summary.membership.floor == at.floor
                assert unread[conversation_id] == min(log.unread(username), CAP + 1)
                assert summary.head == log.head

    @invariant()
    def everybody_was_told_what_concerns_it(self) -> None:
        for reader in self.readers:
            told: Told = Counter(
                (frame["type"], frame.get("chatId", frame.get("groupId")), *_whose(frame))
                for frame in reader.frames()
                if frame["type"].endswith("_RECEIPT")
            )
            assert told == self.expected[reader]

    def teardown(self) -> None:
        self._stack.close()

    # How it is done.

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    async def _advance(self, reader: Reader, request: Ack | MarkRead) -> ChatError | None:
        answered: asyncio.Future[ChatError | None] = asyncio.get_running_loop().create_future()
        outbox = reader.outbox
        self.here.receipts.advance(outbox.principal, request, outbox, answered.set_result)
        error = await answered
        await self._told()
        return error

    async def _told(self) -> None:
        await self.here.receipts.drain()

    def _move(
        self, conversation_id: str, username: str, seq: int, is_read: bool, origin: Reader | None
    ) -> None:
        """A cursor was asked to move; note who should hear of it."""
        log = self.logs[conversation_id]
        at = log.members[username]
        came_from = at.read if is_read else at.delivered
        if seq <= came_from:
            return
        at.delivered = max(at.delivered, seq)
        if is_read:
            at.read = seq
        if conversation_id == CHAT:
            concerned = set(log.members) - {username}
        else:
            covered = {log.posts[n][0] for n in range(came_from + 1, seq + 1) if n in log.posts}
            concerned = covered & log.members.keys() - {username}
        if origin is not None:
            concerned.add(username)
        receipt = "READ_RECEIPT" if is_read else "DELIVERY_RECEIPT"
        for reader in self.readers:
            if reader.outbox.principal.username in concerned and reader is not origin:
                self.expected[reader][receipt, conversation_id, username, seq] += 1


def _wanted(summary: Summary) -> Wanted:
    at = summary.membership
    return Wanted(at.conversation_id, summary.head, at.floor, at.read, CAP)


def _whose(frame: dict[str, Any]) -> tuple[str, int]:
    return frame["username"], frame["seq"]


@pytest.mark.slow
def test_cursors_in_any_order() -> None:
    run_state_machine_as_test(
        Cursors,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            # No shrinking: what an example leads to is seen in the assertion.
            phases=(Phase.explicit, Phase.generate),
        ),
    )
