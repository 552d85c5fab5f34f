"""Writing events to Cassandra: what a put makes of rows, in few batches.

A batch costs much more than a row of it, so what one call puts goes in as few as Cassandra likes:
those of several partitions hold at most `PARTITIONS` and `BATCH_BYTES`, beyond which it warns, and
have the same owner; those of one partition are a single change to it and may be larger.

Whoever comes first, a delete and an edit of the same message see each other: each writes, and then
looks whether the other is there. So no edit keeps what it said.
"""

import asyncio
import struct
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement

from chatd.events import Event, EventKind, blanked
from chatd.stores.bridge_cassandra import Row
from chatd.stores.message_store import Put
from chatd.stores.session_cassandra import Cassandra

BUCKET: Final = 5_000
"""Numbers to a partition; as in the schema."""
PARTITIONS: Final = 10
BATCH_BYTES: Final = 5 * 1024
OWN_BATCH_BYTES: Final = 64 * 1024
"""Of one partition alone."""
_ROW_BYTES: Final = 220
"""Of a row besides its texts and bodies, as Cassandra counts."""
_BATCHES_AT_ONCE: Final = 32
"""Of one call."""
_SEQS_AT_ONCE: Final = 100
_DELETED: Final = 2**62
"""The timestamp of what a delete writes."""

_INSERT: Final = (
    "INSERT INTO {event} (conversation_id, bucket, seq, nonce, kind, sender, body, at{columns})"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?{marks}) USING TIMESTAMP ?"
)
_UPDATE: Final = (
    "UPDATE {event} USING TIMESTAMP ? SET {change}"
    " WHERE conversation_id = ? AND bucket = ? AND seq = ?"
)
_LAST_EDIT: Final = (
    "edit_seq = ?, edit_nonce = ?, edit_sender = ?, edit_body = ?, edit_blank = ?, edit_at = ?,"
    " edit_version = ?, edits = edits + ?"
)
_LOOK: Final = (
    "SELECT seq, deleted_seq{columns} FROM {event}"
    " WHERE conversation_id = ? AND bucket = ? AND seq IN ?"
)
# Values as the protocol has them: a third of the time that the driver takes to bind them.
_tinyint: Final = struct.Struct(">b").pack
_int: Final = struct.Struct(">i").pack
_bigint: Final = struct.Struct(">q").pack
_set_of_one_bigint: Final = struct.Struct(">iiq").pack
_MESSAGES: Final = frozenset({EventKind.DIRECT_MESSAGE, EventKind.GROUP_MESSAGE})


_Write = tuple[PreparedStatement, list[bytes]]


class _Partition:
    """What is written to a partition in one call."""

    __slots__ = ("bucket", "changed", "conversation_id", "key", "size", "writes")

    def __init__(self, conversation_id: str, bucket: int) -> None:
        self.conversation_id = conversation_id
        self.bucket = bucket
        self.key = [conversation_id.encode(), _int(bucket)]
        self.writes: list[_Write] = []
        self.size = 0
        """Bytes of the writes, as Cassandra counts."""
        self.changed: _Changed | None = None

    def add(self, statement: PreparedStatement, values: list[bytes], size: int) -> None:
        self.writes.append((statement, values))
        self.size += size


class _Changed:
    """Messages of a partition for which more than their own row may have to change."""

    def __init__(self) -> None:
        self.edited: dict[int, list[int]] = {}
        """With those of their edits that the call has."""
        self.deleted: set[int] = set()


class _Statements(NamedTuple):
    """Prepared."""

    insert: PreparedStatement
    insert_message: PreparedStatement
    insert_edit: PreparedStatement
    edit: PreparedStatement
    react: PreparedStatement
    delete: PreparedStatement
    blank: PreparedStatement
    look_for_delete: PreparedStatement
    look_for_edits: PreparedStatement


