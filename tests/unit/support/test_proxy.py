"""The proxy that other tests lose services with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, until


class Echo:
    """A service that says what it is told; `heard` is that."""

    def __init__(self) -> None:
        self.heard = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1_000):
                self.heard += data
                writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    service = Echo()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()


@contextlib.asynccontextmanager
async def connection(
    proxy: Proxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


@on_a_loop
async def test_what_is_said_passes_both_ways() -> None:
    async with echo() as service:
        with Proxy("127.0.0.1", service.port) as proxy:
            async with connection(proxy) as (reader, writer):
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                assert proxy.connections == proxy.accepted == 1
            await until(lambda: proxy.connections == 0)


@on_a_loop
async def test_what_waits_while_it_stalls_passes_when_it_is_healed() -> None:
    async with echo() as service:
        with Proxy("127.0.0.1", service.port) as proxy:
            async with connection(proxy) as (reader, writer):
                writer.write(b"1")
                assert await reader.readexactly(1) == b"1"
                proxy.stall_replies()
                writer.write(b"2")
                await until(lambda: service.heard == b"12")
                proxy.stall()
                writer.write(b"3")
                reply = asyncio.ensure_future(reader.readexactly(2))
                await asyncio.wait([reply], timeout=0.1)
                assert not reply.done() and service.heard == b"12"
                proxy.heal()
                assert await reply == b"23"


@on_a_loop
async def test_a_cut_resets_and_refuses_until_it_is_healed() -> None:
    async with echo() as service:
        with Proxy("127.0.0.1", service.port) as proxy:
            async with connection(proxy) as (reader, writer):
                writer.write(b"1")
                assert await reader.readexactly(1) == b"1"
                proxy.cut()
                with pytest.raises(ConnectionError):
                    await reader.readexactly(1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
            proxy.heal()
            async with connection(proxy) as (reader, writer):
                writer.write(b"2")
                assert await reader.readexactly(1) == b"2"


@on_a_loop
async def test_a_reset_welcomes_new_connections_and_a_delay_is_one() -> None:
    async with echo() as service:
        with Proxy("127.0.0.1", service.port) as proxy:
            async with connection(proxy) as (reader, writer):
                writer.write(b"1")
                assert await reader.readexactly(1) == b"1"
                proxy.reset()
                with pytest.raises(ConnectionError):
                    await reader.readexactly(1)
            proxy.delay(0.1)
            async with connection(proxy) as (reader, writer):
                begun = asyncio.get_running_loop().time()
                writer.write(b"2")
                assert await reader.readexactly(1) == b"2"
                assert asyncio.get_running_loop().time() - begun >= 0.2


def test_its_url_is_the_services_with_its_own_port() -> None:
    with Proxy.before("rediss://:secret@127.0.0.1:1/3?ssl=1") as proxy:
        assert proxy.url == f"rediss://:secret@127.0.0.1:{proxy.port}/3?ssl=1"
