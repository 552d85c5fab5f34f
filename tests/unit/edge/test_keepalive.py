"""chatd.edge.keepalive"""

from chatd.edge.keepalive import Keepalive
from chatd.services.presence import PING_SECONDS, PONG_SECONDS
from tests.support.running import on_a_loop


class Pinged:
    """Notes in which second it is pinged and looked at."""

    def __init__(self, keepalive: Keepalive) -> None:
        self.seconds = 0
        self.pings: list[int] = []
        self.checks: list[int] = []
        self.slot = keepalive.add(self)

    def ping(self) -> None:
        self.pings.append(self.seconds)

    def check_pong(self) -> None:
        self.checks.append(self.seconds)


def turn(keepalive: Keepalive, seconds: int, *connections: Pinged) -> None:
    for _ in range(seconds):
        for connection in connections:
            connection.seconds += 1
        keepalive.turn()


@on_a_loop
async def test_a_connection_is_pinged_once_an_interval() -> None:
    keepalive = Keepalive()
    turn(keepalive, 7)
    one = Pinged(keepalive)
    turn(keepalive, 3 * PING_SECONDS + 5, one)
    assert one.pings == [PING_SECONDS, 2 * PING_SECONDS, 3 * PING_SECONDS]


@on_a_loop
async def test_a_pong_is_looked_for_when_its_time_is_over() -> None:
    keepalive = Keepalive()
    one = Pinged(keepalive)
    turn(keepalive, 2 * PING_SECONDS + PONG_SECONDS, one)
    after_pings = [second for second in one.checks if second > PING_SECONDS]
    assert after_pings == [PING_SECONDS + PONG_SECONDS, 2 * PING_SECONDS + PONG_SECONDS]


@on_a_loop
async def test_connections_have_times_of_their_own() -> None:
    keepalive = Keepalive()
    early = Pinged(keepalive)
    turn(keepalive, 11, early)
    late = Pinged(keepalive)
    turn(keepalive, PING_SECONDS + 11, early, late)
    assert early.pings == [PING_SECONDS]
    assert late.pings == [PING_SECONDS]
    turn(keepalive, PING_SECONDS, early, late)
    assert len(early.pings) == len(late.pings) == 2


@on_a_loop
async def test_a_removed_connection_is_left_alone() -> None:
    keepalive = Keepalive()
    gone, stays = Pinged(keepalive), Pinged(keepalive)
    keepalive.remove(gone, gone.slot)
    keepalive.remove(gone, gone.slot)
    turn(keepalive, 2 * PING_SECONDS, gone, stays)
    assert gone.pings == gone.checks == []
    assert len(stays.pings) == 2


@on_a_loop
async def test_a_connection_may_go_while_it_is_pinged() -> None:
    keepalive = Keepalive()

    class Quitter(Pinged):
        def ping(self) -> None:
            super().ping()
            keepalive.remove(self, self.slot)

    quitters = [Quitter(keepalive) for _ in range(3)]
    turn(keepalive, 2 * PING_SECONDS, *quitters)
    assert [quitter.pings for quitter in quitters] == [[PING_SECONDS]] * 3


@on_a_loop
async def test_the_timer_can_be_stopped() -> None:
    keepalive = Keepalive()
    keepalive.stop()
    keepalive.start()
    keepalive.stop()
