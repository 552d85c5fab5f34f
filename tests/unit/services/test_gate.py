"""chatd.services.gate"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatd.fabric.name_filter import of_user
from chatd.services.gate import Gate
from chatd.stores.ledger import Entry, Outcome
from protocol.errors import ErrorCode
from tests.support.builders import (
    Core,
    Stores,
    core,
    create,
    direct,
    failing,
    join,
    post,
    traced,
)
from tests.support.names import NameNode, built_names, hasten, name_node
from tests.support.redis_database import own_database
from tests.support.running import on_a_loop, turns
from tests.support.services import service


class Answers:
    def __init__(self) -> None:
        self.told: list[tuple[Entry, Outcome]] = []

    def __call__(self, entry: Entry, outcome: Outcome) -> None:
        self.told.append((entry, outcome))

    @property
    def codes(self) -> list[ErrorCode | None]:
        return [outcome.code for _, outcome in self.told]


@asynccontextmanager
async def guarded(folder: Path, *usernames: str) -> AsyncIterator[Core]:
    """A core whose filter knows these users."""
    async with core(folder, *usernames) as here, built_names(here):
        yield here


@on_a_loop
async def test_what_is_for_nobody_is_answered_without_the_ledger(tmp_path: Path) -> None:
    async with guarded(tmp_path, "alice") as here:
        statements = await traced(here.writer)
        statements.clear()
        answers = Answers()
        here.gate.to_user(direct("alice", "nobody", done=answers), "nobody")
        here.gate.to_group(post("7", "alice", done=answers))
        await here.gate.drain()
        assert answers.codes == [ErrorCode.NO_SUCH_USER, ErrorCode.NOT_A_MEMBER]
        assert answers.told[0][1].detail == "nobody"
        assert (here.metrics.names_saved, here.metrics.commits, statements) == (2, 0, [])


@on_a_loop
async def test_an_answer_is_the_same_with_and_without_the_filter(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    told: list[list[Outcome]] = []
    async with guarded(tmp_path, "alice") as here, core(tmp_path / "bare", "alice") as bare:
        for one in (here, bare):
            answers = Answers()
            one.gate.to_user(direct("alice", "nobody", key="k", done=answers), "nobody")
            for entry in (post("7", "alice"), join("7", "alice"), post("alice-bob", "alice")):
                entry.done = answers
                one.gate.to_group(entry)
            await one.gate.drain()
            await one.journal.drain()
            told.append([outcome for _, outcome in answers.told])
        # Those for the group 7 share a look.
        assert here.metrics.names_saved == 3 and bare.metrics.names_saved == 0
    assert told[0] == told[1] and len(told[0]) == 4


@on_a_loop
async def test_what_is_there_is_let_through(tmp_path: Path) -> None:
    async with guarded(tmp_path, "alice", "bob") as here:
        answers = Answers()
        group = create("7", "alice")
        group.done = answers
        here.gate.make_group(group)
        await here.gate.drain()
        here.gate.to_user(direct("alice", "bob", done=answers), "bob")
        here.gate.to_group(post("7", "alice", done=answers))
        here.gate.to_group(post("7", "bob", done=answers))
        await here.journal.drain()
        assert answers.codes == [None, None, None, ErrorCode.NOT_A_MEMBER]
        assert here.metrics.names_false_positives == 0


@on_a_loop
async def test_a_conversation_that_is_heard_here_needs_no_look(tmp_path: Path) -> None:
    async with guarded(tmp_path, "alice", "bob") as here:
        answers = Answers()
        await here.submit(direct("alice", "bob"))
        await here.connect("alice")
        before = here.metrics.names_lookups
        here.gate.to_user(direct("alice", "bob", done=answers), "bob")
        await here.journal.drain()
        assert answers.codes == [None]
        assert here.metrics.names_lookups == before


@on_a_loop
async def test_what_the_filter_lets_through_in_vain_is_counted(tmp_path: Path) -> None:
    async with guarded(tmp_path, "alice") as here:
        async with here.names.entering(of_user("nobody")):
            pass
        answers = Answers()
        here.gate.to_user(direct("alice", "nobody", done=answers), "nobody")
        await here.journal.drain()
        assert answers.codes == [ErrorCode.NO_SUCH_USER]
        assert here.metrics.names_false_positives == 1


@on_a_loop
async def test_a_group_has_entered_before_it_is_made(tmp_path: Path) -> None:
    async with guarded(tmp_path, "alice", "bob") as here:
        answers = Answers()
        seen: list[bool] = []

        def made(entry: Entry, outcome: Outcome) -> None:
            seen.append(here.names.seems_absent("7"))
            answers(entry, outcome)

        entry = create("7", "alice", ["bob"])
        entry.done = made
        here.gate.make_group(entry)
        await here.gate.drain()
        assert (seen, answers.codes) == ([False], [None])
        refused = await here.gate.append_group(create("8", "alice", ["nobody"]))
        assert (refused.code, refused.detail) == (ErrorCode.NO_SUCH_USER, "nobody")
        assert (await here.gate.append_group(create("9", "alice"))).seq == 1


@on_a_loop
async def test_what_the_journal_refuses_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with guarded(tmp_path, "alice") as here:
        monkeypatch.setattr("chatd.services.journal.ENTRIES_WAITING", 0)
        outcome = await here.gate.append_group(create("7", "alice"))
        assert outcome.code is ErrorCode.UNAVAILABLE


class Pair:
    """Two nodes on the same stores: what `elsewhere` makes is not in the copy of `names`."""

    def __init__(self, here: Core, names: NameNode, elsewhere: NameNode) -> None:
        self.here = here
        self.names = names
        self.elsewhere = elsewhere
        self.gate = Gate(here.journal, names.names, here.hub.rooms)


@asynccontextmanager
async def pair(folder: Path, *usernames: str) -> AsyncIterator[Pair]:
    url = own_database(service("redis")["CHATD_REDIS_URL"])
    async with core(folder, *usernames) as here:
        stores = Stores(here.users, here.store, here.ledger)
        async with name_node(url, stores, starts=False) as names:
            await names.client.call("FLUSHDB")
            await names.names.start()
            await names.built()
            async with name_node(url, stores) as elsewhere:
                await elsewhere.built()
                try:
                    yield Pair(here, names, elsewhere)
                finally:
                    await here.journal.drain()


@on_a_loop
async def test_entries_for_a_name_keep_their_order_while_it_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch)
    async with pair(tmp_path, "alice", "carol") as both:
        await both.elsewhere.register("bob")
        assert both.names.names.seems_absent(of_user("bob"))
        answers = Answers()
        both.gate.to_user(direct("alice", "bob", "1", done=answers), "bob")
        both.gate.to_user(direct("carol", "bob", "a", done=answers), "bob")
        await turns(1)
        # By another look-up it is known now that he may exist; what was first is still first.
        both.names.names._copy.add(of_user("bob"))
        both.gate.to_user(direct("alice", "bob", "2", done=answers), "bob")
        both.gate.to_user(direct("alice", "carol", "b", done=answers), "carol")
        both.gate.to_user(direct("alice", "bob", "3", done=answers), "bob")
        await both.gate.drain()
        await both.here.journal.drain()
        assert answers.codes == [None] * 5
        events = await both.here.ledger.read("alice-bob", limit=9)
        contents = [b'"1"', b'"2"', b'"3"']
        assert len(events) == 3
        assert all(text in event.body for text, event in zip(contents, events, strict=True))


@on_a_loop
async def test_several_entries_for_nobody_are_all_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch)
    async with pair(tmp_path, "alice", "carol") as both:
        answers = Answers()
        lookups = both.names.metrics.names_lookups
        for sender in ("alice", "carol", "alice"):
            both.gate.to_user(direct(sender, "nobody", done=answers), "nobody")
        await both.gate.drain()
        assert answers.codes == [ErrorCode.NO_SUCH_USER] * 3
        assert both.names.metrics.names_lookups == lookups + 1
        assert both.here.metrics.commits == 0


@on_a_loop
async def test_a_group_that_cannot_enter_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch)
    async with pair(tmp_path, "alice") as both:
        answers = Answers()
        entry = create("7", "alice")
        entry.done = answers
        await both.names.client.close()
        async with failing(both.here.writer, "meta"):
            both.gate.make_group(entry)
            await both.gate.drain()
        assert answers.codes == [ErrorCode.UNAVAILABLE]
        assert await both.here.ledger.heads(["7"]) == {}


@on_a_loop
async def test_a_group_of_one_node_can_be_joined_by_another_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(monkeypatch)
    async with pair(tmp_path, "alice", "carol") as both:
        there = Gate(both.here.journal, both.elsewhere.names, {})
        answers = Answers()
        assert (await there.append_group(create("7", "alice", is_open=True))).code is None
        assert both.names.names.seems_absent("7")
        entry = join("7", "carol")
        entry.done = answers
        both.gate.to_group(entry)
        await both.gate.drain()
        await both.here.journal.drain()
        assert answers.codes == [None]
