"""The embedded ledger: appends in the writer's transaction, with the state of hot
conversations mirrored.

The mirror is safe because the data folder is locked by this process and only the writer thread
changes these tables. It is forgotten whenever the thread undoes anything.
"""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from chatd.events import Event, EventKind, GroupCreatedBody, MemberBody, MessageBody
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.thread_sqlite import SqliteThread, write_rows
from protocol.errors import ErrorCode
from protocol.limits import GROUP_MEMBERS
from protocol.model import Role

MIRRORED_CONVERSATIONS: Final = 20_000
"""At the limit the conversation that was longest without an event is forgotten. Far above the
entries of a call."""
MIRRORED_SENDERS: Final = 1_000
"""Of one conversation. At the limit all of them are forgotten, and looked up again."""

# OR FAIL and OR REPLACE keep no copy of the pages that a statement changes; what a failed statement
# leaves behind is undone with the job.
_INSERT: Final = (
    "INSERT OR FAIL INTO ledger (conversation_id, seq, nonce, sender, key, kind, body, mac, at)"
)
_RAISE_HEAD: Final = "INSERT OR REPLACE INTO head (conversation_id, last, at)"
_EVENT_COLUMNS: Final = "conversation_id, seq, nonce, kind, sender, body, at"


class _Conversation:
    """The mirror of one conversation."""

    __slots__ = ("is_group", "is_open", "last", "member_count", "senders")

    def __init__(self, last: int, is_group: bool, is_open: bool, member_count: int) -> None:
        self.last = last
        self.is_group = is_group
        self.is_open = is_open
        self.member_count = member_count
        self.senders: dict[str, bool] = {}
        """Members seen writing in it since it is mirrored, and whether
        `has_written` is set for them."""


class _RepeatedKey(Exception):
    """An insert met a key that is already there: the call is done again, looking keys up first."""


