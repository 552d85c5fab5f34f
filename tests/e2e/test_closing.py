"""Connections that the server ends: tokens at their end, a node that stops."""

import asyncio
import json
from pathlib import Path

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.pushes import OneToOneChat
from testclients.client import ChatClient
from testclients.errors import CannotConnect, ConnectionLost
from tests.e2e.town import Resident, Town
from tests.edge import raw
from tests.edge.raw import RawClient
from tests.support.loop import run, until
from tests.support.node import Node, command

CONTENT = "x" * 16_000


def test_a_slow_reader_catches_up_at_its_own_pace(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            for number in range(399):
                await writer.send(requests.OneToOneChat(to=ann.name, content=f"{number} {CONTENT}"))
            await writer.send_direct(ann.name, "last")
            async with await RawClient.connect(node.chat_port, reads_ahead=False) as reader:
                await reader.open(headers={"Authorization": f"Bearer {ann.token}"})
                assert b'"INFO"' in await reader.text()
                seqs = [json.loads(await reader.text())["seq"] for _ in range(400)]
                assert seqs == list(range(1, 401))

    run(main())


def test_a_connection_ends_with_its_token(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            printed = await asyncio.to_thread(
                command, ["token", ann.name, ann.name, "--seconds", "2"], node.settings
            )
            short, other = printed.stdout.split()
            assert short != other
            clients = [
                await town.connect(ann, token=short),
                await town.connect(ann, token=other, presence=True),
            ]
            stays = await town.connect(ann)
            writer = await town.connect(ben)
            await writer.send_direct(ann.name, "in time")
            assert (await clients[0].next_push(OneToOneChat)).content == "in time"
            for client in clients:
                assert await client.closed == CloseCode.TOKEN_EXPIRED
                assert client.close_reason == "token expired"
            await stays.ping()
            with pytest.raises(CannotConnect) as refused:
                await town.connect(ann, token=short)
            assert refused.value.http_status == 401

    run(main())


def test_a_node_that_stops_says_so_and_keeps_what_it_acked(node: Node) -> None:
    async def write(client: ChatClient, to: Resident, acked: list[tuple[str | None, int]]) -> None:
        try:
            while True:
                ack = await client.send_direct(to.name, f"{len(acked)}")
                assert ack.seq is not None
                acked.append((ack.id, ack.seq))
        except ConnectionLost:
            return

    async def main() -> tuple[Resident, Resident, list[tuple[str | None, int]]]:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            idle = [await town.connect(ben), await town.connect(ben, presence=True)]
            writer = await town.connect(ann)
            acked: list[tuple[str | None, int]] = []
            writing = asyncio.create_task(write(writer, ben, acked))
            await until(lambda: len(acked) >= 50, "some acks")
            node.terminate()
            for client in [*idle, writer]:
                assert await client.closed == CloseCode.DRAIN
                assert client.close_reason == "going away"
            await writing
            assert await asyncio.to_thread(node.wait) == 0
            return ann, ben, acked

    async def after(ann: Resident, ben: Resident, acked: list[tuple[str | None, int]]) -> None:
        async with Town(node) as town:
            reader = await town.connect(ann)
            stored: list[tuple[str | None, int]] = []
            while True:
                page = await reader.history_direct(ben.name, after=len(stored), limit=200)
                stored += [(message.id, message.seq) for message in page.messages]
                if not page.has_more:
                    break
            assert stored[: len(acked)] == acked
            assert len(stored) - len(acked) <= 1, "at most the one under way"
            assert [seq for _, seq in stored] == list(range(1, len(stored) + 1))
            # The other's connection was closed in order, so what it was sent was delivered.
            other = await town.connect(ben)
            await reader.send_direct(ben.name, "new")
            assert (await other.next_push(OneToOneChat)).seq > len(acked)

    ann, ben, acked = run(main())
    assert "stopped; everything is written" in node.log
    node.start()
    run(after(ann, ben, acked))


def test_a_node_stops_although_clients_do_not_answer(tmp_path: Path) -> None:
    async def main(node: Node) -> None:
        who = await Town(node).settle()
        async with (
            await RawClient.connect(node.chat_port) as deaf,
            await RawClient.connect(node.chat_port) as unfinished,
        ):
            await deaf.open(headers={"Authorization": f"Bearer {who.token}"})
            await unfinished.send(raw.upgrade()[:-1])
            await deaf.text()
            node.terminate()
            assert (await deaf.frame()).code == CloseCode.DRAIN
            assert await unfinished.cut() == b""
            assert await asyncio.to_thread(node.wait) == 0

    with Node(tmp_path, settings={"drain_seconds": "0.2"}) as node:
        run(main(node))
        assert node.complaints == []
