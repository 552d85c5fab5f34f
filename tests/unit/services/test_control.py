"""chatd.services.control"""

from pathlib import Path

from protocol.close import CloseCode
from tests.support.builders import core
from tests.support.running import on_a_loop


@on_a_loop
async def test_a_push_reaches_every_connection_of_the_user(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        readers = [await here.connect(name) for name in ("bob", "bob", "alice")]
        await here.control.push("bob", b"hello")
        await here.control.push("away", b"lost")
        assert [reader.sink.writes for reader in readers] == [[b"hello"], [b"hello"], []]


@on_a_loop
async def test_a_revocation_closes_the_device_or_all_of_them(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        phone, desk = await here.connect("bob", "phone"), await here.connect("bob", "desk")
        alice = await here.connect("alice", "phone")
        await here.control.revoked("bob", "phone")
        assert (phone.closes, desk.closes) == ([CloseCode.TOKEN_REVOKED], [])
        await here.control.revoked("bob", None)
        assert desk.closes == [CloseCode.TOKEN_REVOKED]
        assert alice.closes == []


@on_a_loop
async def test_what_is_stopped_hears_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, "bob") as here:
        bob = await here.connect("bob")
        await here.control.stop()
        await here.control.push("bob", b"hello")
        assert bob.sink.writes == []
