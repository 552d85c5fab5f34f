"""What may be so over several nodes or without a service, and what may not be so even then."""

import pytest

from protocol import pushes, requests
from protocol.errors import ErrorCode
from tests.checker import history
from tests.checker.anomaly import Kind
from tests.checker.history import POSTGRES
from tests.checker.tale import ANN, BEN, GROUP, Tale
from tests.checker.test_checks import kinds


def lost(tale: Tale) -> None:
    tale.add(history.Lost(service=POSTGRES))


def found(tale: Tale) -> None:
    tale.add(history.Found(service=POSTGRES))


@pytest.mark.parametrize(("bens", "is_wrong"), [((0,), True), ((1,), False), ((0, 1), False)])
def test_receipts_go_forward_where_one_node_tells_them(
    bens: tuple[int, ...], is_wrong: bool
) -> None:
    tale = Tale()
    ann = tale.arrive(ANN)
    for node in bens:
        tale.arrive(BEN, device=f"ben/{node}", node=node)
    tale.post(ann, "a")
    for seq in (2, 1):
        tale.tell(ann, pushes.DeliveryReceipt(group_id=GROUP, username=BEN, seq=seq))
    assert kinds(tale.audited()) == ({Kind.CURSOR_WENT_BACK} if is_wrong else set())


@pytest.mark.parametrize(
    ("killed", "asked", "is_wrong"),
    [(None, 0, True), (1, 0, True), (0, 0, False), (None, 1, False)],
)
def test_a_cursor_that_is_not_stored_is_known_to_one_life_of_one_node(
    killed: int | None, asked: int, is_wrong: bool
) -> None:
    tale = Tale()
    ann, ben = tale.arrive(ANN), tale.arrive(BEN)
    tale.post(ann, "a")
    tale.summary(ben, delivered=2, read=0, head=2)
    if killed is not None:
        tale.add(history.Killed(node=killed))
        tale.add(history.Restarted(node=killed))
    late = tale.arrive(BEN, position=2, node=asked)
    tale.summary(late, delivered=1, read=0, head=2)
    assert kinds(tale.audited()) == ({Kind.CURSOR_WENT_BACK} if is_wrong else set())


@pytest.mark.parametrize(("node", "is_wrong"), [(0, True), (1, False)])
def test_what_a_deleted_message_said_by_a_node_that_knows(node: int, is_wrong: bool) -> None:
    tale = Tale()
    ann = tale.arrive(ANN)
    tale.post(ann, "a")
    said = tale.log[1]
    tale.change(ann, requests.DeleteMessage(group_id=GROUP, id="id2"))
    late = tale.come(BEN, resumes=True, node=node)
    tale.ask(late, requests.Resume(positions={GROUP: 1}))
    tale.tell(late, said)
    assert kinds(tale.audited()) == ({Kind.DELETED_TOLD} if is_wrong else set())


@pytest.mark.parametrize(
    ("is_lost", "problem", "is_wrong"),
    [(True, "HTTP 503", False), (False, "HTTP 503", True), (True, "HTTP 401", True)],
)
def test_nobody_is_let_in_without_postgres(is_lost: bool, problem: str, is_wrong: bool) -> None:
    tale = Tale()
    if is_lost:
        lost(tale)
    ben = len(tale.records)
    tale.add(history.Connecting(connection=ben, device="ben/1", user=BEN, resumes=True))
    tale.add(history.ShutOut(connection=ben, problem=problem))
    if is_lost:
        found(tale)
    assert kinds(tale.audited()) == ({Kind.SHUT_OUT} if is_wrong else set())


def test_who_was_shut_out_when_it_was_found_is_shut_out() -> None:
    tale = Tale()
    lost(tale)
    found(tale)
    ben = len(tale.records)
    tale.add(history.Connecting(connection=ben, device="ben/1", user=BEN, resumes=True))
    tale.add(history.ShutOut(connection=ben, problem="HTTP 503"))
    assert kinds(tale.audited()) == {Kind.SHUT_OUT}


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_page_may_be_a_moment_old_without_the_ledger(is_lost: bool) -> None:
    tale = Tale()
    ann, ben = tale.arrive(ANN), tale.arrive(BEN)
    tale.post(ann, "a")
    before = tale.messages()
    tale.post(ann, "b")
    if is_lost:
        lost(tale)
    tale.page(ben, before, head=2)
    found_kinds = kinds(tale.audited())
    assert found_kinds == (set() if is_lost else {Kind.STALE})


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_page_may_know_more_than_its_head_without_the_ledger(is_lost: bool) -> None:
    tale = Tale()
    ann, ben = tale.arrive(ANN), tale.arrive(BEN)
    tale.post(ann, "a")
    tale.post(ann, "b")
    if is_lost:
        lost(tale)
    tale.change(ann, requests.React(group_id=GROUP, id="id2", emoji="👍"))
    tale.page(ben, tale.messages()[:1], head=2)
    assert kinds(tale.audited()) - {Kind.STALE} == (set() if is_lost else {Kind.STATE_DIFFERS})


def test_a_page_lacks_nothing_below_its_head_even_then() -> None:
    tale = Tale()
    ann, ben = tale.arrive(ANN), tale.arrive(BEN)
    tale.post(ann, "a")
    tale.post(ann, "b")
    lost(tale)
    tale.page(ben, tale.messages()[1:], head=3)
    assert kinds(tale.audited()) == {Kind.STATE_DIFFERS}


@pytest.mark.parametrize(("has_asked", "is_wrong"), [(True, False), (False, True)])
def test_a_cursor_without_ref_that_could_not_be_stored(has_asked: bool, is_wrong: bool) -> None:
    tale = Tale()
    ann = tale.arrive(ANN)
    if has_asked:
        tale.ask(ann, requests.Ack(group_id=GROUP, seq=1), with_ref=False)
    error = pushes.Error(code=ErrorCode.UNAVAILABLE, msg="no", temporary=True)
    tale.answer(ann, None, error)
    assert kinds(tale.audited()) == ({Kind.UNANSWERED} if is_wrong else set())
