"""chatd.delivery.sequencer, as one node that shares its conversations with others uses it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from chatd.delivery import sequencer as module
from chatd.delivery.release import Release, of_event
from tests.support.builders import (
    Core,
    Reader,
    append,
    core,
    create,
    direct,
    failing,
    join,
    leave,
    post,
)
from tests.support.nodes import two_nodes
from tests.support.running import on_a_loop, turns, until

CHAT = "alice-bob"


async def elsewhere(here: Core, count: int, conversation_id: str = CHAT) -> list[Release]:
    """Messages that another node has committed, as they come from it."""
    after = (await here.ledger.heads([conversation_id])).get(conversation_id, 0)
    await append(
        here.ledger, *(direct("alice", "bob", f"{after + n}") for n in range(1, count + 1))
    )
    return await releases(here, after, conversation_id)


async def releases(here: Core, after: int, conversation_id: str = CHAT) -> list[Release]:
    events = await here.ledger.read(conversation_id, after=after, limit=1_000)
    return [of_event(event) for event in events]


async def bob_who_has(here: Core, count: int) -> Reader:
    """Bob, connected, after so many messages."""
    await append(here.ledger, *(direct("alice", "bob") for _ in range(count)))
    bob = await here.connect("bob")
    await until(lambda: bob.seqs(CHAT) == list(range(1, count + 1)))
    return bob


def tell(here: Core, some: Sequence[Release], conversation_id: str = CHAT) -> None:
    here.sequencer.release(conversation_id, some)


@on_a_loop
async def test_what_follows_goes_on_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        tell(here, await elsewhere(here, 2))
        assert bob.seqs(CHAT) == [1, 2, 3]
        assert here.metrics.gaps_filled == 0


@on_a_loop
async def test_what_is_early_waits_for_those_before_it(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        two, three, four = await elsewhere(here, 3)
        tell(here, [four])
        tell(here, [three])
        assert bob.seqs(CHAT) == [1]
        tell(here, [two])
        assert bob.seqs(CHAT) == [1, 2, 3, 4]
        assert here.metrics.gaps_filled == 0


@on_a_loop
async def test_what_comes_again_is_left_out(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        two, three = await elsewhere(here, 2)
        for some in ([two], [two, three], [three], [two]):
            tell(here, some)
        assert bob.seqs(CHAT) == [1, 2, 3]


@on_a_loop
async def test_what_does_not_come_is_read_from_the_log(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        *_, seven = await elsewhere(here, 6)
        tell(here, [seven])
        await until(lambda: bob.seqs(CHAT) == [1, 2, 3, 4, 5, 6, 7])
        assert here.metrics.gaps_filled == 5


@on_a_loop
async def test_a_number_that_is_known_of_is_enough(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        await elsewhere(here, 3)
        here.sequencer.expect(CHAT, 3)
        await until(lambda: bob.seqs(CHAT) == [1, 2, 3])
        await here.sequencer.check([CHAT, "nowhere"])
        await until(lambda: bob.seqs(CHAT) == [1, 2, 3, 4])


@on_a_loop
async def test_a_long_gap_is_read_in_pages(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        await elsewhere(here, 2 * module._PAGE + 5)
        await here.sequencer.check([CHAT])
        await until(lambda: bob.seqs(CHAT) == list(range(1, 2 * module._PAGE + 7)))


@on_a_loop
async def test_more_that_is_early_than_is_kept_comes_from_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EARLY", 3)
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        _, *later = await elsewhere(here, 9)
        tell(here, later)
        await until(lambda: bob.seqs(CHAT) == list(range(1, 11)))


@on_a_loop
async def test_it_goes_on_when_the_log_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        _, three = await elsewhere(here, 2)
        async with failing(here.reader, "ledger"):
            tell(here, [three])
            gap = here.sequencer._gaps[CHAT]
            await until(lambda: gap.is_filling)
            await until(lambda: not gap.is_filling)
            assert bob.seqs(CHAT) == [1]
        await until(lambda: bob.seqs(CHAT) == [1, 2, 3])


@on_a_loop
async def test_a_number_that_the_log_lost_is_an_alarm_and_the_rest_goes_on(
    tmp_path: Path, error_lines: list[str]
) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        *_, four = await elsewhere(here, 3)

        await here.writer.submit(
            lambda connection: connection.execute("DELETE FROM ledger WHERE seq = 3")
        )
        tell(here, [four])
        await until(lambda: bob.seqs(CHAT) == [1, 2, 4])
        assert here.metrics.holes == 1
        assert len(error_lines) == 1 and "nothing stored from 3 to 3" in error_lines[0]


@on_a_loop
async def test_nothing_is_kept_for_a_conversation_that_nobody_is_in(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await bob_who_has(here, 1)
        _, three = await elsewhere(here, 2)
        tell(here, [three])
        here.subscriptions.disconnect(bob.outbox)
        assert not here.sequencer._gaps and here.sequencer._early == 0
        tell(here, [three])
        here.sequencer.expect(CHAT, 3)
        assert not here.sequencer._gaps


@on_a_loop
async def test_who_leaves_hears_nothing_of_what_was_early(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await here.submit(create("7", "alice", ["bob"], is_open=True))
        alice, bob = await here.connect("alice"), await here.connect("bob")
        await append(here.ledger, leave("7", "bob"), post("7", "alice", "secret"))
        left, said = await releases(here, 1, "7")
        tell(here, [said], "7")
        tell(here, [left], "7")
        await until(lambda: alice.seqs("7")[-2:] == [2, 3])
        assert bob.seqs("7")[-1] == 2


@on_a_loop
async def test_an_old_join_brings_nobody_in_who_has_left(tmp_path: Path) -> None:
    async with two_nodes(tmp_path, "alice", "bob") as nodes:
        here = nodes.one
        await here.submit(create("7", "alice", is_open=True), join("7", "bob"))
        bob = await here.connect("bob")
        (old,) = await releases(here, 1, "7")
        await here.submit(leave("7", "bob"), post("7", "alice", "secret"))
        before = bob.seqs("7")
        tell(here, [old], "7")
        for _ in range(5):
            await here.ledger.heads(["7"])
            await turns()
        assert "7" not in here.hub.rooms and bob.seqs("7") == before
