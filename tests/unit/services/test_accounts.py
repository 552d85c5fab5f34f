"""chatd.services.accounts"""

import asyncio
from pathlib import Path

import pytest

from chatd.auth import TOKEN_SECONDS
from chatd.errors import ChatError
from chatd.fabric.name_filter import of_user
from chatd.services import accounts as module
from chatd.services.accounts import REFRESH_MS, Registration
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.model import User
from tests.support.builders import Core, Reader, core, held, traced
from tests.support.names import built_names
from tests.support.running import on_a_loop, until

PASSWORD = "correct horse"


async def code_of(work: object) -> ErrorCode:
    with pytest.raises(ChatError) as refused:
        await work  # type: ignore[misc]
    return refused.value.code


@on_a_loop
async def test_who_registers_is_logged_in(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        made = await here.accounts.register("alice", PASSWORD, "Alice A.")
        assert made.user == User(username="alice", display_name="Alice A.")
        assert made.expires_in == TOKEN_SECONDS
        principal = await here.accounts.authenticate(made.token)
        assert principal.username == "alice"
        assert principal.expires_at == here.clock.now_ms() // 1000 + TOKEN_SECONDS


@on_a_loop
async def test_a_log_in_is_a_device_of_its_own(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        first = await here.accounts.register("alice", PASSWORD, None)
        second = await here.accounts.log_in("alice", PASSWORD)
        assert second.user == User(username="alice")
        devices = {
            (await here.accounts.authenticate(made.token)).device_id for made in (first, second)
        }
        assert len(devices) == 2


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "wrong password"), ("nobody", PASSWORD), ("Alice", PASSWORD), ("alice\n", PASSWORD)],
)
@on_a_loop
async def test_wrong_credentials_are_all_alike(
    tmp_path: Path, username: str, password: str
) -> None:
    async with core(tmp_path) as here:
        await here.accounts.create("alice", PASSWORD, None)
        with pytest.raises(ChatError) as refused:
            await here.accounts.log_in(username, password)
        assert refused.value.code is ErrorCode.WRONG_CREDENTIALS
        assert refused.value.message == "no account has this username with this password"


@pytest.mark.parametrize(
    "username", ["ab", "x" * 33, "Alice", ".dot", "a-b", "a b", "abc\n", "é12"]
)
@on_a_loop
async def test_a_username_has_its_form(tmp_path: Path, username: str) -> None:
    async with core(tmp_path) as here:
        work = here.accounts.create(username, PASSWORD, None)
        assert await code_of(work) is ErrorCode.INVALID_FIELD


@pytest.mark.parametrize("display_name", ["", "x" * 101, "two\nlines", "\x00"])
@on_a_loop
async def test_a_display_name_can_be_seen(tmp_path: Path, display_name: str) -> None:
    async with core(tmp_path) as here:
        work = here.accounts.create("alice", PASSWORD, display_name)
        assert await code_of(work) is ErrorCode.INVALID_FIELD


