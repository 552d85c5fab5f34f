"""What an open connection hears and answers, however its bytes are cut, and what it refuses."""

from collections.abc import Callable, Iterator

import pytest

from chatd.edge import websocket
from protocol.limits import FRAME_BYTES
from tests.edge import raw
from tests.edge.listener import Listener
from tests.edge.raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, RawClient, frame
from tests.support.loop import run


def test_a_frame_may_be_cut_anywhere() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            for payload in (b"", b"short", b"with two bytes of length " * 6):
                for one, other in raw.halves(frame(TEXT, payload)):
                    await client.send(one, other)
                    assert await client.text() == payload
            payload = b"with eight bytes of length " * 2500
            whole = frame(TEXT, payload)
            for position in (*range(1, 20), len(whole) // 2, len(whole) - 1):
                await client.send(whole[:position], whole[position:])
                assert await client.text() == payload

    run(main())


def test_frames_may_come_byte_by_byte() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            sent = frame(TEXT, b"a" * 130) + frame(PING, b"?") + frame(TEXT, b"b")
            await client.send(*(bytes([byte]) for byte in sent))
            assert await client.frames(3) == ([b"a" * 130, b"b"], [b"?"])

    run(main())


async def let_it_be_read(listener: Listener) -> None:
    """Return when the server has read what was sent before: it reads in the order of coming."""
    async with await RawClient.connect(listener.port) as other:
        await other.open()


def test_a_packet_that_looks_like_a_frame_may_be_part_of_one() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            inner = frame(TEXT, b"no message", mask=bytes(4))
            outer = frame(TEXT, b"around it: " + inner, mask=bytes(4))
            assert outer.endswith(inner)
            await client.send(outer.removesuffix(inner))
            await let_it_be_read(listener)
            await client.send(inner)
            assert await client.text() == b"around it: " + inner

    run(main(), debug=True)


def test_a_text_inside_a_fragmented_one_is_refused_in_a_packet_of_its_own_too() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(TEXT, b"begun", fin=False))
            await let_it_be_read(listener)
            await client.send(frame(TEXT, b"another"))
            assert await client.close_code() == 1002
            assert listener.ears[0].heard == []

    run(main(), debug=True)


def test_many_frames_may_come_in_one_packet() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            texts = [b"%d" % number for number in range(500)]
            await client.send(b"".join(frame(TEXT, text) for text in texts))
            assert [await client.text() for _ in texts] == texts

    run(main(), debug=True)


def test_fragments_are_put_together_with_control_frames_between_them() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            whole = "grüße".encode()
            await client.send(
                frame(TEXT, whole[:3], fin=False),  # in the middle of a character
                frame(PING, b"one"),
                frame(CONT, whole[3:4], fin=False) + frame(PONG, b"unasked"),
                frame(PING, b"two"),
                frame(CONT, whole[4:]),
                frame(TEXT, b"after"),
            )
            texts, pongs = await client.frames(5)
            assert texts == [b"pong", whole, b"after"]
            assert pongs == [b"one", b"two"]

    run(main(), debug=True)


def test_a_fragmented_binary_message_is_told_once_when_it_is_whole() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(BINARY, b"\xff", fin=False), frame(CONT, b"\xfe", fin=False))
            await client.send(frame(PING), frame(CONT), frame(BINARY, b"\xff"), frame(TEXT, b"x"))
            assert await client.frames(4) == ([b"binary", b"binary", b"x"], [b""])
            assert listener.ear.binaries == 2

    run(main(), debug=True)


def test_thousands_of_empty_fragments_are_one_message() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            empty = frame(CONT, fin=False)
            await client.send(frame(TEXT, b"a", fin=False), empty * 5_000, frame(CONT, b"z"))
            assert await client.text() == b"az"
            await client.send(frame(TEXT, fin=False), empty * 5_000, frame(CONT))
            assert await client.text() == b""

    run(main())


def whole(size: int) -> bytes:
    return frame(TEXT, b"x" * size)


def in_three(size: int) -> bytes:
    third = size // 3
    return (
        frame(TEXT, b"x" * third, fin=False)
        + frame(CONT, b"x" * third, fin=False)
        + frame(CONT, b"x" * (size - 2 * third))
    )


def last_byte_alone(size: int) -> bytes:
    return frame(TEXT, b"x" * (size - 1), fin=False) + frame(CONT, b"x")


