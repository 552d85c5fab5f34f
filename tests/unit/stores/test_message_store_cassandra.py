"""chatd.stores.message_store_cassandra and message_puts_cassandra: what is in the rows, and what
the server makes of the batches."""

import asyncio
import logging
from typing import Any

import pytest

from chatd.events import Event, EventKind, MemberBody, encode_body
from chatd.stores import message_puts_cassandra as module
from chatd.stores.message_store import Put
from tests.support.builders import NOW_MS
from tests.support.keyspace import Keyspace
from tests.support.puts import Talk, became
from tests.support.running import on_a_loop

COLUMNS = "seq, kind, body, blank, edit_body, edit_blank, deleted_seq, reactions"


async def raw(keyspace: Keyspace, talk: Talk) -> dict[int, tuple[Any, ...]]:
    """The rows of a conversation as they are stored."""
    rows = await keyspace.session().run(
        f"SELECT {COLUMNS} FROM event WHERE conversation_id = %s AND bucket IN (0, 1)",
        [talk.conversation_id],
    )
    return {row[0]: row for row in rows}


def says(rows: dict[int, tuple[Any, ...]], words: str) -> list[int]:
    """The rows that hold the words anywhere."""
    return [seq for seq, row in rows.items() if words in str(row)]


@pytest.mark.parametrize("is_deleted_first", [False, True])
@on_a_loop
async def test_what_was_deleted_is_in_no_row(keyspace: Keyspace, is_deleted_first: bool) -> None:
    talk = Talk(first=4_999)
    at = talk.post("a secret word")
    talk.edit(at, "edited secret")
    talk.edit(at, "last secret")
    talk.delete(at)
    store = await keyspace.store()
    *said, deleted = talk.puts
    if not is_deleted_first:
        await store.put(said)
        assert sorted(says(await raw(keyspace, talk), "secret")) == [4_999, 5_000, 5_001]
    await store.put([deleted])
    await store.put(said)
    rows = await raw(keyspace, talk)
    assert sorted(rows) == [4_999, 5_000, 5_001, 5_002]
    assert says(rows, "secret") == []


@pytest.mark.slow
@on_a_loop
async def test_a_delete_and_an_edit_at_the_same_time_see_each_other(keyspace: Keyspace) -> None:
    """Put by two processes."""
    one, other = await keyspace.store(), await keyspace.store()
    talks = [Talk() for _ in range(40)]
    for talk in talks:
        at = talk.post("said")
        talk.edit(at, "secret")
        talk.delete(at)

    async def put(talk: Talk) -> None:
        said, edited, deleted = talk.puts
        await one.put([said])
        await asyncio.gather(one.put([edited]), other.put([deleted]))

    await asyncio.gather(*map(put, talks))
    for talk in talks:
        assert says(await raw(keyspace, talk), "secret") == []


@on_a_loop
async def test_a_reaction_that_is_taken_back_leaves_no_tombstone(keyspace: Keyspace) -> None:
    talk = Talk()
    at = talk.post()
    talk.react(at, "👍")
    talk.react(at, "👍", remove=True)
    await (await keyspace.store()).put(talk.puts)
    row = (await raw(keyspace, talk))[at.seq]
    assert dict(row[-1].items()) == {f"👍 {talk.names[0]}": 0}


@pytest.mark.slow
@on_a_loop
async def test_the_server_warns_of_no_batch(
    keyspace: Keyspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of too many partitions nor of too many bytes, whatever is put together."""
    store = await keyspace.store()
    with caplog.at_level(logging.WARNING, "cassandra"):
        for size in (1, 10, 40, 80, 120, 200, 400, 1_000, 2_300, 2_600, 16_000):
            talks = [Talk(is_direct=n % 3 == 0) for n in range(60)]
            for n, talk in enumerate(talks):
                at = talk.post("x" * size, key="k" * 36)
                if n % 5 == 1:
                    talk.edit(at, "x" * size)
                elif n % 5 == 2:
                    talk.react(at, "👨‍👩‍👧‍👦")
                    talk.react(at, "👍", by=1)
                elif n % 5 == 3:
                    talk.join()
                elif n % 5 == 4:
                    talk.delete(at)
            await store.put([put for talk in talks for put in talk.puts])
            await store.put([talk.puts[-1] for talk in talks])
    assert not [record for record in caplog.records if record.name.startswith("cassandra")]


@on_a_loop
async def test_batches_are_as_large_as_they_may_be(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is what a put costs."""
    session = keyspace.session()
    store = await module.MessagePuts.prepare(session)
    sent: list[int] = []
    write = session.write

    def counting(statements: list[Any]) -> Any:
        sent.extend(map(len, statements))
        return write(statements)

    monkeypatch.setattr(session, "write", counting)
    small = [Talk() for _ in range(45)]
    for talk in small:
        talk.post("hi")
    await store.put([put for talk in small for put in talk.puts])
    assert sent == [10, 10, 10, 10, 5]
    sent.clear()
    room = Talk()
    for _ in range(100):
        room.post("x" * 100)
    await store.put(room.puts)
    assert sent == [100]
    sent.clear()
    loud = Talk()
    for _ in range(6):
        loud.post("x" * 30_000)
    await store.put([*loud.puts, *small[0].puts])
    assert sent == [2, 2, 2, 1]


@on_a_loop
async def test_an_event_of_each_kind_that_is_no_message(keyspace: Keyspace) -> None:
    store, talk = await keyspace.store(), Talk()
    kinds = (
        EventKind.GROUP_CREATED,
        EventKind.MEMBER_LEFT,
        EventKind.ROLE_CHANGED,
        EventKind.GROUP_UPDATED,
    )
    body = encode_body(MemberBody("x"))
    events = [
        Event(talk.conversation_id, n, 7, kind, "alice", body, NOW_MS)
        for n, kind in enumerate(kinds, 1)
    ]
    await store.put([Put(event) for event in events])
    found = await store.read(talk.conversation_id, after=0, before=9, limit=9)
    assert found == events


@on_a_loop
async def test_only_changes_name_a_message(keyspace: Keyspace) -> None:
    store, talk = await keyspace.store(), Talk()
    talk.join()
    with pytest.raises(ValueError, match="changes no message"):
        await store.put([Put(talk.puts[0].event, target=1)])


@on_a_loop
async def test_a_bucket_that_is_full(keyspace: Keyspace) -> None:
    """The rows of a partition are found whichever end a page is taken from."""
    store, talk = await keyspace.store(), Talk(first=4_000)
    for n in range(1_200):
        talk.post(f"{n}")
    await store.put(talk.puts)
    expected, _ = became(talk.puts)
    here = talk.conversation_id
    assert await store.read(here, after=0, before=9_000, limit=2_000) == expected
    newest = await store.messages(here, after=0, before=9_000, limit=201, newest=True)
    assert [message.posted for message in newest] == expected[-201:]
    posts = await store.posts(here, after=0, before=9_000, limit=1_000)
    assert [seq for seq, _ in posts] == [event.seq for event in expected[:-1_001:-1]]
