"""Fifty thousand missed messages: all of them come, in order and once, at no cost of memory."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from protocol import requests
from protocol.codec import encode
from protocol.requests import Request
from tests.e2e.town import Resident, Town
from tests.edge import raw
from tests.edge.raw import RawClient
from tests.support.loop import run
from tests.support.node import Node

WRITERS: Final = 5
GROUPS_EACH: Final = 60
POSTS_EACH: Final = 167
"""In each group: 50,100 in all."""
ASKING: Final = frozenset(range(5_000, 40_000, 5_000))
"""After how many of them the reader asks for something else."""
GROWTH_MIB: Final = 48
SECONDS: Final = 60.0

decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder().decode


def frame(request: Request) -> bytes:
    return raw.frame(raw.TEXT, encode(request), mask=bytes(4))


async def opened(node: Node, who: Resident, path: str = "/") -> RawClient:
    """A connection of the user that has read INFO, and does not know what a ChatClient knows."""
    client = await RawClient.connect(node.chat_port)
    await client.open(path, headers={"Authorization": f"Bearer {who.token}"})
    assert decode(await client.text())["type"] == "INFO"
    return client


async def write(node: Node, writer: Resident, reader: Resident) -> list[str]:
    """Make groups with the reader and post in them in turn, as fast as it goes; their ids."""
    async with await opened(node, writer) as client:
        made = frame(requests.CreateGroup(name="busy", members=[reader.name]))
        await client.send(made * GROUPS_EACH)
        groups = [decode(await client.text())["groupId"] for _ in range(GROUPS_EACH)]

        async def pour() -> None:
            for number in range(POSTS_EACH):
                content = f"{number} " + "some words that fill a line of a chat. " * 4
                await client.send(
                    b"".join(frame(requests.GroupChat(group_id=g, content=content)) for g in groups)
                )

        pouring = asyncio.create_task(pour())
        for _ in range(GROUPS_EACH * POSTS_EACH):
            assert decode(await client.text())["type"] == "SUCCESS"
        await pouring
    return groups


def rss_mib(node: Node) -> float:
    """The memory of the daemon that is in use now."""
    for line in Path(f"/proc/{node.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmRSS")


def test_a_long_absence(tmp_path: Path) -> None:
    async def main(node: Node) -> None:
        town = Town(node)
        ann, *writers = await town.settle_all("ann", *["writer"] * WRITERS)
        made = await asyncio.gather(*(write(node, writer, ann) for writer in writers))
        last = dict.fromkeys([group for groups in made for group in groups], 0)
        before = peak = rss_mib(node)
        async with await opened(node, ann, "/?resume=1") as reader:
            await reader.send(frame(requests.Resume(ref="resume", positions=last)))
            events = 0
            answered: list[str] = []
            while True:
                push = decode(await reader.text())
                if "ref" in push:
                    answered.append(push["ref"])
                    if push["ref"] == "resume":
                        break
                    continue
                group, seq = push["groupId"], push["seq"]
                assert seq == last[group] + 1, f"{group}: {seq} after {last[group]}"
                assert push["prev"] == last[group]
                assert push["offline"] is True
                assert push["type"] == ("GROUP_CREATED" if seq == 1 else "GROUP_CHAT")
                assert seq == 1 or push["content"].startswith(f"{seq - 2} ")
                last[group] = seq
                events += 1
                if events in ASKING:
                    # Requests are answered meanwhile.
                    peak = max(peak, rss_mib(node))
                    await reader.send(
                        frame(requests.Ping(ref=f"ping {events}")),
                        frame(requests.GetGroupChatHistory(ref=f"page {events}", group_id=group)),
                        frame(
                            requests.OneToOneChat(
                                ref=f"post {events}", to=writers[0].name, content="busy now"
                            )
                        ),
                    )
            peak = max(peak, rss_mib(node))
            assert push == {"type": "SUCCESS", "ref": "resume"}
            assert events == WRITERS * GROUPS_EACH * (POSTS_EACH + 1)
            assert set(last.values()) == {POSTS_EACH + 1}
            # The last of it may be in the sockets by the time that the last requests are read.
            assert len(answered) > 3 * (len(ASKING) // 2), "not only at the end"
            while len(answered) < 1 + 3 * len(ASKING):
                late = decode(await reader.text())
                if "ref" in late:
                    answered.append(late["ref"])
            assert peak - before < GROWTH_MIB, f"{before:.0f} MiB before, then {peak:.0f}"
            writer = await town.connect(writers[0])
            await writer.send_group(made[0][0], "live")
            push = decode(await reader.text())
            assert (push["content"], push.get("offline")) == ("live", None)
            await writer.close()

    with Node(tmp_path) as node:
        run(main(node), seconds=SECONDS)
        assert node.complaints == []
