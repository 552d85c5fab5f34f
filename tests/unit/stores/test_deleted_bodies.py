"""chatd.stores.ledger_sqlite and thread_sqlite: what was deleted is in no file any more."""

import sqlite3
from pathlib import Path

import pytest

from chatd.stores import ledger_sqlite as module
from tests.support.builders import append, core, create, direct, post
from tests.support.changes import delete, edit, place
from tests.support.running import on_a_loop, until

USERS = ("alice", "bob")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SCRUB_SECONDS", 0.01)


def said_in(folder: Path, words: str) -> list[str]:
    """The names of the files that hold the words."""
    return [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and words.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("size", [10, 1_500, 16_000], ids=["short", "medium", "overflowing"])
@on_a_loop
async def test_a_deleted_body_is_in_no_file(tmp_path: Path, size: int) -> None:
    async with core(tmp_path, *USERS) as here:
        said = direct("alice", "bob", "a nightingale word" + "." * size)
        at = place(said, 1)
        await append(here.ledger, said, *(direct("bob", "alice", f"{n}") for n in range(50)))
        await append(here.ledger, edit(at, "alice", "edited nightingale" + "." * size))
        await append(here.ledger, edit(at, "alice", "short nightingale"))
        assert said_in(tmp_path, "a nightingale word") and said_in(tmp_path, "edited nightingale")
        await append(here.ledger, delete(at, "alice"))
        await until(lambda: not said_in(tmp_path, "nightingale"))
        assert await here.ledger.heads(["alice-bob"]) == {"alice-bob": 54}


@on_a_loop
async def test_a_body_that_is_in_the_database_itself_goes_too(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        said = direct("alice", "bob", "a nightingale word" + "." * 5_000)
        await append(here.ledger, said)
        assert await here.writer.truncate_log()
        assert said_in(tmp_path, "a nightingale word") == ["chatd.sqlite"]
        await append(here.ledger, delete(place(said, 1), "alice"))
        await until(lambda: not said_in(tmp_path, "nightingale"))


@on_a_loop
async def test_what_is_edited_and_deleted_in_one_call_is_in_no_file(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        said = post("7", "bob", "a nightingale word")
        at = place(said, 2)
        await append(
            here.ledger,
            create("7", "alice", ["bob"]),
            said,
            edit(at, "bob", "edited nightingale"),
            delete(at, "alice"),
        )
        await until(lambda: not said_in(tmp_path, "nightingale"))


@on_a_loop
async def test_a_reader_in_the_way_is_waited_for(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        said = direct("alice", "bob", "a nightingale word")
        await append(here.ledger, said)
        other = sqlite3.connect(tmp_path / "chatd.sqlite", isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM ledger").fetchone()
        await append(here.ledger, delete(place(said, 1), "alice"))
        assert not await here.writer.truncate_log()
        assert said_in(tmp_path, "a nightingale word")
        await append(here.ledger, direct("bob", "alice", "meanwhile"))
        other.execute("COMMIT")
        await until(lambda: not said_in(tmp_path, "nightingale"))
        other.close()


@on_a_loop
async def test_a_delete_just_before_the_end_is_in_no_file_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SCRUB_SECONDS", 3_600)
    async with core(tmp_path, *USERS) as here:
        said = direct("alice", "bob", "a nightingale word")
        await append(here.ledger, said)
        await append(here.ledger, delete(place(said, 1), "alice"))
    assert not said_in(tmp_path, "nightingale")


@on_a_loop
async def test_many_deletes_are_scrubbed_together(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        said = [direct("alice", "bob", f"nightingale {n}") for n in range(30)]
        await append(here.ledger, *said)
        for seq, one in enumerate(said, 1):
            await append(here.ledger, delete(place(one, seq), "alice"))
        await until(lambda: not said_in(tmp_path, "nightingale"))
