"""A cursor that a pong moved and one that an ACK moved are told in the order of their commits, also
when looking up who is to be told takes longer for the first."""

import asyncio
from pathlib import Path
from typing import Any

from chatd.stores.ledger_sqlite import SqliteLedger
from protocol.requests import Ack
from tests.support.builders import core, create, post
from tests.support.running import on_a_loop, until

SECONDS = 0.3


class SlowAtFirst(SqliteLedger):
    """Its first answer to `posts` comes after the second, or when none is asked for meanwhile."""

    def __init__(self, *stands_on: Any) -> None:
        super().__init__(*stands_on)
        self.first_waits = True
        self.second_came = asyncio.Event()

    async def posts(self, conversation_id: str, *, after: int, up_to: int) -> list[tuple[int, str]]:
        found = await super().posts(conversation_id, after=after, up_to=up_to)
        if self.first_waits:
            self.first_waits = False
            try:
                await asyncio.wait_for(self.second_came.wait(), SECONDS)
            except TimeoutError:
                pass
        else:
            self.second_came.set()
        return found


@on_a_loop
async def test_nobody_is_told_of_a_cursor_that_goes_back(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        slow = SlowAtFirst(here.writer, here.reader, here.admission)
        here.receipts._ledger = slow
        alice, bob = await here.connect("alice"), await here.connect("bob")
        await here.submit(create("7", "alice", ["bob"]), *(post("7", "alice") for _ in range(9)))
        here.receipts.delivered("bob", {"7": 5})
        await until(lambda: not slow.first_waits)
        answers: list[object] = []
        request = Ack(group_id="7", seq=8)
        here.receipts.advance(bob.outbox.principal, request, bob.outbox, answers.append)
        await until(lambda: len(alice.of_type("DELIVERY_RECEIPT")) == 2)
        assert answers == [None]
        assert [frame["seq"] for frame in alice.of_type("DELIVERY_RECEIPT")] == [5, 8]
