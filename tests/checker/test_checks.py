"""Each check on histories made by hand: a good one, and one for each thing that may be wrong."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from protocol import pushes, requests
from protocol.errors import ErrorCode
from protocol.pushes import Success
from tests.checker import history
from tests.checker.anomaly import Kind
from tests.checker.checks import find_anomalies
from tests.checker.history import AnyRecord
from tests.checker.tale import ANN, BEN, GROUP, Tale


def kinds(records: Sequence[AnyRecord]) -> set[Kind]:
    return {anomaly.kind for anomaly in find_anomalies(records)}


def begun() -> tuple[Tale, int, int]:
    """Ann and Ben are both here, have everything, and Ann has posted 2, `a`."""
    tale = Tale()
    ann, ben = tale.arrive(ANN), tale.arrive(BEN)
    tale.post(ann, "a")
    return tale, ann, ben


def edited(tale: Tale, connection: int, message: str, content: str, version: int) -> None:
    request = requests.EditMessage(group_id=GROUP, id=message, content=content)
    tale.change(connection, request, version=version)


def test_nothing_is_wrong_with_a_long_good_history() -> None:
    tale, ann, ben = begun()
    tale.post(ben, "b")
    edited(tale, ann, "id2", "better", 2)
    tale.change(ben, requests.React(group_id=GROUP, id="id2", emoji="👍"))
    tale.page(ben)
    tale.end(ann)
    tale.ask(ben, requests.GroupChat(group_id=GROUP, content="content of c", client_msg_id="c"))
    tale.end(ben)
    tale.add(history.Killed())
    tale.add(history.Restarted())
    ben = tale.arrive(BEN, position=5)
    tale.post(ben, "c")
    ann = tale.come(ANN)
    tale.tell_stored(ann, 5)
    tale.live(ann)
    tale.change(ann, requests.DeleteMessage(group_id=GROUP, id="id2"))
    tale.ask(ann, requests.Ack(group_id=GROUP, seq=7), with_ref=False)
    tale.move(ben, is_in=False)
    tale.post(ann, "d", not_to=[ben])
    tale.move(ben, is_in=True)
    tale.summary(ann, delivered=7, read=0, head=tale.head)
    late = tale.arrive(BEN, device="ben/2", position=tale.head - 1)
    for connection in (ann, late):
        tale.settle(connection)
    assert find_anomalies(tale.audited()) == []


def test_a_log_with_a_hole() -> None:
    tale, _, ben = begun()
    tale.change(ben, requests.React(group_id=GROUP, id="id2", emoji="👍"))
    messages = tale.messages()
    del tale.log[1]
    found = kinds(tale.audited(messages))
    # The page shows a message of which the log knows nothing.
    assert found >= {Kind.HOLE_IN_LOG, Kind.STATE_DIFFERS}


def test_a_log_that_nobody_read() -> None:
    tale, _, _ = begun()
    assert kinds(tale.records) == {Kind.NOT_READ}


def test_an_acked_post_that_is_not_stored() -> None:
    tale, ann, ben = begun()
    request = requests.GroupChat(group_id=GROUP, content="content of b", client_msg_id="b")
    tale.answer(ann, tale.ask(ann, request), tale.ack_of(tale.message(ANN, "b")))
    tale.end(ann)
    tale.post(ben, "c")
    assert kinds(tale.audited()) == {Kind.ACKED_LOST}


def test_an_acked_post_that_is_stored_elsewhere() -> None:
    tale, ann, _ = begun()
    ack = tale.post(ann, "b", is_acked=False)
    asked = len(tale.records) - 2
    tale.answer(ann, asked, msgspec.structs.replace(ack, id="id9"))
    assert kinds(tale.audited()) == {Kind.ACKED_LOST}


def test_an_acked_edit_that_is_not_stored() -> None:
    tale, ann, ben = begun()
    request = requests.EditMessage(group_id=GROUP, id="id2", content="better")
    ack = Success(id="id2", seq=3, prev=2, group_id=GROUP, version=2)
    tale.answer(ann, tale.ask(ann, request), ack)
    tale.end(ann)
    tale.post(ben, "c")
    assert kinds(tale.audited()) == {Kind.ACKED_LOST}


def test_an_ack_that_names_another_time() -> None:
    tale, ann, _ = begun()
    ack = tale.post(ann, "b", is_acked=False)
    asked = len(tale.records) - 2
    tale.answer(ann, asked, msgspec.structs.replace(ack, sent_at=99))
    assert kinds(tale.audited()) == {Kind.ACK_UNTRUE}


def test_a_post_that_is_stored_twice() -> None:
    tale, ann, _ = begun()
    tale.end(ann)
    ann = tale.arrive(ANN, position=2)
    tale.post(ann, "a", is_acked=False)
    assert kinds(tale.audited()) == {Kind.STORED_TWICE}


def test_an_edit_that_is_stored_twice() -> None:
    tale, ann, ben = begun()
    edited(tale, ann, "id2", "better", 2)
    edit = tale.log[-1]
    again = msgspec.structs.replace(edit, seq=4, prev=3, version=3)
    tale.log.append(again)
    tale.contents[4] = "better"
    for connection in (ann, ben):
        tale.tell(connection, again)
    assert kinds(tale.audited()) == {Kind.STORED_TWICE}


def test_a_repeat_that_gets_another_place() -> None:
    tale, ann, _ = begun()
    tale.end(ann)
    ann = tale.arrive(ANN, position=2)
    request = requests.GroupChat(group_id=GROUP, content="content of a", client_msg_id="a")
    first = tale.log[1]
    assert isinstance(first, pushes.GroupChat)
    tale.answer(ann, tale.ask(ann, request), tale.ack_of(first))
    assert kinds(tale.audited()) == {Kind.REPEATED_OTHERWISE}


def test_a_post_that_nobody_sent() -> None:
    tale, _, _ = begun()
    tale.log.append(tale.message(BEN, "z"))
    assert kinds(tale.audited()) == {Kind.STORED_UNASKED}


def test_a_post_that_is_stored_with_another_content() -> None:
    tale, ann, _ = begun()
    tale.post(ann, "b", not_to=range(len(tale.records)))
    messages = tale.messages()
    messages[1] = msgspec.structs.replace(messages[1], content="worse")
    found = kinds(tale.audited(messages))
    assert found == {Kind.STORED_OTHERWISE, Kind.STATE_DIFFERS}


def test_posts_of_a_connection_that_are_numbered_in_another_order() -> None:
    tale, ann, ben = begun()
    keys = ("b", "c")
    asked = {
        key: tale.ask(
            ann,
            requests.GroupChat(group_id=GROUP, content=f"content of {key}", client_msg_id=key),
        )
        for key in keys
    }
    for key in reversed(keys):
        frame = tale.message(ANN, key)
        tale.log.append(frame)
        tale.contents[frame.seq] = frame.content
        tale.answer(ann, asked[key], tale.ack_of(frame))
        tale.tell(ben, frame)
    assert kinds(tale.audited()) == {Kind.REORDERED}


def test_another_log_id() -> None:
    tale, _, _ = begun()
    tale.come(BEN, log_id="another")
    assert kinds(tale.audited()) == {Kind.LOG_CHANGED}


def test_an_event_that_is_told_and_not_stored() -> None:
    tale, _, ben = begun()
    tale.ask(ben, requests.GroupChat(group_id=GROUP, content="content of b", client_msg_id="b"))
    ann = tale.arrive(ANN, device="ann/2", position=2)
    tale.tell(ann, tale.message(BEN, "b"))
    assert kinds(tale.audited()) == {Kind.TOLD_NOT_STORED, Kind.STALE}


def test_an_event_that_is_told_otherwise_than_it_is_stored() -> None:
    tale, ann, ben = begun()
    tale.post(ann, "b", not_to=[ben])
    tale.tell(ben, msgspec.structs.replace(tale.log[-1], prev=1))
    assert kinds(tale.audited()) == {Kind.TOLD_OTHERWISE}


def test_a_content_that_nobody_sent() -> None:
    tale, ann, ben = begun()
    tale.post(ann, "b", not_to=[ben])
    tale.tell(ben, msgspec.structs.replace(tale.log[-1], content="worse"))
    assert kinds(tale.audited()) == {Kind.TOLD_OTHERWISE}


def test_an_event_that_comes_twice() -> None:
    tale, _, ben = begun()
    tale.tell(ben, tale.log[-1])
    assert kinds(tale.audited()) == {Kind.TOLD_TWICE}


def test_an_event_that_comes_where_its_ack_came() -> None:
    tale, ann, _ = begun()
    tale.tell(ann, tale.log[-1])
    assert kinds(tale.audited()) == {Kind.TOLD_TWICE}


def test_a_repeat_may_be_followed_by_the_event() -> None:
    tale, ann, _ = begun()
    tale.end(ann)
    ann = tale.arrive(ANN, position=1)
    request = requests.GroupChat(group_id=GROUP, content="content of a", client_msg_id="a")
    first = tale.log[1]
    assert isinstance(first, pushes.GroupChat)
    ack = msgspec.structs.replace(tale.ack_of(first), duplicate=True)
    tale.answer(ann, tale.ask(ann, request), ack)
    assert kinds(tale.audited()) == set()


def test_events_in_another_order() -> None:
    tale, ann, ben = begun()
    for key in ("b", "c"):
        tale.post(ann, key, not_to=[ben])
    for event in reversed(tale.log[-2:]):
        tale.tell(ben, event)
    assert kinds(tale.audited()) == {Kind.OUT_OF_ORDER}


def test_older_events_that_were_asked_for_come_beside_the_newer_ones() -> None:
    tale, ann, _ = begun()
    tale.post(ann, "b")
    late = tale.come(BEN, device="ben/2")
    tale.live(late)
    tale.post(ann, "c")
    asked = tale.ask(late, requests.Resume(positions={GROUP: 0}))
    tale.tell_stored(late, 0, 2)
    tale.post(ann, "d")
    tale.tell_stored(late, 2, 3)
    tale.answer(late, asked, Success())
    tale.settle(late)
    assert kinds(tale.audited()) == set()


@pytest.mark.parametrize("resumes", [False, True])
def test_an_event_that_is_left_out(resumes: bool) -> None:
    tale, ann, ben = begun()
    late = tale.arrive(BEN, device="ben/2", position=2) if resumes else ben
    tale.post(ann, "b", not_to=[late])
    tale.post(ann, "c")
    assert kinds(tale.audited()) == {Kind.GAP}


def test_a_resume_that_begins_one_too_high() -> None:
    tale, ann, ben = begun()
    tale.end(ben)
    for key in ("b", "c"):
        tale.post(ann, key)
    ben = tale.come(BEN, resumes=True)
    asked = tale.ask(ben, requests.Resume(positions={GROUP: 2}))
    tale.tell_stored(ben, 3)
    tale.answer(ben, asked, Success())
    assert kinds(tale.audited()) == {Kind.GAP}


def test_the_last_event_never_comes() -> None:
    tale, ann, ben = begun()
    tale.post(ann, "b", not_to=[ben])
    assert kinds(tale.audited()) == set(), "it may be on its way"
    tale, ann, ben = begun()
    tale.post(ann, "b", not_to=[ben])
    tale.settle(ben)
    assert kinds(tale.audited()) == {Kind.MISSING}


def test_nothing_that_the_device_has_comes_again() -> None:
    tale, _, ben = begun()
    tale.end(ben)
    ben = tale.come(BEN, resumes=True)
    tale.ask(ben, requests.Resume(positions={GROUP: 2}))
    tale.tell(ben, tale.log[-1])
    assert kinds(tale.audited()) == {Kind.BELOW_POSITION}


def test_nothing_comes_before_resume() -> None:
    tale, ann, _ = begun()
    late = tale.come(BEN, device="ben/2", resumes=True)
    tale.live(late)
    tale.post(ann, "b")
    assert kinds(tale.audited()) == {Kind.BEFORE_RESUME}


def test_a_plain_connection_begins_above_what_the_user_has() -> None:
    tale, ann, ben = begun()
    tale.end(ben)
    for key in ("b", "c"):
        tale.post(ann, key)
    ben = tale.come(BEN)
    tale.tell_stored(ben, 3)
    assert kinds(tale.audited()) == {Kind.SKIPPED}


def test_a_plain_connection_begins_after_what_another_device_has() -> None:
    tale, ann, ben = begun()
    late = tale.arrive(BEN, device="ben/2", position=2)
    tale.end(ben)
    tale.post(ann, "b")
    tale.post(late, "own")
    ben = tale.come(BEN)
    tale.live(ben)
    tale.post(ann, "c")
    assert kinds(tale.audited()) == set()


def test_who_is_removed_is_told_at_once() -> None:
    tale, ann, ben = begun()
    late = tale.come(BEN, device="ben/2")
    tale.post(ann, "b", not_to=[ben])
    tale.live(late)
    tale.move(late, is_in=False)
    assert kinds(tale.audited()) == set()


def test_nothing_is_told_to_who_has_left() -> None:
    tale, ann, ben = begun()
    tale.move(ben, is_in=False)
    tale.post(ann, "b")
    assert kinds(tale.audited()) == {Kind.NOT_ENTITLED}


def test_a_request_without_an_answer() -> None:
    tale, _, ben = begun()
    tale.ask(ben, requests.Ping())
    tale.settle(ben)
    assert kinds(tale.audited()) == {Kind.UNANSWERED}


def test_an_answer_that_does_not_come_while_the_connection_lasts() -> None:
    tale, _, ben = begun()
    asked = tale.ask(ben, requests.Ping())
    tale.end(ben)
    assert kinds(tale.audited()) == set(), "it was lost with the connection"
    tale, _, ben = begun()
    asked = tale.ask(ben, requests.Ping())
    tale.add(history.Overdue(connection=ben, asked=[asked]))
    assert kinds(tale.audited()) == {Kind.UNANSWERED}


def test_an_answer_to_nothing() -> None:
    tale, _, ben = begun()
    asked = tale.ask(ben, requests.Ping())
    for _ in range(2):
        tale.answer(ben, asked, pushes.Pong())
    assert kinds(tale.audited()) == {Kind.UNANSWERED}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (requests.Ack(group_id=GROUP, seq=1), ErrorCode.NOT_A_MEMBER),
        (requests.React(group_id=GROUP, id="id2", emoji="👍"), ErrorCode.NO_SUCH_MESSAGE),
        (requests.EditMessage(group_id=GROUP, id="id2", content="x"), ErrorCode.VERSION_CONFLICT),
        (
            requests.GroupChat(group_id=GROUP, content="content of b", client_msg_id="b"),
            ErrorCode.CLIENT_MSG_ID_REUSED,
        ),
        (requests.InitData(), ErrorCode.INTERNAL),
    ],
)
def test_a_refusal_for_what_is_not_so(request_: requests.Request, code: ErrorCode) -> None:
    tale, ann, _ = begun()
    tale.refuse(ann, request_, code)
    assert kinds(tale.audited()) == {Kind.WRONGLY_REFUSED}


def test_refusals_that_are_right() -> None:
    tale, ann, ben = begun()
    tale.change(ann, requests.DeleteMessage(group_id=GROUP, id="id2"))
    tale.refuse(
        ben, requests.React(group_id=GROUP, id="id2", emoji="👍"), ErrorCode.NO_SUCH_MESSAGE
    )
    tale.move(ben, is_in=False)
    tale.refuse(ben, requests.Ack(group_id=GROUP, seq=1), ErrorCode.NOT_A_MEMBER)
    tale.ask(ben, requests.MarkRead(group_id=GROUP, seq=1), with_ref=False)
    error = pushes.Error(code=ErrorCode.NOT_A_MEMBER, msg="no", temporary=False)
    tale.answer(ben, None, error)
    tale.refuse(ann, requests.InitData(), ErrorCode.UNAVAILABLE)
    assert kinds(tale.audited()) == set()


def test_a_resume_that_is_refused_to_a_member() -> None:
    tale, _, _ = begun()
    late = tale.come(BEN, device="ben/2", resumes=True)
    asked = tale.ask(late, requests.Resume(positions={GROUP: 2}))
    tale.answer(late, asked, Success(errors={GROUP: ErrorCode.NOT_A_MEMBER}))
    assert kinds(tale.audited()) == {Kind.WRONGLY_REFUSED}


def test_a_position_above_the_head() -> None:
    tale, _, _ = begun()
    late = tale.come(BEN, device="ben/2", resumes=True)
    tale.ask(late, requests.Resume(positions={GROUP: 9}))
    tale.tell(late, pushes.Resync(group_id=GROUP, after_seq=0))
    assert kinds(tale.audited()) == {Kind.FORGOTTEN}


def test_a_slow_reader_may_be_told_to_wait_for_the_log() -> None:
    tale, _, ben = begun()
    tale.tell(ben, pushes.Resync(group_id=GROUP, after_seq=2))
    assert kinds(tale.audited()) == set()


def test_what_is_no_frame() -> None:
    tale, _, ben = begun()
    tale.add(history.Garbled(connection=ben, problem="not JSON"))
    assert kinds(tale.audited()) == {Kind.GARBLED}


@pytest.mark.parametrize(("code", "is_wrong"), [(1000, False), (4008, False), (4501, True)])
def test_a_connection_that_is_closed_for_what_it_did_not_do(code: int, is_wrong: bool) -> None:
    tale, _, ben = begun()
    tale.end(ben, "lost", code)
    assert kinds(tale.audited()) == ({Kind.CLOSED_WRONGLY} if is_wrong else set())


def test_a_refused_handshake() -> None:
    tale, _, ben = begun()
    tale.add(history.ShutOut(connection=ben, problem="HTTP 401"))
    assert kinds(tale.audited()) == {Kind.SHUT_OUT}


def test_a_page_that_shows_an_older_state() -> None:
    tale, ann, ben = begun()
    before = tale.messages()
    edited(tale, ann, "id2", "better", 2)
    tale.page(ben, before)
    assert kinds(tale.audited()) == {Kind.STATE_DIFFERS}


def test_a_page_that_lacks_a_message() -> None:
    tale, ann, ben = begun()
    tale.post(ann, "b")
    tale.page(ben, tale.messages()[1:])
    assert kinds(tale.audited()) == {Kind.STATE_DIFFERS}


def test_a_summary_that_lacks_what_was_acked() -> None:
    tale, ann, _ = begun()
    tale.post(ann, "b")
    tale.summary(ann, delivered=0, read=0, head=2)
    assert kinds(tale.audited()) == {Kind.STALE}


def test_what_a_deleted_message_said() -> None:
    tale, ann, _ = begun()
    first = tale.log[1]
    tale.change(ann, requests.DeleteMessage(group_id=GROUP, id="id2"))
    late = tale.come(BEN, device="ben/2", resumes=True)
    tale.ask(late, requests.Resume(positions={GROUP: 1}))
    tale.tell(late, first)
    assert kinds(tale.audited()) == {Kind.DELETED_TOLD}


def test_a_page_from_before_a_delete_may_show_the_content() -> None:
    tale, ann, ben = begun()
    tale.page(ben)
    tale.change(ann, requests.DeleteMessage(group_id=GROUP, id="id2"))
    assert kinds(tale.audited()) == set()


def test_an_acked_cursor_that_is_shown_lower() -> None:
    tale, _, ben = begun()
    asked = tale.ask(ben, requests.MarkRead(group_id=GROUP, seq=2))
    tale.answer(ben, asked, Success())
    tale.add(history.Killed())
    tale.summary(ben, delivered=2, read=1, head=2)
    assert kinds(tale.audited()) == {Kind.CURSOR_WENT_BACK}


def test_a_cursor_that_no_ack_moved_may_go_back_when_the_server_is_killed() -> None:
    tale, _, ben = begun()
    tale.summary(ben, delivered=2, read=0, head=2)
    tale.add(history.Killed())
    late = tale.arrive(BEN, position=2)
    tale.summary(late, delivered=1, read=0, head=2)
    assert kinds(tale.audited()) == set()
    tale, _, ben = begun()
    tale.summary(ben, delivered=2, read=0, head=2)
    tale.summary(ben, delivered=1, read=0, head=2)
    assert kinds(tale.audited()) == {Kind.CURSOR_WENT_BACK}


def test_receipts_that_go_back() -> None:
    tale, ann, _ = begun()
    for seq in (2, 1):
        tale.tell(ann, pushes.DeliveryReceipt(group_id=GROUP, username=BEN, seq=seq))
    assert kinds(tale.audited()) == {Kind.CURSOR_WENT_BACK}


def test_a_receipt_above_the_head() -> None:
    tale, ann, _ = begun()
    tale.tell(ann, pushes.ReadReceipt(group_id=GROUP, username=BEN, seq=3))
    assert kinds(tale.audited()) == {Kind.CURSOR_UNTRUE}


def test_a_read_cursor_above_the_delivered_one() -> None:
    tale, ann, _ = begun()
    tale.summary(ann, delivered=1, read=2, head=2)
    assert kinds(tale.audited()) == {Kind.CURSOR_UNTRUE}


def test_every_kind_is_looked_for_here() -> None:
    text = Path(__file__).read_text()
    assert [kind for kind in Kind if f"Kind.{kind.name}" not in text] == []
