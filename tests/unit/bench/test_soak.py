"""Who talks with whom in a soak, and what is found of what went wrong."""

import pytest

from bench.options import parse
from bench.scenarios.soak import shape_of, tally_mixed, title
from bench.shapes import MixedShape
from bench.tally import Tally

SHAPE = MixedShape(pairs=2, groups=1, group_members=4)
NUMBERS = range(30)
GROUP = list(NUMBERS)[2::3]
"""The messages of the group, whose members are the seats 4 to 7."""


def good() -> dict[int, list[int]]:
    """What everybody receives, in an order of the group's own; seat 8 is in no conversation."""
    order = [*GROUP[:2], GROUP[3], GROUP[2], *GROUP[4:]]
    received: dict[int, list[int]] = {
        seat: [n for n in NUMBERS if n % 3 == seat // 2 and SHAPE.sender(n) != seat]
        for seat in range(4)
    }
    for seat in range(4, 8):
        received[seat] = [n for n in order if SHAPE.sender(n) != seat]
    return received | {8: []}


def test_a_good_soak_is_clean() -> None:
    assert tally_mixed(good(), NUMBERS, SHAPE) == Tally(expected=20 + 30, delivered=20 + 30)


@pytest.mark.parametrize("seat", range(8))
def test_a_loss_is_found_with_anybody(seat: int) -> None:
    received = good()
    del received[seat][1]
    total = tally_mixed(received, NUMBERS, SHAPE)
    assert (total.lost, total.faults) == (1, 1)


@pytest.mark.parametrize("seat", range(8))
def test_a_repeat_is_found_with_anybody(seat: int) -> None:
    received = good()
    received[seat].append(received[seat][0])
    total = tally_mixed(received, NUMBERS, SHAPE)
    assert (total.duplicates, total.faults) == (1, 1)


@pytest.mark.parametrize("seat", [0, 1, 2, 3, 5, 6, 7])
def test_another_order_is_found_with_anybody(seat: int) -> None:
    received = good()
    theirs = received[seat]
    theirs[2], theirs[3] = theirs[3], theirs[2]
    total = tally_mixed(received, NUMBERS, SHAPE)
    assert (total.reordered, total.faults) == (1, 1)


@pytest.mark.parametrize(("seat", "number"), [(0, 1), (3, 2), (5, 0), (8, 0)])
def test_a_message_of_another_conversation_is_found(seat: int, number: int) -> None:
    received = good()
    received[seat].append(number)
    assert tally_mixed(received, NUMBERS, SHAPE).strays == 1


def test_who_got_nothing_at_all_has_lost_everything() -> None:
    assert tally_mixed({}, NUMBERS, SHAPE).lost == 50


@pytest.mark.parametrize(
    ("connections", "busy", "pairs", "groups"),
    [(10_000, 10, 250, 50), (10_000, 100, 2_500, 500), (200, 10, 5, 1), (12, 1, 1, 1)],
)
def test_half_of_the_busy_are_in_pairs(
    connections: int, busy: int, pairs: int, groups: int
) -> None:
    options = parse(["soak", "--connections", str(connections), "--busy", str(busy)])
    shape = shape_of(options)
    assert (shape.pairs, shape.groups) == (pairs, groups)
    assert shape.talking <= connections


def test_the_title_says_what_it_is() -> None:
    assert title(parse(["soak"])) == (
        "10,000 connections, 1000 messages/s for 120 s, of 120 bytes,"
        " in 250 conversations of two and 50 of 10"
    )
