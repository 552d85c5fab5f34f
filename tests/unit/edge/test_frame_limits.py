"""chatd.edge.frame_limits"""

import pytest

from chatd.edge import frame_limits as module
from chatd.edge.frame_limits import (
    CONNECTION_BURST,
    CONNECTION_RATE,
    USER_BURST,
    USER_RATE,
    Bucket,
    FrameLimits,
    is_flooding,
    wait_ms,
)
from protocol import requests

PING = requests.Ping


def take(
    limits: FrameLimits,
    connection: Bucket,
    times: float,
    *,
    now: float = 0.0,
    username: str = "alice",
    kind: type | None = PING,
) -> int:
    """How many of so many frames at once may pass."""
    return sum(limits.take(connection, username, kind, now).tokens >= 0 for _ in range(int(times)))


def test_a_bucket_begins_full_and_fills_at_its_rate() -> None:
    bucket = Bucket(10.0, 3.0, 100.0)
    assert [bucket.take(1, 100.0) for _ in range(4)] == [2, 1, 0, -1]
    assert bucket.take(0, 100.1) == pytest.approx(0)
    assert bucket.take(1, 100.2) == pytest.approx(0)
    assert bucket.take(0, 1_000.0) == 3.0, "and never over its brim"


def test_a_burst_passes_and_then_the_rate() -> None:
    limits = FrameLimits()
    connection = limits.new_connection(0.0)
    assert take(limits, connection, CONNECTION_BURST + 10) == CONNECTION_BURST
    assert take(limits, connection, CONNECTION_RATE * 2, now=1.0) == CONNECTION_RATE - 10


def test_many_connections_share_the_users_bucket() -> None:
    limits = FrameLimits()
    passed = sum(take(limits, limits.new_connection(0.0), CONNECTION_BURST) for _ in range(4))
    assert passed == USER_BURST
    assert take(limits, limits.new_connection(0.0), 5, username="bob") == 5
    assert take(limits, limits.new_connection(9.0), CONNECTION_BURST, now=9.0) == CONNECTION_BURST


def test_the_bucket_that_has_less_is_told() -> None:
    limits = FrameLimits()
    connection = limits.new_connection(0.0)
    assert limits.take(connection, "alice", PING, 0.0) is connection
    for _ in range(3):
        take(limits, limits.new_connection(0.0), 400)
    found = limits.take(connection, "alice", PING, 0.0)
    assert found is not connection
    assert (found.rate, found.tokens) == (USER_RATE, USER_BURST - 1_202)


def test_a_connection_that_ended_leaves_its_users_debt() -> None:
    limits = FrameLimits()
    for _ in range(3):
        take(limits, limits.new_connection(0.0), CONNECTION_BURST)
    assert take(limits, limits.new_connection(0.0), 10) == 0


def test_cursors_and_typing_cost_a_fifth() -> None:
    for kind in (requests.Ack, requests.MarkRead, requests.Typing):
        limits = FrameLimits()
        connection = limits.new_connection(0.0)
        passed = take(limits, connection, 10 * CONNECTION_BURST, kind=kind)
        assert abs(passed - 5 * CONNECTION_BURST) <= 1
    whole: tuple[type | None, ...] = (requests.GroupChat, requests.Resume, None)
    for other in whole:
        limits = FrameLimits()
        connection = limits.new_connection(0.0)
        assert take(limits, connection, 2 * CONNECTION_BURST, kind=other) == CONNECTION_BURST


def test_who_waits_as_long_as_it_was_told_may_go_on() -> None:
    limits = FrameLimits()
    connection = limits.new_connection(0.0)
    take(limits, connection, CONNECTION_BURST)
    for frames in (1, 7, 100):
        now = connection._at
        assert take(limits, connection, frames, now=now) == 0
        wait = wait_ms(connection)
        assert take(limits, connection, 1, now=now + wait / 1000) == 1
        # Not much more than was needed.
        assert connection.tokens < CONNECTION_RATE * 0.002


def test_a_wait_is_at_least_a_millisecond() -> None:
    bucket = Bucket(10_000.0, 1.0, 0.0)
    bucket.take(0.5, 0.0)
    assert wait_ms(bucket) == 1


def test_who_goes_on_nevertheless_floods() -> None:
    limits = FrameLimits()
    connection = limits.new_connection(0.0)
    take(limits, connection, CONNECTION_BURST)
    assert not is_flooding(connection)
    take(limits, connection, CONNECTION_BURST - 1)
    assert not is_flooding(connection)
    take(limits, connection, 1)
    assert is_flooding(connection)


def test_full_buckets_are_forgotten() -> None:
    limits = FrameLimits()
    take(limits, limits.new_connection(0.0), 100, username="alice")
    take(limits, limits.new_connection(0.0), 400, username="bob")
    limits.sweep(100 / USER_RATE)
    assert limits._users.keys() == {"bob"}
    limits.sweep(400 / USER_RATE)
    assert not limits._users


def test_a_sweep_takes_nothing_from_anybody() -> None:
    limits = FrameLimits()
    take(limits, limits.new_connection(0.0), CONNECTION_BURST)
    for _ in range(50):
        limits.sweep(0.0)
    left = USER_BURST - CONNECTION_BURST
    assert limits._users["alice"].tokens == left


def test_at_the_limit_of_users_everybody_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USERS", 3)
    limits = FrameLimits()
    for name in ("alice", "bob", "carol"):
        take(limits, limits.new_connection(0.0), CONNECTION_BURST, username=name)
    take(limits, limits.new_connection(0.0), 1, username="alice")
    assert len(limits._users) == 3
    take(limits, limits.new_connection(0.0), 1, username="dave")
    assert limits._users.keys() == {"dave"}
