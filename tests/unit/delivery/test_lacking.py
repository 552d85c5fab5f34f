"""chatd.delivery.lacking"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.delivery import lacking as module
from chatd.delivery.lacking import NOTHING, Lacking, Range, add, below, take

steps = st.lists(
    st.tuples(st.just("add"), st.integers(0, 3), st.integers(1, 4))
    | st.tuples(st.just("take"), st.integers(0, 40), st.just(0)),
    max_size=20,
)


def numbers(ranges: Lacking | list[Range]) -> list[int]:
    return [number for low, high in ranges for number in range(low + 1, high + 1)]


def test_below_a_position_is_everything_up_to_it() -> None:
    assert below(0) == NOTHING == ()
    assert numbers(below(3)) == [1, 2, 3]


def test_ranges_that_meet_are_one() -> None:
    assert add(NOTHING, 3, 5) == ((3, 5),)
    assert add(((3, 5),), 5, 6) == ((3, 6),)
    assert add(((3, 5),), 6, 8) == ((3, 5), (6, 8))
    assert add(((0, 1), (3, 5)), 5, 9) == ((0, 1), (3, 9))


def test_what_is_taken_is_above_and_the_rest_is_not() -> None:
    ranges = ((0, 3), (5, 9), (11, 12))
    assert take(ranges, 0) == ([(0, 3), (5, 9), (11, 12)], ())
    assert take(ranges, 12) == ([], ranges)
    assert take(ranges, 7) == ([(7, 9), (11, 12)], ((0, 3), (5, 7)))
    assert take(ranges, 4) == ([(5, 9), (11, 12)], ((0, 3),))
    assert take(ranges, 9) == ([(11, 12)], ((0, 3), (5, 9)))
    assert take(NOTHING, 0) == ([], ())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(start=st.integers(0, 5), happened=steps)
def test_each_number_is_taken_once(start: int, happened: list[tuple[str, int, int]]) -> None:
    lacking, top = below(start), start
    expected = set(range(1, start + 1))
    for what, one, other in happened:
        if what == "add":
            low, high = top + one, top + one + other
            lacking, top = add(lacking, low, high), high
            expected |= set(range(low + 1, high + 1))
        else:
            wanted, lacking = take(lacking, one)
            assert numbers(wanted) == sorted(number for number in expected if number > one)
            expected = {number for number in expected if number <= one}
        assert numbers(lacking) == sorted(expected)
        assert all(low < high for low, high in lacking)
        ends = [end for ends in lacking for end in ends]
        assert ends == sorted(set(ends)), "ascending and apart"


def test_at_the_limit_the_lowest_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANGES", 3)
    lacking: Lacking = ((0, 1), (3, 4), (6, 7))
    lacking = add(lacking, 9, 10)
    assert lacking == ((0, 4), (6, 7), (9, 10))
    assert add(lacking, 10, 11) == ((0, 4), (6, 7), (9, 11))
