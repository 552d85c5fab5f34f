"""Port NameFilter."""

import asyncio

import pytest

from chatd.fabric.name_filter import of_user
from tests.contracts.conftest import Names, NamesBackend
from tests.support.builders import add_users, append, create, direct
from tests.support.running import on_a_loop

ANN, BEN, NOBODY = map(of_user, ("ann", "ben", "nobody"))


async def absent(here: Names, *names: str) -> list[bool]:
    return [await here.names.is_absent(name) for name in names]


@on_a_loop
async def test_before_it_is_built_everything_may_exist(names: NamesBackend) -> None:
    async with names.open() as here:
        assert not here.names.is_built
        assert not here.names.seems_absent(NOBODY)
        assert await absent(here, NOBODY, "7") == [False, False]
        await here.names.stop()


@on_a_loop
async def test_what_is_in_the_store_may_exist_and_nothing_else(names: NamesBackend) -> None:
    async with names.open() as here:
        await add_users(here.stores.users, "ann", "ben")
        await append(here.stores.ledger, create("7", "ann"), direct("ann", "ben"))
        await here.names.start()
        await here.built()
        assert await absent(here, ANN, BEN, "7") == [False, False, False]
        assert not any(here.names.seems_absent(name) for name in (ANN, BEN, "7"))
        # A user is no group, and a direct conversation has no name.
        assert await absent(here, NOBODY, "ann", of_user("7"), "8", "ann-ben") == [True] * 5
        assert here.names.seems_absent(NOBODY)


@pytest.mark.slow
@on_a_loop
async def test_there_are_more_than_fit_on_a_page(names: NamesBackend) -> None:
    async with names.open() as here:
        users = [f"user{n}" for n in range(2_050)]
        await asyncio.gather(*(here.stores.users.create(name, "", None, 0) for name in users))
        groups = [str(n) for n in range(1_001)]
        await append(here.stores.ledger, *(create(group, "user0") for group in groups))
        await here.names.start()
        await here.built()
        assert not any(await absent(here, *map(of_user, users), *groups))
        assert any(await absent(here, *(of_user(f"nobody{n}") for n in range(20))))


@on_a_loop
async def test_a_name_may_exist_from_its_entering_on(names: NamesBackend) -> None:
    async with names.open() as here:
        await here.names.start()
        await here.built()
        assert await absent(here, BEN, "7") == [True, True]
        async with here.names.entering(BEN), here.names.entering("7"):
            assert await absent(here, BEN, "7") == [False, False]
        # Whether it was committed or not.
        assert await absent(here, BEN, "7", NOBODY) == [False, False, True]


@on_a_loop
async def test_a_name_that_enters_again_stays(names: NamesBackend) -> None:
    async with names.open() as here:
        await here.names.start()
        await here.built()
        for _ in range(2):
            async with here.names.entering(BEN):
                pass
            assert await absent(here, BEN) == [False]


@on_a_loop
async def test_what_goes_wrong_with_a_commit_goes_through(names: NamesBackend) -> None:
    class Wrong(Exception):
        pass

    async with names.open() as here:
        await here.names.start()
        await here.built()
        try:
            async with here.names.entering(BEN):
                raise Wrong
        except Wrong:
            assert await absent(here, BEN) == [False]
        else:
            raise AssertionError("it was swallowed")


@on_a_loop
async def test_it_counts_what_it_spares_and_what_it_does_not(names: NamesBackend) -> None:
    async with names.open() as here:
        metrics = here.metrics
        await add_users(here.stores.users, "ann")
        await here.names.start()
        await here.built()
        metrics.names_lookups = metrics.names_saved = 0
        async with here.names.entering(BEN):
            pass
        await absent(here, ANN, BEN, "7", *(of_user(f"nobody{n}") for n in range(3)))
        assert not here.names.seems_absent(ANN)
        assert here.names.seems_absent(NOBODY)
        assert (metrics.names_lookups, metrics.names_saved) == (7, 4)
        assert (metrics.names_false_positives, metrics.names_false_positives_ppm) == (0, 0)
        here.names.asked_in_vain("ben")
        assert metrics.names_false_positives == 1
        # One of four look-ups of users who are not there.
        assert metrics.names_false_positives_ppm == 250_000
        here.names.asked_in_vain("nobody")
        assert metrics.names_false_positives == 1
        assert metrics.names_built == 1 and metrics.names_bytes > 0


@on_a_loop
async def test_what_the_store_says_before_it_is_built_is_no_false_positive(
    names: NamesBackend,
) -> None:
    async with names.open() as here:
        async with here.names.entering(BEN):
            pass
        here.names.asked_in_vain("ben")
        assert here.metrics.names_false_positives == 0
        assert here.metrics.names_built == 0
