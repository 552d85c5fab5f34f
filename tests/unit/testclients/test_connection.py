"""A connection whose frames go to a sink."""

import asyncio

import pytest

from protocol import requests
from protocol.pushes import Pong, ServerFrame, Success
from protocol.requests import Request
from testclients.client import ChatClient
from testclients.errors import ConnectionLost
from tests.support.running import on_a_loop, turns
from tests.unit.testclients.scripted import ScriptedServer, message


@on_a_loop
async def test_a_sink_gets_every_frame_before_its_reply_is_given_out() -> None:
    taken: list[tuple[ServerFrame, Request | None]] = []

    async def sink(frame: ServerFrame, request: Request | None) -> None:
        taken.append((frame, request))
        await turns(3)

    async with (
        ScriptedServer() as server,
        ChatClient.connect(server.url, "token", sink=sink) as client,
    ):
        peer = await server.accept()
        pinging = asyncio.create_task(client.ping())
        ping = await peer.take(requests.Ping)
        await peer.send(message(1), Success(ref="unknown"), Pong(ref=ping.ref))
        pong = await pinging
        assert taken == [(message(1), None), (Success(ref="unknown"), None), (pong, ping)]
        await peer.send(message(2))
        await client.close()
        assert taken[3:] == [(message(2), None)]
        assert client.take_all() == []


@on_a_loop
async def test_a_sink_that_fails_ends_the_connection_and_every_request() -> None:
    async def sink(frame: ServerFrame, request: Request | None) -> None:
        raise ZeroDivisionError

    async with ScriptedServer() as server:
        client = await ChatClient.connect(server.url, "token", sink=sink)
        peer = await server.accept()
        pinging = asyncio.create_task(client.ping())
        await peer.send(Pong(ref=(await peer.take(requests.Ping)).ref))
        with pytest.raises(ConnectionLost):
            await pinging
        with pytest.raises(ZeroDivisionError):
            await client.abort()


@on_a_loop
async def test_why_a_connection_ended() -> None:
    async with ScriptedServer() as server:
        client = await ChatClient.connect(server.url, "token", resume=True)
        peer = await server.accept()
        assert peer.asks_to_resume
        await peer.ws.close(4008, "slow consumer")
        why = await client.ended()
        assert isinstance(why, ConnectionLost) and (why.code, why.reason) == (4008, "slow consumer")
        await client.close()
        other = await ChatClient.connect(f"{server.url}?a=b", "token")
        assert not (await server.accept()).asks_to_resume
        other.cut()
        why = await other.ended()
        assert isinstance(why, ConnectionLost) and why.code == 1006
        await other.close()


@on_a_loop
async def test_the_address_keeps_its_query() -> None:
    async with ScriptedServer() as server:
        query = f"{server.url}?a=b"
        async with ChatClient.connect(query, "token", resume=True, token_by="header") as client:
            peer = await server.accept()
            assert peer.ws.request is not None and peer.ws.request.path == "/?a=b&resume=1"
            await peer.send(message(1))
            assert await client.next_push() == message(1)
