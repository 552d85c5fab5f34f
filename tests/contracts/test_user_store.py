"""Port UserStore."""

import pytest

from chatd.stores.user_store import Account, Credentials, Device, UsernameTaken
from tests.contracts.conftest import StoresBackend, on_every_store_and_with_tls
from tests.support.builders import NOW_MS, add_users
from tests.support.running import on_a_loop

pytestmark = on_every_store_and_with_tls

LATER_MS = NOW_MS + 60_000


def device(device_id: str, username: str, refresh_hash: str) -> Device:
    return Device(device_id, username, NOW_MS, refresh_hash, LATER_MS)


@on_a_loop
async def test_an_account_is_found_by_name(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await users.create("alice", "hash", "Alice A.", NOW_MS)
        await users.create("bob", "hash", None, NOW_MS)
        assert await users.accounts(["bob", "alice", "nobody"]) == {
            "alice": Account("alice", "Alice A.", None),
            "bob": Account("bob", None, None),
        }
        assert await users.accounts([]) == {}


@on_a_loop
async def test_credentials_are_what_was_created(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await users.create("alice", "the hash", None, NOW_MS)
        assert await users.credentials("alice") == Credentials("the hash", False)
        assert await users.credentials("bob") is None


@on_a_loop
async def test_a_username_is_given_out_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await users.create("alice", "first", "First", NOW_MS)
        with pytest.raises(UsernameTaken):
            await users.create("alice", "second", "Second", LATER_MS)
        assert await users.credentials("alice") == Credentials("first", False)
        assert (await users.accounts(["alice"]))["alice"].display_name == "First"


@on_a_loop
async def test_what_was_written_is_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "bob")
        await users.befriend("alice", "bob", NOW_MS)
        await users.add_device(device("phone", "alice", "r1"))
        await users.revoke_device("bob", "tablet", NOW_MS)
        await users.set_last_seen({"bob": NOW_MS})
        log_id = await users.log_id()
    async with stores.open() as (users, _, _):
        assert await users.friends("alice") == ["bob"]
        assert (await users.accounts(["bob"]))["bob"].last_seen == NOW_MS
        assert not await users.is_admitted("bob", "tablet", LATER_MS)
        assert await users.rotate_refresh("r1", "r2", LATER_MS, NOW_MS) is not None
        assert await users.log_id() == log_id
        with pytest.raises(UsernameTaken):
            await users.create("alice", "hash", None, NOW_MS)


@on_a_loop
async def test_a_refresh_token_is_exchanged_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("phone", "alice", "r1"))
        renewed = await users.rotate_refresh("r1", "r2", LATER_MS + 1, NOW_MS)
        assert renewed == Device("phone", "alice", NOW_MS, "r2", LATER_MS + 1)
        assert await users.rotate_refresh("r1", "r3", LATER_MS, NOW_MS) is None
        assert await users.rotate_refresh("r2", "r3", LATER_MS, NOW_MS) is not None


@on_a_loop
async def test_an_unknown_or_expired_refresh_token_is_refused(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("phone", "alice", "r1"))
        assert await users.rotate_refresh("other", "r2", LATER_MS, NOW_MS) is None
        assert await users.rotate_refresh("r1", "r2", LATER_MS, LATER_MS) is None
        assert await users.rotate_refresh("r1", "r2", LATER_MS, LATER_MS - 1) is not None


