"""chatd.clock"""

import time

from chatd.clock import Clock, HandClock, SystemClock


def test_the_system_clock_tells_the_systems_time() -> None:
    clock: Clock = SystemClock()
    before = time.time_ns() // 1_000_000
    now = clock.now_ms()
    assert before <= now <= time.time_ns() // 1_000_000
    earlier = time.monotonic()
    assert earlier <= clock.monotonic() <= time.monotonic()


def test_a_hand_clock_stands_still_until_it_is_moved() -> None:
    clock = HandClock(1_000)
    assert (clock.now_ms(), clock.monotonic()) == (1_000, 0.0)
    assert (clock.now_ms(), clock.monotonic()) == (1_000, 0.0)
    clock.advance(2.5)
    assert (clock.now_ms(), clock.monotonic()) == (3_500, 2.5)