@on_a_loop
async def test_a_username_is_taken_once(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        await here.accounts.create("alice", PASSWORD, None)
        again = here.accounts.register("alice", "another password", None)
        assert await code_of(again) is ErrorCode.USERNAME_TAKEN
        await here.accounts.log_in("alice", PASSWORD)


@on_a_loop
async def test_a_weak_password_makes_no_account(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        assert await code_of(here.accounts.create("alice", "short", None)) is (
            ErrorCode.WEAK_PASSWORD
        )
        assert not await here.accounts.exists("alice")


@pytest.mark.parametrize(
    ("registration", "code"),
    [
        (Registration.CLOSED, ErrorCode.FORBIDDEN),
        (Registration.INVITE, ErrorCode.INVITE_EXPIRED),
    ],
)
@on_a_loop
async def test_who_may_register_is_a_setting(
    tmp_path: Path, registration: Registration, code: ErrorCode
) -> None:
    async with core(tmp_path, registration=registration) as here:
        assert await code_of(here.accounts.register("alice", PASSWORD, None)) is code
        await here.accounts.create("alice", PASSWORD, None)
        await here.accounts.log_in("alice", PASSWORD)


@on_a_loop
async def test_a_refresh_token_works_once(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        first = await here.accounts.register("alice", PASSWORD, None)
        here.clock.advance(60)
        second = await here.accounts.refresh(first.refresh_token)
        assert second.refresh_token != first.refresh_token
        one, two = [await here.accounts.authenticate(made.token) for made in (first, second)]
        assert one.device_id == two.device_id
        assert two.expires_at == one.expires_at + 60
        assert await code_of(here.accounts.refresh(first.refresh_token)) is (
            ErrorCode.UNAUTHENTICATED
        )
        await here.accounts.refresh(second.refresh_token)


@on_a_loop
async def test_tokens_end_with_their_time(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        made = await here.accounts.register("alice", PASSWORD, None)
        here.clock.advance(TOKEN_SECONDS)
        assert await code_of(here.accounts.authenticate(made.token)) is ErrorCode.UNAUTHENTICATED
        here.clock.advance(REFRESH_MS / 1000 - TOKEN_SECONDS)
        assert await code_of(here.accounts.refresh(made.refresh_token)) is (
            ErrorCode.UNAUTHENTICATED
        )


async def three_devices(here: Core) -> tuple[list[str], list[Reader]]:
    """Tokens of two devices of alice and one of bob, and a connection of each."""
    made = [
        await here.accounts.register("alice", PASSWORD, None),
        await here.accounts.log_in("alice", PASSWORD),
        await here.accounts.register("bob", PASSWORD, None),
    ]
    readers = []
    for logged_in in made:
        principal = await here.accounts.authenticate(logged_in.token)
        readers.append(await here.connect(principal.username, principal.device_id))
    here.clock.advance(1)
    return [logged_in.token for logged_in in made], readers


@on_a_loop
async def test_logging_out_ends_one_device(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        tokens, readers = await three_devices(here)
        principal = await here.accounts.authenticate(tokens[0])
        await here.accounts.log_out(principal, everywhere=False)
        assert await code_of(here.accounts.authenticate(tokens[0])) is ErrorCode.UNAUTHENTICATED
        for token in tokens[1:]:
            await here.accounts.authenticate(token)
        assert [reader.closes for reader in readers] == [[CloseCode.TOKEN_REVOKED], [], []]


@on_a_loop
async def test_logging_out_everywhere_ends_every_device(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        tokens, readers = await three_devices(here)
        principal = await here.accounts.authenticate(tokens[0])
        await here.accounts.log_out(principal, everywhere=True)
        for token in tokens[:2]:
            assert await code_of(here.accounts.authenticate(token)) is ErrorCode.UNAUTHENTICATED
        await here.accounts.authenticate(tokens[2])
        revoked = [CloseCode.TOKEN_REVOKED]
        assert [reader.closes for reader in readers] == [revoked, revoked, []]
        here.clock.advance(1)
        again = await here.accounts.log_in("alice", PASSWORD)
        await here.accounts.authenticate(again.token)


@on_a_loop
async def test_a_token_of_nobody_is_refused(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        token = here.tokens.sign("ghost", "phone", here.clock.now_ms())
        assert await code_of(here.accounts.authenticate(token)) is ErrorCode.UNAUTHENTICATED
        assert await code_of(here.accounts.authenticate("nonsense")) is ErrorCode.UNAUTHENTICATED


@on_a_loop
async def test_a_profile_is_looked_up_once(tmp_path: Path) -> None:
    async with core(tmp_path, "alice") as here:
        for _ in range(3):
            assert await here.accounts.profile("alice") == User(
                username="alice", display_name="Alice"
            )
        assert (here.metrics.cache_misses, here.metrics.cache_hits) == (1, 2)


@on_a_loop
async def test_a_name_that_is_free_is_not_remembered(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        assert not await here.accounts.exists("alice")
        await here.accounts.create("alice", PASSWORD, None)
        assert await here.accounts.exists("alice")


@on_a_loop
async def test_too_many_log_ins_at_once_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with core(tmp_path) as here:
        await here.accounts.create("alice", PASSWORD, None)
        monkeypatch.setattr(module, "HASHES_WAITING", 0)
        assert await code_of(here.accounts.log_in("alice", PASSWORD)) is ErrorCode.RATE_LIMITED
        monkeypatch.undo()
        await here.accounts.log_in("alice", PASSWORD)


# Devices, and a new password.

NEW_PASSWORD = "battery staple"


@on_a_loop
async def test_devices_are_listed_by_their_names(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        await here.accounts.register("alice", PASSWORD, None)
        here.clock.advance(1)
        made = await here.accounts.log_in("alice", PASSWORD, "Alice's phone")
        principal = await here.accounts.authenticate(made.token)
        newest, oldest = await here.accounts.devices(principal)
        assert (newest.name, oldest.name) == ("Alice's phone", None)
        assert newest.device_id == principal.device_id
        assert newest.created_at == here.clock.now_ms()
        assert newest.refresh_hash == oldest.refresh_hash == ""


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines"])
@on_a_loop
async def test_the_name_of_a_device_can_be_seen(tmp_path: Path, name: str) -> None:
    async with core(tmp_path) as here:
        await here.accounts.create("alice", PASSWORD, None)
        work = here.accounts.log_in("alice", PASSWORD, name)
        assert await code_of(work) is ErrorCode.INVALID_FIELD


@on_a_loop
async def test_a_device_is_logged_out_by_another(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        tokens, readers = await three_devices(here)
        phone, desk, bobs = [await here.accounts.authenticate(token) for token in tokens]
        assert await here.accounts.log_out_device(phone, desk.device_id)
        assert [reader.closes for reader in readers] == [[], [CloseCode.TOKEN_REVOKED], []]
        assert await code_of(here.accounts.authenticate(tokens[1])) is ErrorCode.UNAUTHENTICATED
        assert [one.device_id for one in await here.accounts.devices(phone)] == [phone.device_id]
        for device_id in (desk.device_id, bobs.device_id, "unknown"):
            assert not await here.accounts.log_out_device(phone, device_id)
        await here.accounts.authenticate(tokens[2])
        assert await here.accounts.log_out_device(phone, phone.device_id), "itself too"
        assert readers[0].closes == [CloseCode.TOKEN_REVOKED]


@on_a_loop
async def test_a_new_password_logs_the_others_out(tmp_path: Path) -> None:
    async with core(tmp_path) as here:
        tokens, readers = await three_devices(here)
        phone = await here.accounts.authenticate(tokens[0])
        made = await here.accounts.change_password(phone, PASSWORD, NEW_PASSWORD)
        assert [reader.closes for reader in readers] == [[], [CloseCode.TOKEN_REVOKED], []]
        for token in tokens[:2]:
            assert await code_of(here.accounts.authenticate(token)) is ErrorCode.UNAUTHENTICATED
        await here.accounts.authenticate(tokens[2])
        again = await here.accounts.authenticate(made.token)
        assert (again.username, again.device_id) == (phone.username, phone.device_id)
        assert [one.device_id for one in await here.accounts.devices(again)] == [phone.device_id]
        await here.accounts.refresh(made.refresh_token)
        assert await code_of(here.accounts.log_in("alice", PASSWORD)) is (
            ErrorCode.WRONG_CREDENTIALS
        )
        await here.accounts.log_in("alice", NEW_PASSWORD)


@pytest.mark.parametrize(
    ("current", "new", "code"),
    [
        ("wrong password", NEW_PASSWORD, ErrorCode.WRONG_CREDENTIALS),
        (PASSWORD, "short", ErrorCode.WEAK_PASSWORD),
        (PASSWORD, "x" * 73, ErrorCode.WEAK_PASSWORD),
    ],
)
@on_a_loop
async def test_a_password_that_is_not_changed_changes_nothing(
    tmp_path: Path, current: str, new: str, code: ErrorCode
) -> None:
    async with core(tmp_path) as here:
        tokens, readers = await three_devices(here)
        phone = await here.accounts.authenticate(tokens[0])
        assert await code_of(here.accounts.change_password(phone, current, new)) is code
        for token in tokens:
            await here.accounts.authenticate(token)
        assert [reader.closes for reader in readers] == [[], [], []]
        await here.accounts.log_in("alice", PASSWORD)


@on_a_loop
async def test_nobody_is_looked_up_where_the_name_filter_knows_better(tmp_path: Path) -> None:
    async with core(tmp_path, "alice") as here, built_names(here):
        statements = await traced(here.reader)
        statements.clear()
        assert not await here.accounts.exists("nobody")
        assert statements == []
        assert await here.accounts.exists("alice")
        assert here.metrics.names_saved == 1


@on_a_loop
async def test_an_account_has_entered_the_name_filter_before_it_is_made(tmp_path: Path) -> None:
    async with core(tmp_path) as here, built_names(here):
        async with held(here.writer):
            making = asyncio.create_task(here.accounts.create("alice", PASSWORD, None))
            await until(lambda: not here.names.seems_absent(of_user("alice")))
            assert not making.done()
        await making
        assert await here.accounts.exists("alice")
        assert await code_of(here.accounts.create("alice", PASSWORD, None)) is (
            ErrorCode.USERNAME_TAKEN
        )
        # A name that entered and was not made is free.
        async with here.names.entering(of_user("bob")):
            pass
        assert not await here.accounts.exists("bob")
        assert here.metrics.names_false_positives == 1
        await here.accounts.create("bob", PASSWORD, None)
