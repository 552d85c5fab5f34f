"""A slow consumer that was being closed was counted as one whose pong did not come, too."""

from pathlib import Path

from chatd.services.presence import PING_SECONDS, PONG_SECONDS
from protocol.close import CloseCode
from tests.edge import raw
from tests.support.house import house
from tests.support.running import on_a_quick_loop


@on_a_quick_loop
async def test_it_is_counted_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as sleeper:
        home.pass_seconds(PING_SECONDS)
        assert (await sleeper.frame()).opcode == raw.PING
        (outbox,) = home.here.hub.connections("bob")
        outbox.shut(CloseCode.SLOW_CONSUMER)
        assert (await sleeper.frame()).code == CloseCode.SLOW_CONSUMER
        assert home.here.metrics.slow_consumers == 1
        home.pass_seconds(PONG_SECONDS)
        assert home.here.metrics.keepalive_timeouts == 0
