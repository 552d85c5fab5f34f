"""Waits between tries."""

from hypothesis import given
from hypothesis import strategies as st

from testclients.backoff import Backoff

LIMITS = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]


def test_the_limit_doubles_up_to_the_cap_and_ends_after_ten() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next() for _ in range(10)] == LIMITS
    assert backoff.next() is None
    assert backoff.next() is None


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_each_wait_is_drawn_from_the_whole_range(drawn: list[float]) -> None:
    chance = iter(drawn)
    backoff = Backoff(lambda: next(chance))
    waits = [backoff.next() for _ in range(10)]
    assert waits == [share * limit for share, limit in zip(drawn, LIMITS, strict=True)]


def test_a_success_starts_anew() -> None:
    backoff = Backoff(lambda: 0.5)
    waits = [backoff.next() for _ in range(3)]
    assert (waits, backoff.failures) == ([0.5, 1.0, 2.0], 3)
    backoff.reset()
    assert (backoff.failures, backoff.next()) == (0, 0.5)


def test_without_a_limit_of_tries_it_goes_on_at_the_cap() -> None:
    backoff = Backoff(lambda: 1.0, base=0.1, cap=3, tries=None)
    waits = [backoff.next() for _ in range(2_000)]
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert set(waits[6:]) == {3}
