"""The metric of slow consumers stayed at zero, whoever was closed."""

from pathlib import Path

import pytest

from chatd.delivery import outbox
from protocol.close import CloseCode
from tests.edge import raw
from tests.support.builders import direct
from tests.support.house import house
from tests.support.running import on_a_quick_loop


@on_a_quick_loop
async def test_each_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "STALL_SECONDS", 0)
    async with house(tmp_path) as home, home.visit("bob", reads_ahead=False) as sleeper:
        while not home.here.metrics.slow_consumers:
            await home.here.submit(*(direct("alice", "bob", "x" * 16_000) for _ in range(100)))
        while (frame := await sleeper.frame()).opcode == raw.TEXT:
            pass
        assert frame.code == CloseCode.SLOW_CONSUMER
        assert home.here.metrics.slow_consumers == 1
