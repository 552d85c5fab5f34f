"""chatd.stores.ledger_sqlite: what is its own. The rest is the contract of the port."""

import sqlite3
from pathlib import Path

import pytest

from chatd.errors import BackendError
from chatd.stores import mirror_sqlite, thread_sqlite
from chatd.stores.admission_sqlite import Admission
from chatd.stores.ledger_sqlite import SqliteLedger
from protocol.errors import ErrorCode
from tests.support.builders import append, core, create, direct, held, join, leave, post
from tests.support.running import on_a_loop, turns

USERS = ("alice", "bob", "carol", "dave")


@on_a_loop
async def test_a_forgotten_conversation_is_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_sqlite, "MIRRORED_CONVERSATIONS", 1)
    async with core(tmp_path, *USERS) as here:
        for n in range(1, 6):
            for to in ("bob", "carol", "dave"):
                (outcome,) = await append(here.ledger, direct("alice", to, f"{n}"))
                assert outcome.seq == n


@on_a_loop
async def test_forgotten_senders_are_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_sqlite, "MIRRORED_SENDERS", 1)
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, create("7", "alice", ["bob"]))
        for name in ("alice", "bob", "alice", "bob"):
            await append(here.ledger, post("7", name))
        outcomes = await append(
            here.ledger,
            direct("alice", "bob"),
            direct("bob", "alice"),
            direct("alice", "bob"),
            direct("bob", "alice"),
        )
        assert [outcome.befriended for outcome in outcomes] == [False, True, False, False]


@on_a_loop
async def test_what_was_undone_is_forgotten(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, create("7", "alice", ["bob"], is_open=True))
        broken = direct("alice", "bob")
        broken.sealed = None  # type: ignore[assignment]
        with pytest.raises(BackendError):
            await here.ledger.append(
                [post("7", "alice"), join("7", "carol"), leave("7", "bob"), broken]
            )
        outcomes = await here.ledger.append(
            [post("7", "bob"), post("7", "carol"), direct("bob", "alice")]
        )
        assert [outcome.code for outcome in outcomes] == [None, ErrorCode.NOT_A_MEMBER, None]
        assert [outcome.seq for outcome in outcomes] == [2, 0, 1]


@on_a_loop
async def test_other_work_that_is_undone_does_not_confuse_the_numbers(tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise RuntimeError("undo me")

    async with core(tmp_path, *USERS) as here:
        for n in range(5):
            undone = here.writer.submit(fail)
            (outcome,) = await append(here.ledger, direct("alice", "bob", f"{n}"))
            assert outcome.seq == n + 1
            with pytest.raises(RuntimeError):
                await undone


@on_a_loop
async def test_a_repeat_that_cannot_be_looked_up_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob", key="k"))
        async with held(here.writer):
            repeat = here.ledger.append([direct("alice", "bob", key="k")])
            monkeypatch.setattr(thread_sqlite, "MAX_WAITING", 0)
        with pytest.raises(BackendError):
            await repeat


@on_a_loop
async def test_a_caller_that_has_gone_leaves_its_events(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob", key="k"))
        for entry in (direct("alice", "bob"), direct("alice", "bob", key="k")):
            here.ledger.append([entry]).cancel()
        await append(here.ledger, direct("alice", "bob"))
        await turns()
        assert await here.ledger.heads(["alice-bob"]) == {"alice-bob": 3}


@on_a_loop
async def test_another_ledger_of_the_same_data_goes_on_with_the_numbers(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob"))
        another = SqliteLedger(here.writer, here.reader, Admission())
        (outcome,) = await append(another, direct("bob", "alice"))
        assert outcome.seq == 2 and outcome.befriended