@pytest.mark.parametrize("make", [whole, in_three, last_byte_alone])
def test_a_message_may_have_the_size_of_the_limit_and_not_a_byte_more(
    make: Callable[[int], bytes],
) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            for _ in range(2):
                await client.send(make(FRAME_BYTES))
                assert await client.text() == b"x" * FRAME_BYTES
            await client.send(make(FRAME_BYTES + 1), frame(TEXT, b"not heard"))
            assert await client.close_code() == 1009
            client.writer.close()
            assert not await listener.ear.ended
            assert len(listener.ear.heard) == 2

    run(main(), debug=True)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x81\xff" + (FRAME_BYTES + 1).to_bytes(8, "big"), id="one over"),
        pytest.param(b"\x82\xff" + (2**62).to_bytes(8, "big"), id="binary"),
        pytest.param(b"\x81\xff\xff" + b"\xff" * 7, id="more than there can be"),
    ],
)
def test_a_frame_that_announces_too_much_is_refused_by_its_head(head: bytes) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(head)
            assert await client.close_code() == 1009

    run(main(), debug=True)


def against_the_protocol() -> Iterator[object]:
    yield pytest.param(frame(TEXT, b"x", masked=False), id="unmasked text")
    yield pytest.param(frame(PING, b"x", masked=False), id="unmasked ping")
    for reserved in (1, 2, 4, 7):
        yield pytest.param(frame(TEXT, b"x", reserved=reserved), id=f"reserved bits {reserved}")
        yield pytest.param(frame(PING, b"x", reserved=reserved), id=f"of a ping {reserved}")
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield pytest.param(frame(opcode, b"x"), id=f"opcode {opcode}")
    for opcode, name in ((PING, "ping"), (PONG, "pong"), (CLOSE, "close")):
        yield pytest.param(frame(opcode, b"\3\xe8", fin=False), id=f"fragmented {name}")
        yield pytest.param(frame(opcode, b"\3\xe8" + b"x" * 124), id=f"long {name}")
    yield pytest.param(frame(CONT, b"x"), id="nothing to continue")
    yield pytest.param(frame(CONT, fin=False), id="nothing to go on with")
    yield pytest.param(frame(TEXT, fin=False) + frame(TEXT), id="text inside a text")
    yield pytest.param(frame(TEXT, fin=False) + frame(BINARY), id="binary inside a text")
    yield pytest.param(frame(CLOSE, b"\3"), id="half a close code")
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535):
        yield pytest.param(raw.close(code), id=f"close code {code}")


@pytest.mark.parametrize("sent", list(against_the_protocol()))
def test_what_is_against_the_protocol_ends_the_connection(sent: bytes) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(TEXT, b"before") + sent + frame(TEXT, b"not heard"))
            echo = await client.frame()
            assert echo == Frame(TEXT, b"before"), "what came before it was heard"
            assert await client.close_code() == 1002
            client.writer.close()
            await listener.all_lost()
            assert listener.ear.heard[0] == b"before"
            assert b"not heard" not in listener.ear.heard

    run(main(), debug=True)


@pytest.mark.parametrize("size", [0, 1, 125])
def test_a_ping_is_answered_with_its_payload(size: int) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            payload = bytes(range(size))
            await client.send(frame(PING, payload))
            assert await client.frame() == Frame(PONG, payload)
            assert listener.ear.pongs == 0

    run(main(), debug=True)


def test_a_client_that_pings_and_never_reads_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "UNSENT_BYTES", 64 * 1024)

    async def main() -> None:
        async with (
            Listener() as listener,
            await RawClient.connect(listener.port, reads_ahead=False) as client,
        ):
            await client.open()
            flood = frame(PING, b"x" * 125) * 1_000
            unsent = 0
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while True:
                    await client.send(flood)
                    unsent = max(unsent, listener.sockets[0].transport.get_write_buffer_size())
            assert unsent <= 65 * 1024
            assert not await listener.ear.ended

    run(main())


def test_the_receiver_is_told_when_the_client_reads_too_slowly() -> None:
    async def main() -> None:
        async with (
            Listener() as listener,
            await RawClient.connect(listener.port, reads_ahead=False) as client,
        ):
            await client.open()
            sent = 0
            while listener.ear.pauses == 0:
                await client.send(frame(TEXT, b"x" * 100_000))
                sent += 1
            for _ in range(sent):
                assert await client.text() == b"x" * 100_000
            assert listener.ear.pauses == 0, "each pause was followed by one resumption"

    run(main())
