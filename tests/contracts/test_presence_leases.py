"""Port PresenceLeases."""

from tests.contracts.conftest import FabricBackend
from tests.support.running import on_a_loop


@on_a_loop
async def test_the_first_lease_makes_a_user_online(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        assert await leases.online(["alice", "bob"]) == set()
        assert await leases.renew("alice", "a1", 10)
        assert not await leases.renew("alice", "a1", 10)
        assert not await leases.renew("alice", "a2", 10)
        assert await leases.online(["alice", "bob"]) == {"alice"}
        assert await leases.online([]) == set()


@on_a_loop
async def test_the_last_release_makes_a_user_offline(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "a1", 10)
        await leases.renew("alice", "a2", 10)
        assert not await leases.release("alice", "a1")
        assert await leases.online(["alice"]) == {"alice"}
        assert await leases.release("alice", "a2")
        assert await leases.online(["alice"]) == set()
        assert not await leases.release("alice", "a2")
        assert await leases.sweep() == []


@on_a_loop
async def test_releasing_what_is_not_held_changes_nothing(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        assert not await leases.release("alice", "a1")
        await leases.renew("alice", "a1", 10)
        assert not await leases.release("alice", "other")
        assert not await leases.release("bob", "a1")
        assert await leases.online(["alice"]) == {"alice"}


@on_a_loop
async def test_a_lease_dies_unless_it_is_renewed(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "a1", 10)
        await leases.renew("bob", "b1", 10)
        await fabric.pass_time(8)
        assert not await leases.renew("alice", "a1", 10)
        await fabric.pass_time(4)
        assert await leases.online(["alice", "bob"]) == {"alice"}
        assert await leases.renew("bob", "b1", 10)


@on_a_loop
async def test_one_living_lease_is_enough(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "short", 5)
        await leases.renew("alice", "long", 20)
        await fabric.pass_time(10)
        assert await leases.online(["alice"]) == {"alice"}
        assert await leases.sweep() == []
        assert not await leases.renew("alice", "third", 5)
        await fabric.pass_time(6)
        assert await leases.release("alice", "long")
        assert await leases.sweep() == []


@on_a_loop
async def test_a_lease_that_ran_out_is_told_once(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "a1", 5)
        await leases.renew("alice", "a2", 6)
        await leases.renew("bob", "b1", 60)
        await leases.renew("carol", "c1", 5)
        assert await leases.sweep() == []
        await fabric.pass_time(10)
        assert sorted(await leases.sweep()) == ["alice", "carol"]
        assert await leases.sweep() == []
        assert await leases.renew("alice", "a1", 5)


@on_a_loop
async def test_who_came_back_before_the_sweep_is_not_told(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "a1", 5)
        await fabric.pass_time(10)
        assert await leases.renew("alice", "a2", 5)
        assert await leases.sweep() == []


@on_a_loop
async def test_a_release_after_the_lease_ran_out_ends_no_presence(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "a1", 5)
        await fabric.pass_time(10)
        assert not await leases.release("alice", "a1")
        assert await leases.online(["alice"]) == set()


@on_a_loop
async def test_a_lease_that_ran_out_is_told_also_when_it_is_released_later(
    fabric: FabricBackend,
) -> None:
    async with fabric.open() as (_, _, leases, _):
        await leases.renew("alice", "a1", 5)
        await fabric.pass_time(10)
        told = await leases.release("alice", "a1")
        assert told or await leases.sweep() == ["alice"]


@on_a_loop
async def test_many_are_renewed_at_once(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        assert await leases.renew_all([], 10) == []
        await leases.renew("bob", "b1", 10)
        many = [("alice", "a1"), ("bob", "b2"), ("carol", "c1"), ("alice", "a2")]
        assert sorted(await leases.renew_all(many, 20)) == ["alice", "carol"]
        assert await leases.renew_all(many, 20) == []
        await fabric.pass_time(15)
        assert await leases.online(["alice", "bob", "carol"]) == {"alice", "bob", "carol"}
        assert not await leases.release("alice", "a1")
        assert await leases.release("alice", "a2")
        assert not await leases.release("bob", "b1")
        await fabric.pass_time(10)
        assert sorted(await leases.sweep()) == ["bob", "carol"]


@on_a_loop
async def test_everybody_whose_leases_ran_out_is_told(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        names = [f"user{n}" for n in range(2_500)]
        await leases.renew_all([(name, name) for name in names], 5)
        await fabric.pass_time(10)
        assert sorted(await leases.sweep()) == sorted(names)
        assert await leases.sweep() == []


@on_a_loop
async def test_what_the_fabric_answers_is_known(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, _, leases, _):
        told: list[None] = []
        leases.restored = lambda: told.append(None)
        assert await leases.online(["alice"]) == set() and leases.is_known
        await leases.renew("alice", "a1", 5)
        assert leases.is_known
        for _ in range(3):
            await leases.check()
        assert leases.is_known and told == []
