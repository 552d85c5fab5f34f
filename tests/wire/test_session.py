"""Whatever comes in whatever order, a session is in a legal state or has said which error it is."""

from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import requests
from protocol.errors import ErrorCode
from protocol.requests import Request
from protocol.session import ALLOWED, Door, NotAllowed, Session, State
from tests.wire.strategies import any_request, properties

OPENED: Final = "opened"
CLOSING: Final = "closing"
MALFORMED: Final = "malformed"
LEGAL_MOVES: Final = {
    (State.OPENING, State.READY),
    (State.OPENING, State.CLOSING),
    (State.READY, State.CLOSING),
}
PING: Final = requests.Ping()

doors: Final = st.sampled_from(Door)
steps: Final = st.lists(st.sampled_from([OPENED, CLOSING, MALFORMED]) | any_request, max_size=20)


def take(session: Session, step: str | Request) -> ErrorCode | None:
    """Do one step; the error it was refused with, if it was."""
    if step == OPENED:
        session.opened()
    elif step == CLOSING:
        session.closing()
    elif step == MALFORMED:
        session.malformed()
    else:
        assert not isinstance(step, str)
        try:
            session.request(step)
        except NotAllowed as refusal:
            assert refusal.message
            return refusal.code
    return None


@properties
@given(doors, steps)
def test_any_steps_end_in_a_legal_state(door: Door, steps: list[str | Request]) -> None:
    session = Session(door)
    for step in steps:
        before = session.state
        error = take(session, step)
        assert session.state is before or (before, session.state) in LEGAL_MOVES
        assert session.allowed is ALLOWED[door][session.state]
        if error is not None:
            assert session.state is before, "what was refused has no effect"
            assert error is (
                ErrorCode.UNKNOWN_TYPE if before is State.READY else ErrorCode.FORBIDDEN
            )
        elif isinstance(step, requests.Disconnect):
            assert session.state is State.CLOSING
        elif not isinstance(step, str):
            assert session.state is before is State.READY


@properties
@given(doors, steps)
def test_nothing_reopens_a_session(door: Door, steps: list[str | Request]) -> None:
    session = Session(door)
    session.opened()
    session.closing()
    for step in steps:
        assert (take(session, step) is None) == isinstance(step, str)
        assert session.state is State.CLOSING


@properties
@given(doors, steps)
def test_malformed_messages_are_counted_since_the_last_request(
    door: Door, steps: list[str | Request]
) -> None:
    session, in_a_row = Session(door), 0
    for step in steps:
        if step == MALFORMED:
            in_a_row += 1
            assert session.malformed() == (in_a_row >= 10)
        else:
            take(session, step)
            if not isinstance(step, str):
                in_a_row = 0


def test_ten_malformed_messages_in_a_row_are_one_too_many() -> None:
    session = Session(Door.CHAT)
    session.opened()
    assert [session.malformed() for _ in range(11)] == [False] * 9 + [True] * 2


def test_a_request_in_between_starts_the_count_again() -> None:
    session = Session(Door.CHAT)
    session.opened()
    for _ in range(9):
        assert not session.malformed()
    session.request(PING)
    assert [session.malformed() for _ in range(10)] == [False] * 9 + [True]


def test_a_session_begins_opening() -> None:
    for door in Door:
        assert Session(door).state is State.OPENING


def test_a_malformed_message_changes_no_state() -> None:
    for state, moves in (
        (State.OPENING, []),
        (State.READY, [OPENED]),
        (State.CLOSING, [OPENED, CLOSING]),
    ):
        session = Session(Door.PRESENCE)
        for move in moves:
            take(session, move)
        session.malformed()
        assert session.state is state


def test_the_table_is_total() -> None:
    assert ALLOWED.keys() == set(Door)
    for states in ALLOWED.values():
        assert states.keys() == set(State)


def test_every_request_may_be_sent_and_only_when_ready() -> None:
    everything = set(get_args(requests.Request))
    assert ALLOWED[Door.CHAT][State.READY] == everything
    assert ALLOWED[Door.PRESENCE][State.READY] < everything
    for door in Door:
        assert not ALLOWED[door][State.OPENING]
        assert not ALLOWED[door][State.CLOSING]


@pytest.mark.parametrize("door", Door)
def test_a_client_may_always_leave(door: Door) -> None:
    session = Session(door)
    session.opened()
    session.request(requests.Disconnect())
    assert session.state is State.CLOSING
