"""Decisions and plans are the seed's alone; positions are honest."""

from itertools import islice

from tests.checker.decisions import Act, End, Stay, Way, is_given_up, stays
from tests.checker.plan import direct_id, make_plan
from tests.checker.positions import Position


def first_stays(seed: str, device: str) -> list[Stay]:
    return [*islice(stays(seed, device, longest=1_000, pause=0.1), 50)]


def test_the_same_seed_gives_the_same_decisions() -> None:
    assert first_stays("1", "u00/1") == first_stays("1", "u00/1")
    assert first_stays("1", "u00/1") != first_stays("2", "u00/1")
    assert first_stays("1", "u00/1") != first_stays("1", "u00/2")
    assert make_plan("1", 12, "u") == make_plan("1", 12, "u") != make_plan("2", 12, "u")


def test_everything_that_can_be_decided_is_decided_sometimes() -> None:
    decided = first_stays("1", "u00/1")
    assert {stay.way for stay in decided} == set(Way)
    assert {stay.end for stay in decided} == set(End)
    assert {step.act for stay in decided for step in stay.steps} == set(Act)
    assert {is_given_up("1", f"key {number}") for number in range(100)} == {False, True}


def test_a_plan_has_what_the_checks_count_on() -> None:
    plan = make_plan("1", 12, "u")
    assert plan.groups[0].members == plan.users
    assert sum(group.is_open for group in plan.groups) == 1
    assert len(plan.devices) > len(plan.users)
    assert 0 < len(plan.opened) < len(plan.directs)
    assert plan.narrow < {device for _, device in plan.devices}
    assert direct_id("b.c", "b-d") == direct_id("b-d", "b.c") == "b-d-b.c"


def test_a_position_is_where_nothing_is_missing_below() -> None:
    position = Position()
    for seq in (1, 3, 4):
        position.note(seq)
    assert position.reached == 1
    position.note(2)
    assert position.reached == 4
    position.note(7)
    position.begin(6)
    assert position.reached == 7
    position.begin(2)
    assert position.reached == 7
    position.note(9)
    position.forget(0.5)
    assert position.reached == 3
    position.note(8)
    assert position.reached == 3, "what was above is forgotten too"
