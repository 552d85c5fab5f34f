"""chatd.services.standing: what a node knows of who may read while the store cannot be asked."""

from pathlib import Path

import pytest

from chatd.errors import BackendError
from chatd.services.standing import Standing
from protocol.model import HistoryVisibility
from tests.support.builders import Core, core, create, direct, failing, join, leave, post
from tests.support.running import on_a_loop


async def standing(here: Core, conversation_id: str, username: str) -> Standing | None:
    return await here.histories._standings.of(conversation_id, username)


@on_a_loop
async def test_the_store_says_it(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await here.submit(direct("alice", "bob"), create("7", "alice", is_open=True))
        await here.submit(post("7", "alice"), join("7", "bob"))
        assert await standing(here, "alice-bob", "bob") == Standing(True, 0, 1, 0)
        assert await standing(here, "7", "bob") == Standing(False, 2, 3, 3)
        assert await standing(here, "8", "bob") is None


@on_a_loop
async def test_without_the_store_a_connected_user_may_read_what_it_might_before(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, "alice", "bob", "carol") as here:
        await here.submit(direct("alice", "bob"), create("7", "alice", is_open=True))
        await here.submit(post("7", "alice"), join("7", "bob"))
        await here.submit(create("8", "alice", ["bob"], history=HistoryVisibility.ALL))
        await here.connect("bob")
        await here.connect("carol")
        await here.submit(post("7", "alice"), join("7", "carol"))
        async with failing(here.reader, "member"):
            assert await standing(here, "alice-bob", "bob") == Standing(True, 0, None, None)
            assert await standing(here, "7", "bob") == Standing(False, 2, None, None)
            assert await standing(here, "8", "bob") == Standing(False, 0, None, None)
            assert await standing(here, "7", "carol") == Standing(False, 4, None, None)
            for conversation_id, username in (("7", "alice"), ("8", "carol"), ("9", "bob")):
                with pytest.raises(BackendError):
                    await standing(here, conversation_id, username)


@on_a_loop
async def test_without_the_store_who_left_may_not_read(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await here.submit(create("7", "alice", ["bob"], is_open=True))
        await here.connect("bob")
        await here.submit(leave("7", "bob"))
        async with failing(here.reader, "member"):
            with pytest.raises(BackendError):
                await standing(here, "7", "bob")
        await here.submit(join("7", "bob"))
        async with failing(here.reader, "member"):
            assert await standing(here, "7", "bob") == Standing(False, 2, None, None)


def test_a_membership_that_ended_meanwhile() -> None:
    before = Standing(False, 0, 9, 1)
    assert before.ended_before(None)
    assert before.ended_before(Standing(False, 4, 9, 5))
    assert not before.ended_before(before)
    assert not before.ended_before(Standing(False, 0, None, None)), "not known"
