"""chatd.services.receipts"""

from pathlib import Path

from tests.support.builders import core, direct
from tests.support.running import on_a_loop

CHAT = "alice-bob"


@on_a_loop
async def test_a_cursor_is_known_at_once_and_stored_soon(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        here.receipts.delivered("bob", {CHAT: 3, "7": 1})
        assert here.receipts.known(CHAT, "bob", 0) == 3
        assert here.receipts.known(CHAT, "bob", 4) == 4
        assert here.receipts.known(CHAT, "alice", 0) == 0
        assert here.metrics.cursors_waiting == 2
        await here.receipts.drain()
        membership = await here.store.membership(CHAT, "bob")
        assert membership is not None and membership.delivered == 3


@on_a_loop
async def test_nothing_delivered_is_nothing_to_store(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        here.receipts.delivered("bob", {})
        await here.receipts.drain()
        assert here.metrics.cursors_waiting == 0