@on_a_loop
async def test_a_revoked_device_is_refused_and_others_are_not(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.add_device(device("phone", "alice", "r1"))
        await users.add_device(device("laptop", "alice", "r2"))
        await users.revoke_device("alice", "phone", NOW_MS)
        assert not await users.is_admitted("alice", "phone", LATER_MS)
        assert await users.is_admitted("alice", "laptop", NOW_MS)
        assert await users.rotate_refresh("r1", "r3", LATER_MS, NOW_MS) is None
        assert await users.rotate_refresh("r2", "r4", LATER_MS, NOW_MS) is not None


@on_a_loop
async def test_a_device_that_no_log_in_recorded_can_be_revoked(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        assert await users.is_admitted("alice", "unrecorded", NOW_MS)
        await users.revoke_device("alice", "unrecorded", NOW_MS)
        await users.revoke_device("alice", "unrecorded", LATER_MS)
        assert not await users.is_admitted("alice", "unrecorded", NOW_MS)


@on_a_loop
async def test_nobody_revokes_the_device_of_somebody_else(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "mallory")
        await users.add_device(device("phone", "alice", "r1"))
        await users.revoke_device("mallory", "phone", NOW_MS)
        assert await users.is_admitted("alice", "phone", NOW_MS)


@on_a_loop
async def test_all_tokens_of_a_user_are_revoked_up_to_a_time(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "bob")
        await users.add_device(device("phone", "alice", "r1"))
        await users.add_device(device("desk", "bob", "r2"))
        await users.revoke_all("alice", NOW_MS)
        assert not await users.is_admitted("alice", "phone", LATER_MS)
        assert not await users.is_admitted("alice", "unrecorded", NOW_MS)
        assert await users.is_admitted("alice", "unrecorded", NOW_MS + 1)
        assert await users.rotate_refresh("r1", "r3", LATER_MS, NOW_MS) is None
        assert await users.is_admitted("bob", "desk", NOW_MS)
        await users.add_device(Device("new phone", "alice", NOW_MS + 1, "r4", LATER_MS))
        assert await users.is_admitted("alice", "new phone", NOW_MS + 1)


@on_a_loop
async def test_an_earlier_revocation_does_not_undo_a_later_one(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice")
        await users.revoke_all("alice", LATER_MS)
        await users.revoke_all("alice", NOW_MS)
        assert not await users.is_admitted("alice", "unrecorded", LATER_MS)


@on_a_loop
async def test_a_token_of_an_account_that_is_not_there_is_refused(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        assert not await users.is_admitted("nobody", "phone", NOW_MS)


@on_a_loop
async def test_friendship_goes_both_ways_and_is_made_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "bob", "carol")
        await users.befriend("carol", "alice", NOW_MS)
        await users.befriend("alice", "bob", NOW_MS)
        await users.befriend("bob", "alice", LATER_MS)
        assert await users.friends("alice") == ["bob", "carol"]
        assert await users.friends("bob") == ["alice"]
        assert await users.friends_among("alice", ["carol", "dave", "alice"]) == {"carol"}
        assert await users.friends_among("bob", []) == set()


@on_a_loop
async def test_last_seen_only_moves_forward(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, "alice", "bob")
        await users.set_last_seen({"alice": LATER_MS, "bob": NOW_MS, "nobody": NOW_MS})
        await users.set_last_seen({"alice": NOW_MS, "bob": LATER_MS})
        await users.set_last_seen({})
        seen = await users.accounts(["alice", "bob", "nobody"])
        assert {name: account.last_seen for name, account in seen.items()} == {
            "alice": LATER_MS,
            "bob": LATER_MS,
        }


@on_a_loop
async def test_the_log_id_is_made_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        first = await users.log_id()
        assert first
        assert await users.log_id() == first


@on_a_loop
async def test_usernames_are_listed_in_pages(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        assert await users.usernames("", 10) == []
        await add_users(users, "bob", "b.c", "alice", "b_d", "7up")
        assert await users.usernames("", 10) == ["7up", "alice", "b.c", "b_d", "bob"]
        assert await users.usernames("", 2) == ["7up", "alice"]
        assert await users.usernames("alice", 2) == ["b.c", "b_d"]
        assert await users.usernames("b_d", 2) == ["bob"]
        assert await users.usernames("bob", 2) == []


@on_a_loop
async def test_the_names_have_an_epoch_until_they_get_a_new_one(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        first = await users.names_epoch()
        assert first and await users.names_epoch() == first
        await users.renew_names_epoch()
        second = await users.names_epoch()
        assert second != first and await users.names_epoch() == second
        await users.renew_names_epoch()
        assert await users.names_epoch() not in (first, second)


@on_a_loop
async def test_the_names_can_get_a_new_epoch_before_anybody_asked_for_one(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, _, _):
        await users.renew_names_epoch()
        assert await users.log_id() in await users.names_epoch()
