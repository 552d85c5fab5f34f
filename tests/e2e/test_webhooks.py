"""Webhooks of the embedded default, which has no worker. Of the real backends: test_worker.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testclients.client import ChatClient
from tests.e2e.rest import done, refused, rest
from tests.e2e.town import Resident, Town, chat_of
from tests.support.loop import run
from tests.support.node import Node, command
from tests.support.receiver import SECRET, Receiver
from tests.support.running import until

PATH = "/api/users/me/webhook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


async def write(writer: ChatClient, to: Resident, *texts: str) -> None:
    for text in texts:
        await writer.send_direct(to.name, text)


def test_the_operators_webhook_is_told(receiver: Receiver, tmp_path: Path) -> None:
    async def main(node: Node) -> None:
        async with Town(node) as town:
            ann, ben, cid = await town.settle_all("ann", "ben", "cid")
            writer = await town.connect(ann)
            await town.connect(cid)
            await write(writer, ben, "one", "two", "three")
            await write(writer, cid, "here")
            await until(lambda: bool(receiver.told) and receiver.told[-1].json["last"] == 3)
            assert {told.json["username"] for told in receiver.told} == {ben.name}
            last = receiver.told[-1]
            assert last.is_signed(SECRET)
            assert last.json == {
                "event": "offline",
                "conversationId": chat_of(ann, ben),
                "kind": "direct",
                "username": ben.name,
                "first": 1,
                "last": 3,
                "unread": 3,
            }
            told = len(receiver.told)
            await until(lambda: node.metric("chatd_pushes_total") == told)

    settings = {
        "webhook_url": receiver.url,
        "webhook_secret": SECRET,
        "webhook_pause_seconds": "0",
    }
    with Node(tmp_path, settings=settings) as node:
        run(main(node))
        assert node.stop() == 0
        assert node.complaints == []


def test_ones_own_webhook_is_told_and_may_not_lead_inside(
    receiver: Receiver, tmp_path: Path
) -> None:
    async def main(node: Node) -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            assert (await rest(town, "GET", PATH, ben)).status == 404
            inside = receiver.url.replace("127.0.0.1", "127.0.0.2")
            assert await refused(town, "PUT", PATH, ben, {"url": inside}) == "INVALID_FIELD"
            made = await done(town, "PUT", PATH, ben, {"url": receiver.url})
            writer = await town.connect(ann)
            await write(writer, ben, "one")
            await until(lambda: len(receiver.told) == 1)
            assert receiver.told[0].json["username"] == ben.name
            assert receiver.told[0].is_signed(made["secret"])
            assert made["secret"] not in node.log
            assert (await rest(town, "DELETE", PATH, ben)).status == 204
            assert (await rest(town, "GET", PATH, ben)).status == 404

    with Node(tmp_path, settings={"webhook_allow": "127.0.0.1"}) as node:
        run(main(node))
        assert node.stop() == 0
        assert node.complaints == []


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"webhook_url": "http://127.0.0.1/"}, "CHATD_WEBHOOK_SECRET"),
        ({"webhook_url": "ftp://x/", "webhook_secret": SECRET}, "CHATD_WEBHOOK_URL"),
        ({"webhook_secret": "whsec_short"}, "CHATD_WEBHOOK_SECRET"),
        ({"webhook_allow": "10.0.0.0/33"}, "CHATD_WEBHOOK_ALLOW"),
        ({"webhook_pause_seconds": "-1"}, "CHATD_WEBHOOK_PAUSE_SECONDS"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: dict[str, str], word: str) -> None:
    ended = command(["check-config"], settings)
    assert ended.returncode == 2
    assert word in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert "whsec_short" not in ended.stderr