class MessagePuts:
    """See the module. Made by `prepare`."""

    def __init__(self, cassandra: Cassandra, statements: _Statements) -> None:
        self._cassandra = cassandra
        self._statements = statements

    @classmethod
    async def prepare(cls, cassandra: Cassandra) -> "MessagePuts":
        """Raises BackendError."""
        event = cassandra.table("event")
        texts = (
            _INSERT.format(event=event, columns="", marks=""),
            _INSERT.format(event=event, columns=", blank", marks=", ?"),
            _INSERT.format(event=event, columns=", blank, version", marks=", ?, ?"),
            _UPDATE.format(event=event, change=_LAST_EDIT),
            _UPDATE.format(event=event, change="reactions[?] = ?"),
            _UPDATE.format(event=event, change="deleted_seq = ?, body = 0x, edit_body = 0x"),
            _UPDATE.format(event=event, change="body = 0x"),
            _LOOK.format(event=event, columns=""),
            _LOOK.format(event=event, columns=", edits"),
        )
        return cls(cassandra, _Statements(*await asyncio.gather(*map(cassandra.prepare, texts))))

    async def put(self, puts: Sequence[Put]) -> None:
        """See the port."""
        partitions: dict[tuple[str, int], _Partition] = {}
        for put in puts:
            event = put.event
            self._insert(_partition(partitions, event.conversation_id, event.seq), event)
            if put.target is not None:
                partition = _partition(partitions, event.conversation_id, put.target)
                self._change(partition, put, put.target)
        await self._write(partitions.values())
        changed = [found for found in partitions.values() if found.changed is not None]
        if changed:
            await self._blank_edits(changed)

    def _insert(self, partition: _Partition, event: Event) -> None:
        seq, kind, body = _bigint(event.seq), event.kind, event.body
        values = [
            *partition.key,
            seq,
            _bigint(event.nonce),
            _tinyint(kind),
            event.sender.encode(),
            body,
            _bigint(event.at_ms),
        ]
        size = _ROW_BYTES + len(body)
        if kind in _MESSAGES:
            blank = blanked(kind, body)
            values += (blank, seq)
            partition.add(self._statements.insert_message, values, size + len(blank))
        elif kind is EventKind.MESSAGE_EDITED:
            blank = blanked(kind, body)
            values += (blank, _int(event.version), seq)
            partition.add(self._statements.insert_edit, values, size + len(blank))
        else:
            values.append(seq)
            partition.add(self._statements.insert, values, size)

    def _change(self, partition: _Partition, put: Put, target: int) -> None:
        """What an event makes of its message."""
        event, place = put.event, [*partition.key, _bigint(target)]
        seq = _bigint(event.seq)
        match event.kind:
            case EventKind.MESSAGE_EDITED:
                blank = blanked(event.kind, event.body)
                edit = [
                    seq,
                    _bigint(event.nonce),
                    event.sender.encode(),
                    event.body,
                    blank,
                    _bigint(event.at_ms),
                    _int(event.version),
                    _set_of_one_bigint(1, len(seq), event.seq),
                ]
                size = _ROW_BYTES + len(event.body) + len(blank)
                partition.add(self._statements.edit, [seq, *edit, *place], size)
                _changed(partition).edited.setdefault(target, []).append(event.seq)
            case EventKind.MESSAGE_DELETED:
                values = [_bigint(_DELETED), seq, *place]
                partition.add(self._statements.delete, values, _ROW_BYTES)
                _changed(partition).deleted.add(target)
            case EventKind.REACTION:
                assert put.emoji is not None
                who = f"{put.emoji} {event.sender}".encode()
                values = [seq, who, _bigint(0 if put.remove else event.seq), *place]
                partition.add(self._statements.react, values, _ROW_BYTES)
            case _:
                raise ValueError(f"an event of kind {event.kind} changes no message")

    async def _write(self, partitions: Collection[_Partition]) -> None:
        batches = self._batches(partitions)
        while some := list(islice(batches, _BATCHES_AT_ONCE)):
            await self._cassandra.write(some)

    def _batches(self, partitions: Collection[_Partition]) -> Iterator[BatchStatement]:
        are_everywhere = len(partitions) == 1 or self._cassandra.has_all_everywhere
        together: dict[object, list[_Partition]] = {}
        sizes: dict[object, int] = {}
        for partition in partitions:
            size = partition.size
            if size > BATCH_BYTES:
                yield from _batches_of_one(partition)
                continue
            owner = None if are_everywhere else self._cassandra.owner(partition.key)
            gathered = together.setdefault(owner, [])
            if len(gathered) == PARTITIONS or sizes.get(owner, 0) + size > BATCH_BYTES:
                yield _batch(gathered[0], [write for one in gathered for write in one.writes])
                gathered.clear()
                sizes[owner] = 0
            gathered.append(partition)
            sizes[owner] = sizes.get(owner, 0) + size
        for gathered in together.values():
            yield _batch(gathered[0], [write for one in gathered for write in one.writes])

    async def _blank_edits(self, partitions: Sequence[_Partition]) -> None:
        """Take away what edits of deleted messages say: those of this call whose message has a
        delete, and for a delete of this call all that its message has."""
        looks: list[tuple[_Partition, BoundStatement]] = []
        for partition in partitions:
            changed = _changed(partition)
            for statement, seqs in (
                (self._statements.look_for_delete, changed.edited.keys() - changed.deleted),
                (self._statements.look_for_edits, changed.deleted),
            ):
                left = iter(seqs)
                while some := list(islice(left, _SEQS_AT_ONCE)):
                    values = (partition.conversation_id, partition.bucket, some)
                    looks.append((partition, statement.bind(values)))
        blanks: dict[tuple[str, int], _Partition] = {}
        found = await asyncio.gather(*(self._look(bound) for _, bound in looks))
        for (partition, _), rows in zip(looks, found, strict=True):
            for seq, deleted_seq, *edits in rows:
                if deleted_seq is not None:
                    for edit in (edits[0] or ()) if edits else _changed(partition).edited[seq]:
                        blank = _partition(blanks, partition.conversation_id, edit)
                        place = [_bigint(_DELETED), *blank.key, _bigint(edit)]
                        blank.add(self._statements.blank, place, _ROW_BYTES)
        await self._write(blanks.values())

    async def _look(self, bound: BoundStatement) -> list[Row]:
        return await self._cassandra.execute(bound)


def _batches_of_one(partition: _Partition) -> Iterator[BatchStatement]:
    """Of as many rows as fit, at least one."""
    some: list[_Write] = []
    size = 0
    for write in partition.writes:
        row = sum(map(len, write[1]))
        if some and size + row > OWN_BATCH_BYTES:
            yield _batch(partition, some)
            some, size = [], 0
        some.append(write)
        size += row
    yield _batch(partition, some)


def _batch(first: _Partition, writes: Sequence[_Write]) -> BatchStatement:
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.routing_key = first.key
    # One for all rows: the batch takes its values, and a new one for each row would cost as much as
    # the row.
    bound = BoundStatement(writes[0][0])
    for statement, values in writes:
        bound.prepared_statement, bound.values = statement, values
        batch.add(bound)
    return batch


def _changed(partition: _Partition) -> _Changed:
    if partition.changed is None:
        partition.changed = _Changed()
    return partition.changed


def _partition(
    partitions: dict[tuple[str, int], _Partition], conversation_id: str, seq: int
) -> _Partition:
    key = conversation_id, seq // BUCKET
    found = partitions.get(key)
    if found is None:
        found = partitions[key] = _Partition(*key)
    return found
