"""chatd.services.control"""

from pathlib import Path

from protocol.close import CloseCode
from tests.support.builders import core
from tests.support.running import on_a_loop


@on_a_loop
async def test_a_push_reaches_every_connection_of_the_user(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        readers = [await here.connect(name) for name in ("bob", "bob", "alice")]
        here.relay.push(["bob"], b"hello")
        here.relay.push(["away"], b"lost")
        assert [reader.sink.writes for reader in readers] == [[b"hello"], [b"hello"], []]


@on_a_loop
async def test_a_push_reaches_all_who_are_named_but_for_one_connection(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        alice, phone, desk = [await here.connect(name) for name in ("alice", "bob", "bob")]
        besides = phone.outbox.connection_id
        here.relay.push(["alice", "bob"], b"hello", besides=besides)
        assert alice.sink.writes == desk.sink.writes == [b"hello"]
        assert phone.sink.writes == []


@on_a_loop
async def test_a_revocation_may_spare_a_device(tmp_path: Path) -> None:
    async with core(tmp_path, "bob") as here:
        devices = ("phone", "desk", "desk", "tablet")
        readers = [await here.connect("bob", device) for device in devices]
        here.control.revoked("bob", None, besides="desk")
        revoked = [CloseCode.TOKEN_REVOKED]
        assert [reader.closes for reader in readers] == [revoked, [], [], revoked]


@on_a_loop
async def test_a_revocation_closes_the_device_or_all_of_them(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        phone, desk = await here.connect("bob", "phone"), await here.connect("bob", "desk")
        alice = await here.connect("alice", "phone")
        here.control.revoked("bob", "phone")
        assert (phone.closes, desk.closes) == ([CloseCode.TOKEN_REVOKED], [])
        here.control.revoked("bob", None)
        assert desk.closes == [CloseCode.TOKEN_REVOKED]
        assert alice.closes == []


@on_a_loop
async def test_what_is_stopped_hears_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, "bob") as here:
        bob = await here.connect("bob")
        await here.control.stop()
        here.control.revoked("bob", None)
        assert bob.closes == []