class SqliteLedger:
    """See the port. One transaction of the writer thread per call."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader
        self._mirror: OrderedDict[str, _Conversation] = OrderedDict()
        self._rollbacks_seen = 0

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

        def attempted(attempt: asyncio.Future[list[Outcome]]) -> None:
            error = attempt.exception()
            if answer.cancelled():
                return
            if error is None:
                answer.set_result(attempt.result())
            elif isinstance(error, _RepeatedKey):
                again = self._writer.submit(
                    lambda connection: self._append(connection, entries, True)
                )
                again.add_done_callback(attempted)
            else:
                answer.set_exception(error)

        first = self._writer.submit(lambda connection: self._append(connection, entries, False))
        first.add_done_callback(attempted)
        return answer

    async def read(
        self,
        conversation_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
        newest: bool = False,
    ) -> list[Event]:
        sql = (
            f"SELECT {_EVENT_COLUMNS} FROM ledger WHERE conversation_id = ? AND seq > ? AND seq < ?"
            f" ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?"
        )
        arguments = (conversation_id, after, 2**62 if before is None else before, limit)

        def job(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(sql, arguments).fetchall()
            if newest:
                rows.reverse()
            return [event_of_row(row) for row in rows]

        return await self._reader.submit(job)

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        def job(connection: sqlite3.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            for conversation_id in conversation_ids:
                row = connection.execute(
                    "SELECT last FROM head WHERE conversation_id = ?", (conversation_id,)
                ).fetchone()
                if row is not None:
                    found[conversation_id] = row[0]
            return found

        return await self._reader.submit(job)

    # On the writer thread from here on.

    def _append(
        self, connection: sqlite3.Connection, entries: Sequence[Entry], look_up_keys: bool
    ) -> list[Outcome]:
        if self._rollbacks_seen != self._writer.rollbacks:
            self._mirror.clear()
            self._rollbacks_seen = self._writer.rollbacks
        return self._attempt(connection, entries, look_up_keys=look_up_keys)

    def _attempt(
        self, connection: sqlite3.Connection, entries: Sequence[Entry], *, look_up_keys: bool
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rows: list[tuple[object, ...]] = []
        heads: dict[str, tuple[str, int, int]] = {}
        for entry in entries:
            if look_up_keys and entry.key is not None:
                first = _first_with_key(connection, entry)
                if first is not None:
                    outcomes.append(first)
                    continue
            conversation = self._find(connection, entry.conversation_id)
            refusal = self._admit(connection, entry, conversation)
            if isinstance(refusal, Outcome):
                outcomes.append(refusal)
                continue
            conversation, befriended = refusal
            conversation.last += 1
            seq = conversation.last
            row = (
                entry.conversation_id,
                seq,
                entry.nonce,
                entry.sender,
                entry.key,
                entry.kind.value,
                entry.sealed,
                entry.mac or None,
                entry.at_ms,
            )
            heads[entry.conversation_id] = (entry.conversation_id, seq, entry.at_ms)
            outcomes.append(
                Outcome(seq=seq, nonce=entry.nonce, at_ms=entry.at_ms, befriended=befriended)
            )
            if look_up_keys:
                write_rows(connection, _INSERT, [row])
            else:
                rows.append(row)
        if rows:
            try:
                write_rows(connection, _INSERT, rows)
            except sqlite3.IntegrityError:
                raise _RepeatedKey from None
        if heads:
            write_rows(connection, _RAISE_HEAD, list(heads.values()))
        return outcomes

    def _find(self, connection: sqlite3.Connection, conversation_id: str) -> _Conversation | None:
        conversation = self._mirror.get(conversation_id)
        if conversation is not None:
            self._mirror.move_to_end(conversation_id)
            return conversation
        row = connection.execute(
            "SELECT head.last, kind = 'group', is_open, member_count FROM conversation"
            " JOIN head USING (conversation_id) WHERE conversation_id = ?",
            (conversation_id,),
        ).fetchone()
        if row is None:
            return None
        return self._remember(
            conversation_id, _Conversation(row[0], bool(row[1]), bool(row[2]), row[3])
        )

    def _remember(self, conversation_id: str, conversation: _Conversation) -> _Conversation:
        self._mirror[conversation_id] = conversation
        if len(self._mirror) > MIRRORED_CONVERSATIONS:
            self._mirror.popitem(last=False)
        return conversation

    def _admit(
        self, connection: sqlite3.Connection, entry: Entry, conversation: _Conversation | None
    ) -> Outcome | tuple[_Conversation, bool]:
        """Whether the entry may be appended, with the change of membership that it stands for."""
        if conversation is not None and conversation.is_group is (
            entry.kind is EventKind.DIRECT_MESSAGE
        ):
            return Outcome(ErrorCode.NOT_A_MEMBER)
        match entry.kind:
            case EventKind.DIRECT_MESSAGE:
                return self._admit_direct(connection, entry, conversation)
            case EventKind.GROUP_MESSAGE:
                if conversation is None or not _is_sender(connection, entry, conversation):
                    return Outcome(ErrorCode.NOT_A_MEMBER)
                return conversation, False
            case EventKind.GROUP_CREATED:
                return self._create_group(connection, entry)
            case EventKind.MEMBER_JOINED:
                return self._join(connection, entry, conversation)
            case EventKind.MEMBER_LEFT:
                return self._leave(connection, entry, conversation)

    def _admit_direct(
        self, connection: sqlite3.Connection, entry: Entry, conversation: _Conversation | None
    ) -> Outcome | tuple[_Conversation, bool]:
        assert isinstance(entry.body, MessageBody) and entry.body.to is not None
        peer = entry.body.to
        if conversation is None:
            if not insert_direct(
                connection, entry.conversation_id, entry.sender, peer, entry.at_ms
            ):
                return Outcome(ErrorCode.NO_SUCH_USER, peer)
            conversation = self._remember(entry.conversation_id, _Conversation(0, False, False, 2))
        if conversation.senders.get(entry.sender):
            return conversation, False
        if not _is_sender(connection, entry, conversation):
            return Outcome(ErrorCode.NOT_A_MEMBER)
        befriended = False
        if not conversation.senders[entry.sender]:
            connection.execute(
                "UPDATE member SET has_written = 1 WHERE conversation_id = ? AND username = ?",
                (entry.conversation_id, entry.sender),
            )
            conversation.senders[entry.sender] = True
            befriended = _has_written(
                connection, entry.conversation_id, peer
            ) and insert_friendship(connection, entry.sender, peer, entry.at_ms)
        return conversation, befriended

    def _create_group(
        self, connection: sqlite3.Connection, entry: Entry
    ) -> Outcome | tuple[_Conversation, bool]:
        body = entry.body
        assert isinstance(body, GroupCreatedBody)
        for username in body.members:
            if not account_exists(connection, username):
                return Outcome(ErrorCode.NO_SUCH_USER, username)
        connection.execute(
            "INSERT INTO conversation (conversation_id, kind, name, is_open, history, created_by,"
            " created_at, member_count) VALUES (?, 'group', ?, ?, ?, ?, ?, ?)",
            (
                entry.conversation_id,
                body.name,
                body.open,
                body.history.value,
                entry.sender,
                entry.at_ms,
                len(body.members),
            ),
        )
        connection.execute(
            "INSERT INTO head (conversation_id, last, at) VALUES (?, 0, ?)",
            (entry.conversation_id, entry.at_ms),
        )
        connection.executemany(
            "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
            " VALUES (?, ?, ?, 1, ?, ?)",
            (
                (entry.conversation_id, username, Role.ADMIN.value, 1, 1)
                if username == entry.sender
                else (entry.conversation_id, username, Role.MEMBER.value, 0, 0)
                for username in body.members
            ),
        )
        conversation = _Conversation(0, True, body.open, len(body.members))
        return self._remember(entry.conversation_id, conversation), False

    def _join(
        self, connection: sqlite3.Connection, entry: Entry, conversation: _Conversation | None
    ) -> Outcome | tuple[_Conversation, bool]:
        assert isinstance(entry.body, MemberBody)
        if conversation is None:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        username = entry.body.username
        if _membership(connection, entry.conversation_id, username) is not None:
            return Outcome(ErrorCode.ALREADY_A_MEMBER)
        if not conversation.is_open:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        if conversation.member_count >= GROUP_MEMBERS:
            return Outcome(ErrorCode.GROUP_FULL)
        seq = conversation.last + 1
        connection.execute(
            "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
            " VALUES (?, ?, 'MEMBER', ?, ?, ?)",
            (entry.conversation_id, username, seq, seq, seq),
        )
        _change_member_count(connection, entry.conversation_id, conversation, 1)
        return conversation, False

    def _leave(
        self, connection: sqlite3.Connection, entry: Entry, conversation: _Conversation | None
    ) -> Outcome | tuple[_Conversation, bool]:
        assert isinstance(entry.body, MemberBody)
        username = entry.body.username
        membership = (
            None
            if conversation is None
            else _membership(connection, entry.conversation_id, username)
        )
        if conversation is None or membership is None:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        if membership[0] == Role.ADMIN and conversation.member_count > 1:
            (admins,) = connection.execute(
                "SELECT count(*) FROM member WHERE conversation_id = ? AND role = 'ADMIN'",
                (entry.conversation_id,),
            ).fetchone()
            if admins == 1:
                return Outcome(ErrorCode.LAST_ADMIN)
        connection.execute(
            "DELETE FROM member WHERE conversation_id = ? AND username = ?",
            (entry.conversation_id, username),
        )
        conversation.senders.pop(username, None)
        _change_member_count(connection, entry.conversation_id, conversation, -1)
        return conversation, False


def event_of_row(row: tuple[str, int, int, int, str, bytes, int]) -> Event:
    return Event(row[0], row[1], row[2], EventKind(row[3]), row[4], row[5], row[6])


def account_exists(connection: sqlite3.Connection, username: str) -> bool:
    return (
        connection.execute("SELECT 1 FROM account WHERE username = ?", (username,)).fetchone()
        is not None
    )


def insert_direct(
    connection: sqlite3.Connection, conversation_id: str, creator: str, peer: str, at_ms: int
) -> bool:
    """Make a direct conversation that is not there yet; false when there is no account `peer`."""
    if not account_exists(connection, peer):
        return False
    connection.execute(
        "INSERT INTO conversation (conversation_id, kind, created_by, created_at, member_count)"
        " VALUES (?, 'direct', ?, ?, 2)",
        (conversation_id, creator, at_ms),
    )
    connection.execute(
        "INSERT INTO head (conversation_id, last, at) VALUES (?, 0, ?)", (conversation_id, at_ms)
    )
    connection.executemany(
        "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
        " VALUES (?, ?, 'MEMBER', 0, 0, 0)",
        ((conversation_id, username) for username in (creator, peer)),
    )
    return True


def insert_friendship(connection: sqlite3.Connection, one: str, other: str, at_ms: int) -> bool:
    """Make two users friends; false when they were."""
    changed = connection.executemany(
        "INSERT INTO friendship (username, friend, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((one, other, at_ms), (other, one, at_ms)),
    ).rowcount
    return changed > 0


def _is_sender(connection: sqlite3.Connection, entry: Entry, conversation: _Conversation) -> bool:
    if entry.sender in conversation.senders:
        return True
    membership = _membership(connection, entry.conversation_id, entry.sender)
    if membership is None:
        return False
    if len(conversation.senders) >= MIRRORED_SENDERS:
        conversation.senders.clear()
    conversation.senders[entry.sender] = bool(membership[1])
    return True


def _membership(
    connection: sqlite3.Connection, conversation_id: str, username: str
) -> tuple[str, int] | None:
    """Role and has_written."""
    row: tuple[str, int] | None = connection.execute(
        "SELECT role, has_written FROM member WHERE conversation_id = ? AND username = ?",
        (conversation_id, username),
    ).fetchone()
    return row


def _has_written(connection: sqlite3.Connection, conversation_id: str, username: str) -> bool:
    membership = _membership(connection, conversation_id, username)
    return membership is not None and bool(membership[1])


def _change_member_count(
    connection: sqlite3.Connection, conversation_id: str, conversation: _Conversation, by: int
) -> None:
    conversation.member_count += by
    connection.execute(
        "UPDATE conversation SET member_count = ? WHERE conversation_id = ?",
        (conversation.member_count, conversation_id),
    )


def _first_with_key(connection: sqlite3.Connection, entry: Entry) -> Outcome | None:
    """The outcome of the event that has the entry's key already, if there is one."""
    row = connection.execute(
        "SELECT seq, nonce, mac, at FROM ledger"
        " WHERE conversation_id = ? AND sender = ? AND key = ?",
        (entry.conversation_id, entry.sender, entry.key),
    ).fetchone()
    if row is None:
        return None
    if row[2] != entry.mac:
        return Outcome(ErrorCode.CLIENT_MSG_ID_REUSED)
    return Outcome(seq=row[0], nonce=row[1], at_ms=row[3], duplicate=True)
