"""Who stalls, who is watched, and who only counts."""

from collections import Counter

import pytest

from bench.plan import Reading, Seat
from bench.scenarios.stalled import seated


def seats(members: int) -> list[Seat]:
    return [Seat(n, f"user{n}", b"first", (), "post", comeback=b"again") for n in range(members)]


@pytest.mark.parametrize(("percent", "stalled"), [(0, 0), (1, 10), (10, 100), (33, 330), (90, 900)])
def test_as_many_stall_as_was_asked_for(percent: int, stalled: int) -> None:
    counts = Counter(seat.reading for seat in seated(seats(1_001), percent)[1:])
    assert counts[Reading.STALLS] == stalled
    assert counts[Reading.TIMED] == -(-(1_000 - stalled) // 10)
    assert counts[Reading.IN_ROUNDS] == 1_000 - stalled - counts[Reading.TIMED]


def test_the_stalled_are_spread_over_all() -> None:
    stalled = [seat.number for seat in seated(seats(101), 10) if seat.reading is Reading.STALLS]
    assert stalled == list(range(10, 101, 10))


def test_the_poster_is_as_it_was_and_only_the_stalled_come_back() -> None:
    poster, *members = seated(seats(21), 50)
    assert poster == seats(1)[0]
    assert all(bool(seat.comeback) is (seat.reading is Reading.STALLS) for seat in members)
