from array import array

import pytest

from bench.tally import (
    Tally,
    tally,
    tally_conversations,
    tally_everybody,
    tally_group,
    tally_pairs,
)

MEMBERS = 4


def sender_of(number: int) -> int:
    return 1 + number % (MEMBERS - 1)


def good_group() -> dict[int, list[int]]:
    """Ten messages, in the order in which everybody gets them; no echo."""
    order = [0, 2, 1, 3, 4, 5, 6, 8, 7, 9]
    return {
        member: [number for number in order if sender_of(number) != member]
        for member in range(MEMBERS)
    }


@pytest.mark.parametrize(
    ("received", "result"),
    [
        ([1, 2, 3, 4], Tally(4, 4)),
        ([1, 2, 4], Tally(4, 3, lost=1)),
        ([], Tally(4, 0, lost=4)),
        ([1, 2, 2, 3, 4, 4], Tally(4, 4, duplicates=2)),
        ([1, 3, 2, 4], Tally(4, 4, reordered=1)),
        ([4, 1, 2, 3], Tally(4, 4, reordered=3)),
        ([1, 2, 9, 3, 4], Tally(4, 4, strays=1)),
        ([1, 2, 1, 4, 3], Tally(4, 4, duplicates=1, reordered=1)),
    ],
)
def test_one_connection(received: list[int], result: Tally) -> None:
    assert tally(received, [1, 2, 3, 4]) == result


def test_the_order_may_be_another_than_ascending() -> None:
    rank = {3: 0, 1: 1, 2: 2}
    assert tally([3, 1, 2], [1, 2, 3], rank).is_clean
    assert tally([1, 3, 2], [1, 2, 3], rank).reordered == 1


def test_what_has_no_place_in_the_order_is_never_late() -> None:
    assert tally([3, 5, 1], [1, 3, 5], {3: 0, 1: 1}).is_clean


def test_a_good_group_is_clean() -> None:
    total = tally_group(good_group(), range(10), sender_of, has_echo=False)
    assert total == Tally(expected=30, delivered=30)
    assert total.is_clean


def test_an_echo_is_expected_where_there_is_one() -> None:
    order = list(range(10))
    everything = {member: order for member in range(MEMBERS)}
    assert tally_group(everything, range(10), sender_of, has_echo=True).is_clean
    strays = tally_group(everything, range(10), sender_of, has_echo=False).strays
    assert strays == 10


@pytest.mark.parametrize("member", range(MEMBERS))
def test_a_loss_is_found_with_any_member(member: int) -> None:
    received = good_group()
    del received[member][3]
    total = tally_group(received, range(10), sender_of, has_echo=False)
    assert (total.lost, total.faults) == (1, 1)


@pytest.mark.parametrize("member", range(MEMBERS))
def test_a_repeat_is_found_with_any_member(member: int) -> None:
    received = good_group()
    received[member].append(received[member][0])
    total = tally_group(received, range(10), sender_of, has_echo=False)
    assert (total.duplicates, total.faults) == (1, 1)


@pytest.mark.parametrize("member", range(1, MEMBERS))
def test_a_member_who_sees_another_order_is_found(member: int) -> None:
    received = good_group()
    theirs = received[member]
    theirs[2], theirs[3] = theirs[3], theirs[2]
    total = tally_group(received, range(10), sender_of, has_echo=False)
    assert (total.reordered, total.faults) == (1, 1)


def test_an_order_that_all_agree_on_may_still_be_wrong_for_one_sender() -> None:
    order = [3, 0, 1, 2]
    received = {
        member: [number for number in order if sender_of(number) != member]
        for member in range(MEMBERS)
    }
    assert sender_of(0) == sender_of(3)
    total = tally_group(received, range(4), sender_of, has_echo=False)
    assert (total.reordered, total.faults) == (1, 1)


def test_pairs() -> None:
    received = {1: [0, 2, 4], 3: [1, 5]}
    total = tally_pairs(received, range(6), lambda number: 1 + 2 * (number % 2))
    assert total == Tally(expected=6, delivered=5, lost=1)


def test_a_recipient_that_got_nothing_has_lost_everything() -> None:
    assert tally_pairs({}, range(6), lambda number: 1).lost == 6


def test_a_post_without_an_ack_is_a_fault() -> None:
    assert not Tally(expected=1, delivered=1, unacked=1).is_clean


@pytest.mark.parametrize(
    ("theirs", "result"),
    [
        ([5, 6, 7], Tally(6, 6)),
        ([5, 7], Tally(6, 5, lost=1)),
        ([5, 6, 6, 7], Tally(6, 6, duplicates=1)),
        ([5, 7, 6], Tally(6, 6, reordered=1)),
        ([4, 5, 6, 7], Tally(6, 6, strays=1)),
    ],
)
def test_everybody_gets_everything(theirs: list[int], result: Tally) -> None:
    received = {1: array("i", [5, 6, 7]), 2: array("i", theirs)}
    assert tally_everybody(received, array("i", [5, 6, 7])) == result


def test_conversations_have_orders_of_their_own() -> None:
    expected = [[range(0, 3), range(10, 12)], [range(10, 12)]]
    received = {0: [10, 0, 1, 11, 2], 1: [10, 11]}
    assert tally_conversations(received, expected) == Tally(expected=7, delivered=7)


@pytest.mark.parametrize(
    ("theirs", "result"),
    [
        ([0, 1, 10, 11], Tally(5, 4, lost=1)),
        ([0, 2, 1, 10, 11], Tally(5, 5, reordered=1)),
        ([0, 1, 2, 10, 10, 11], Tally(5, 5, duplicates=1)),
        ([0, 1, 2, 10, 11, 3], Tally(5, 5, strays=1)),
        ([], Tally(5, 0, lost=5)),
    ],
)
def test_faults_of_conversations(theirs: list[int], result: Tally) -> None:
    assert tally_conversations({0: theirs}, [[range(0, 3), range(10, 12)]]) == result


def test_a_seat_that_got_nothing_has_lost_its_conversations() -> None:
    assert tally_conversations({}, [[range(4)]]) == Tally(expected=4, lost=4)
