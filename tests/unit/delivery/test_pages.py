"""chatd.delivery.pages"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatd.delivery import pages as module
from chatd.errors import BackendError
from tests.support.builders import (
    Core,
    Reader,
    append,
    core,
    direct,
    failing,
    held,
    text_frames,
    traced,
)
from tests.support.changes import delete, place
from tests.support.running import on_a_loop, turns, until

CHAT = "alice-bob"
PAGE = 5


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", PAGE)


@asynccontextmanager
async def conversation(folder: Path, length: int) -> AsyncIterator[Core]:
    """A conversation in which each message says its number."""
    async with core(folder, "alice", "bob", "carol") as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n + 1}") for n in range(length)))
        yield here


async def seqs(
    here: Core, position: int, up_to: int, conversation_id: str = CHAT
) -> tuple[int, list[int]]:
    end, frames = await here.pages.after(conversation_id, position, up_to)
    return end, [frame.event.seq for frame in frames]


def read_count(statements: list[str]) -> int:
    return sum("FROM ledger" in statement for statement in statements)


@on_a_loop
async def test_a_page_ends_at_a_multiple_or_where_was_asked(tmp_path: Path) -> None:
    async with conversation(tmp_path, 12) as here:
        for position in range(12):
            for up_to in range(position + 1, 13):
                end = min(up_to, (position // PAGE + 1) * PAGE)
                found = await seqs(here, position, up_to)
                assert found == (end, list(range(position + 1, end + 1)))


@on_a_loop
async def test_nothing_above_what_was_asked_for_is_told(tmp_path: Path) -> None:
    async with conversation(tmp_path, 5) as here:
        assert await seqs(here, 0, 5) == (5, [1, 2, 3, 4, 5])
        assert await seqs(here, 0, 3) == (3, [1, 2, 3]), "though it is kept"


@on_a_loop
async def test_a_page_is_read_once_for_all_who_ask(tmp_path: Path) -> None:
    async with conversation(tmp_path, 12) as here:
        statements = await traced(here.reader)
        found = await asyncio.gather(*(seqs(here, n % 5, 5) for n in range(50)))
        assert [one[1] for one in found] == [list(range(n % 5 + 1, 6)) for n in range(50)]
        assert read_count(statements) == here.metrics.pages_read == 1
        await seqs(here, 2, 5)
        assert read_count(statements) == 1, "and kept"
        await seqs(here, 5, 12)
        assert read_count(statements) == 2


@on_a_loop
async def test_the_last_page_grows_by_what_is_new(tmp_path: Path) -> None:
    async with conversation(tmp_path, 2) as here:
        statements = await traced(here.reader)
        assert await seqs(here, 0, 2) == (2, [1, 2])
        await append(here.ledger, direct("alice", "bob", "3"), direct("alice", "bob", "4"))
        assert await seqs(here, 0, 3) == (3, [1, 2, 3])
        assert await seqs(here, 1, 4) == (4, [2, 3, 4])
        assert await seqs(here, 0, 4) == (4, [1, 2, 3, 4])
        reads = [statement for statement in statements if "FROM ledger" in statement]
        assert len(reads) == 3
        assert ["seq > 0", "seq > 2", "seq > 3"] == [
            next(one for one in ("seq > 0", "seq > 2", "seq > 3") if one in read) for read in reads
        ]


@on_a_loop
async def test_who_asks_for_more_than_is_being_read_has_it_read_after_that(tmp_path: Path) -> None:
    async with conversation(tmp_path, 5) as here:
        asked = [asyncio.create_task(seqs(here, 0, up_to)) for up_to in (2, 4, 3, 5)]
        found = await asyncio.gather(*asked)
        assert [end for end, _ in found] == [2, 4, 3, 5]
        assert [one for _, one in found] == [list(range(1, up_to + 1)) for up_to in (2, 4, 3, 5)]


@on_a_loop
async def test_a_frame_is_made_once_for_those_who_were_away(tmp_path: Path) -> None:
    async with conversation(tmp_path, 5) as here:
        (_, one), (_, other) = [await here.pages.after(CHAT, 0, 5) for _ in range(2)]
        for first, second in zip(one, other, strict=True):
            assert first.offline() is second.offline()
            (frame,) = text_frames(first.offline())
            assert (frame["seq"], frame["offline"]) == (first.event.seq, True)
            (frame,) = text_frames(first.live())
            assert frame["seq"] == first.event.seq and "offline" not in frame


@on_a_loop
async def test_conversations_are_apart(tmp_path: Path) -> None:
    async with conversation(tmp_path, 3) as here:
        await append(here.ledger, direct("alice", "carol"))
        assert await seqs(here, 0, 3) == (3, [1, 2, 3])
        assert await seqs(here, 0, 1, "alice-carol") == (1, [1])
        here.pages.forget("alice-carol")
        statements = await traced(here.reader)
        await seqs(here, 0, 3)
        await seqs(here, 0, 1, "alice-carol")
        assert read_count(statements) == 1


# What is forgotten.


@on_a_loop
async def test_what_is_forgotten_is_read_again(tmp_path: Path) -> None:
    async with conversation(tmp_path, 12) as here:
        for position in (0, 5, 10):
            await seqs(here, position, 12)
        assert here.metrics.page_bytes > 0
        here.pages.forget(CHAT)
        assert here.metrics.page_bytes == 0
        here.pages.forget(CHAT)
        here.pages.forget("nowhere")
        before = here.metrics.pages_read
        assert await seqs(here, 5, 12) == (10, [6, 7, 8, 9, 10])
        assert here.metrics.pages_read == before + 1


@on_a_loop
async def test_a_deleted_message_is_not_in_the_next_page(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        said = direct("alice", "bob", "secret")
        await here.submit(said)
        _, frames = await here.pages.after(CHAT, 0, 1)
        assert b"secret" in next(frames).offline()
        await here.submit(delete(place(said, 1), "alice"))
        _, frames = await here.pages.after(CHAT, 0, 2)
        assert b"secret" not in b"".join(frame.offline() for frame in frames)


@on_a_loop
async def test_a_message_deleted_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        said = direct("alice", "bob", "secret")
        await here.submit(said)
        reading = asyncio.create_task(here.pages.after(CHAT, 0, 1))
        await turns(1)
        await here.ledger.heads([])
        # Read by now, perhaps, and not kept yet.
        here.pages.forget(CHAT)
        await here.submit(delete(place(said, 1), "alice"))
        await reading
        _, frames = await here.pages.after(CHAT, 0, 2)
        assert b"secret" not in b"".join(frame.offline() for frame in frames)
        _, frames = await here.pages.after(CHAT, 0, 2)
        assert b"secret" not in b"".join(frame.live() for frame in frames)


@on_a_loop
async def test_a_page_forgotten_while_it_grows_is_read_again_from_its_start(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        said = direct("alice", "bob", "secret")
        await here.submit(said, direct("alice", "bob", "2"))
        await seqs(here, 0, 2)
        async with held(here.reader):
            growing = asyncio.create_task(here.pages.after(CHAT, 0, 4))
            await turns()
            await here.submit(direct("alice", "bob", "3"), delete(place(said, 1), "alice"))
        end, frames = await growing
        assert (end, [frame.event.seq for frame in frames]) == (4, [1, 2, 3, 4])
        _, frames = await here.pages.after(CHAT, 0, 4)
        assert b"secret" not in b"".join(frame.offline() for frame in frames)


@on_a_loop
async def test_a_page_forgotten_while_it_grows_is_sent_to_nobody(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        said = direct("alice", "bob", "secret")
        await here.submit(said, direct("alice", "bob", "2"))
        await seqs(here, 0, 2)
        async with held(here.reader):
            growing = asyncio.create_task(here.pages.after(CHAT, 0, 4))
            await turns()
            await here.submit(direct("alice", "bob", "3"), delete(place(said, 1), "alice"))
        _, frames = await growing
        assert b"secret" not in b"".join(frame.offline() for frame in frames)


@on_a_loop
async def test_the_page_that_was_not_used_for_longest_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with conversation(tmp_path, 15) as here:
        await seqs(here, 0, 15)
        one = here.metrics.page_bytes
        monkeypatch.setattr(module, "CACHED_BYTES", int(2.5 * one))
        for position in (5, 0, 10, 0, 10):
            await seqs(here, position, 15)
        assert here.metrics.page_bytes <= 2.5 * one
        assert here.metrics.pages_read == 3, "the first is used, and stays"
        await seqs(here, 5, 15)
        assert here.metrics.pages_read == 4
        await seqs(here, 10, 15)
        assert here.metrics.pages_read == 4
        await seqs(here, 0, 15)
        assert here.metrics.pages_read == 5


@on_a_loop
async def test_a_page_over_the_limit_is_kept_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED_BYTES", 1)
    async with conversation(tmp_path, 15) as here:
        for _ in range(2):
            for position in (0, 5, 10):
                end, found = await seqs(here, position, 15)
                assert found == list(range(position + 1, end + 1))
        assert here.metrics.pages_read == 6
        await seqs(here, 10, 15)
        assert here.metrics.pages_read == 6


@on_a_loop
async def test_who_is_reading_a_page_that_goes_gets_the_rest_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED_BYTES", 1)
    async with conversation(tmp_path, 15) as here:
        _, frames = await here.pages.after(CHAT, 0, 15)
        first = next(frames)
        await seqs(here, 5, 15)
        assert [first.event.seq, *(frame.event.seq for frame in frames)] == [1, 2, 3, 4, 5]
        found = await asyncio.gather(*(seqs(here, n, 15) for n in range(15)))
        for n, (end, numbers) in enumerate(found):
            assert numbers == list(range(n + 1, end + 1))


# Limits and failures.


@on_a_loop
async def test_a_limited_number_of_pages_is_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOADS_AT_ONCE", 2)
    async with conversation(tmp_path, 25) as here:
        async with held(here.reader):
            asked = [asyncio.create_task(seqs(here, n * PAGE, 25)) for n in range(5)]
            await turns()
            assert here.metrics.pages_read == 2
        found = await asyncio.gather(*asked)
        assert [numbers[0] for _, numbers in found] == [1, 6, 11, 16, 21]
        assert here.metrics.pages_read == 5


@on_a_loop
async def test_a_store_that_fails_is_told_to_all_who_wait(tmp_path: Path) -> None:
    async with conversation(tmp_path, 12) as here:
        await seqs(here, 0, 3)
        await here.reader.close()
        asked = [asyncio.create_task(seqs(here, n, 5)) for n in range(5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in found] == [BackendError] * 5
        assert await seqs(here, 0, 3) == (3, [1, 2, 3]), "what is kept is kept"
        with pytest.raises(BackendError):
            await seqs(here, 5, 12)


@on_a_loop
async def test_a_read_that_failed_is_tried_again(tmp_path: Path) -> None:
    async with conversation(tmp_path, 5) as here:
        await seqs(here, 0, 2)
        kept = here.metrics.page_bytes
        async with failing(here.reader, "ledger"):
            for up_to in (3, 5, 5):
                with pytest.raises(BackendError):
                    await seqs(here, 0, up_to)
            assert here.metrics.page_bytes == kept
        assert await seqs(here, 0, 5) == (5, [1, 2, 3, 4, 5])
        here.pages.forget(CHAT)
        assert here.metrics.page_bytes == 0


@on_a_loop
async def test_who_goes_while_a_page_is_read_takes_it_from_nobody(tmp_path: Path) -> None:
    async with conversation(tmp_path, 5) as here:
        async with held(here.reader):
            asked = [asyncio.create_task(seqs(here, 0, 5)) for _ in range(3)]
            await turns()
            asked[0].cancel()
            await turns()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == [(5, [1, 2, 3, 4, 5])] * 2
        assert here.metrics.pages_read == 1


@on_a_loop
async def test_a_hole_in_the_store_is_passed(tmp_path: Path) -> None:
    async with conversation(tmp_path, 12) as here:
        await here.writer.submit(
            lambda connection: connection.execute("DELETE FROM ledger WHERE seq IN (2, 3, 6, 10)")
        )
        for position, expected in ((0, [1, 4, 5]), (1, [4, 5]), (2, [4, 5]), (3, [4, 5]), (4, [5])):
            assert await seqs(here, position, 12) == (5, expected)
        for position in (5, 6, 7, 8):
            expected = [seq for seq in (7, 8, 9) if seq > position]
            assert await seqs(here, position, 12) == (10, expected)
        assert await seqs(here, 9, 12) == (10, [])


@on_a_loop
async def test_many_who_come_back_at_once_are_sent_one_reading(tmp_path: Path) -> None:
    async with conversation(tmp_path, 12) as here:
        readers = [Reader("bob", f"{n}") for n in range(30)]
        await asyncio.gather(*(here.subscriptions.connect(reader.outbox) for reader in readers))
        await until(lambda: all(reader.seqs(CHAT)[-1:] == [12] for reader in readers))
        assert {tuple(reader.seqs(CHAT)) for reader in readers} == {tuple(range(1, 13))}
        assert here.metrics.pages_read == 3
