"""Port UserStore: the devices of a user, and a new password."""

from chatd.stores.user_store import Credentials, Device
from tests.contracts.conftest import StoresBackend
from tests.support.builders import NOW_MS, add_users
from tests.support.running import on_a_loop

LATER_MS = NOW_MS + 60_000


def device(device_id: str, username: str = "alice", *, at_ms: int = NOW_MS) -> Device:
    return Device(device_id, username, at_ms, f"hash of {device_id}", LATER_MS, device_id.upper())


@on_a_loop
async def test_devices_are_listed_newest_first_without_their_tokens(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "bob")
        await users.add_device(device("phone", at_ms=NOW_MS + 2))
        await users.add_device(device("laptop", at_ms=NOW_MS + 1))
        await users.add_device(device("tablet", at_ms=NOW_MS + 3)._replace(name=None))
        await users.add_device(device("desk", "bob"))
        assert await users.devices("alice") == [
            Device("tablet", "alice", NOW_MS + 3, "", LATER_MS),
            Device("phone", "alice", NOW_MS + 2, "", LATER_MS, "PHONE"),
            Device("laptop", "alice", NOW_MS + 1, "", LATER_MS, "LAPTOP"),
        ]
        assert await users.devices("nobody") == []


@on_a_loop
async def test_a_revoked_device_is_listed_no_more(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("phone"))
        await users.add_device(device("laptop"))
        await users.revoke_device("alice", "phone", NOW_MS)
        await users.revoke_device("alice", "unrecorded", NOW_MS)
        assert [one.device_id for one in await users.devices("alice")] == ["laptop"]
        await users.revoke_all("alice", NOW_MS)
        assert await users.devices("alice") == []


@on_a_loop
async def test_a_device_keeps_its_name_when_its_token_is_exchanged(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("phone"))
        renewed = await users.rotate_refresh("hash of phone", "new", LATER_MS + 1, NOW_MS)
        assert renewed == Device("phone", "alice", NOW_MS, "new", LATER_MS + 1, "PHONE")
    async with stores.open() as (users, _, _):
        assert await users.devices("alice") == [renewed._replace(refresh_hash="")]


@on_a_loop
async def test_a_new_password_revokes_every_device_but_one(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "bob")
        for name in ("phone", "laptop", "tablet"):
            await users.add_device(device(name))
        await users.add_device(device("desk", "bob"))
        await users.change_password("alice", "new hash", "laptop", NOW_MS)
        assert await users.credentials("alice") == Credentials("new hash", False)
        assert [one.device_id for one in await users.devices("alice")] == ["laptop"]
        for name in ("phone", "tablet"):
            assert not await users.is_admitted("alice", name, LATER_MS)
            assert await users.rotate_refresh(f"hash of {name}", "x", LATER_MS, NOW_MS) is None
        assert await users.credentials("bob") == Credentials("hash of bob", False)
        assert await users.is_admitted("bob", "desk", NOW_MS)


@on_a_loop
async def test_a_new_password_refuses_every_token_from_before(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("laptop"))
        await users.change_password("alice", "new hash", "laptop", NOW_MS)
        for name in ("laptop", "unrecorded"):
            assert not await users.is_admitted("alice", name, NOW_MS)
        assert await users.is_admitted("alice", "laptop", NOW_MS + 1)
        await users.change_password("alice", "newer hash", "laptop", NOW_MS - 5)
        assert not await users.is_admitted("alice", "laptop", NOW_MS), "never back"


@on_a_loop
async def test_a_device_is_given_a_new_token(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("laptop"))
        renewed = Device("laptop", "alice", NOW_MS + 9, "new", LATER_MS + 1)
        await users.renew_device(renewed)
        assert await users.devices("alice") == [
            Device("laptop", "alice", NOW_MS, "", LATER_MS + 1, "LAPTOP")
        ]
        assert await users.rotate_refresh("hash of laptop", "x", LATER_MS, NOW_MS) is None
        assert await users.rotate_refresh("new", "newer", LATER_MS, NOW_MS) is not None


@on_a_loop
async def test_a_device_that_no_log_in_recorded_is_made(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.renew_device(device("laptop"))
        assert [one.device_id for one in await users.devices("alice")] == ["laptop"]
        found = await users.rotate_refresh("hash of laptop", "new", LATER_MS, NOW_MS)
        assert found is not None and found.username == "alice"


@on_a_loop
async def test_nobody_renews_what_is_revoked_or_somebody_elses(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "mallory")
        for name in ("phone", "laptop"):
            await users.add_device(device(name))
        await users.revoke_device("alice", "phone", NOW_MS)
        await users.renew_device(device("phone")._replace(refresh_hash="again"))
        await users.renew_device(device("laptop", "mallory")._replace(refresh_hash="stolen"))
        assert await users.rotate_refresh("again", "x", LATER_MS, NOW_MS) is None
        assert await users.rotate_refresh("stolen", "x", LATER_MS, NOW_MS) is None
        assert not await users.is_admitted("alice", "phone", LATER_MS)
        assert await users.rotate_refresh("hash of laptop", "x", LATER_MS, NOW_MS) is not None
