"""Posts that wait for their acks."""

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import Error, Success
from testclients.errors import ClientError, ConnectionLost, OutboxFull, RequestFailed, TooLarge
from testclients.outbox import WINDOW, Entry, EntryState, Outbox
from tests.support.running import on_a_loop
from tests.unit.testclients.hand_timer import HandTimer
from tests.unit.testclients.scripted import ALICE, message


class Box:
    def __init__(self, *, max_entries: int = 1_000) -> None:
        self.timer = HandTimer()
        self.changes: list[tuple[str, EntryState]] = []
        self.outbox = Outbox(
            self.timer,
            lambda: 1.0,
            max_entries=max_entries,
            on_change=lambda entry: self.changes.append((entry.content, entry.state)),
        )

    def post(self, to: str, content: str) -> Entry:
        return self.outbox.add(requests.OneToOneChat(to=to, content=content))

    def due(self) -> list[Entry]:
        """Whatever may be sent now; it counts as in flight."""
        found = []
        while (entry := self.outbox.next_due()) is not None:
            found.append(entry)
        return found


def ack(entry: Entry, seq: int) -> Success:
    return Success(id=f"m{seq}", seq=seq, prev=seq - 1, client_msg_id=entry.client_msg_id)


def refusal(code: ErrorCode, retry_after_ms: int | None = None) -> Error:
    temporary = code in (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)
    return Error(code=code, msg="no", temporary=temporary, retry_after_ms=retry_after_ms)


@on_a_loop
async def test_every_post_gets_an_id_of_its_own_and_leaves_when_it_is_stored() -> None:
    box = Box()
    first, second = box.post("bob", "1"), box.post("bob", "1")
    assert first.client_msg_id != second.client_msg_id
    assert first.frame.client_msg_id == first.client_msg_id
    assert list(box.outbox) == [first, second]
    assert box.due() == [first]
    box.outbox.answered(first, ack(first, 7))
    await first.settled()
    assert (first.state, first.seq, first.id) == (EntryState.SENT, 7, "m7")
    assert list(box.outbox) == [second]
    assert box.changes == [
        ("1", EntryState.SENDING),
        ("1", EntryState.SENDING),
        ("1", EntryState.SENT),
    ]


@on_a_loop
async def test_a_conversation_s_posts_go_one_after_the_other() -> None:
    box = Box()
    bob = [box.post("bob", f"{n}") for n in range(3)]
    carol = box.post("carol", "x")
    group = box.outbox.add(requests.GroupChat(group_id="bob", content="a group of that name"))
    assert box.due() == [bob[0], carol, group]
    box.outbox.answered(bob[0], refusal(ErrorCode.BLOCKED))
    assert box.due() == [bob[1]]
    box.outbox.answered(bob[1], ack(bob[1], 1))
    assert box.due() == [bob[2]]


@on_a_loop
async def test_only_so_many_are_in_flight() -> None:
    box = Box()
    entries = [box.post(f"user{n}", "x") for n in range(WINDOW + 5)]
    assert box.due() == entries[:WINDOW]
    box.outbox.answered(entries[3], ack(entries[3], 1))
    assert box.due() == [entries[WINDOW]]


@on_a_loop
async def test_a_refusal_for_a_time_stops_all_for_as_long_as_it_says() -> None:
    box = Box()
    bob, carol = box.post("bob", "1"), box.post("carol", "2")
    woken: list[float] = []
    assert box.due() == [bob, carol]
    box.outbox.answered(bob, refusal(ErrorCode.RATE_LIMITED, 3_000))
    box.outbox.answered(carol, ack(carol, 1))
    dave = box.post("dave", "3")
    assert box.due() == []
    box.outbox.wake = lambda: woken.append(box.timer.now())
    await box.timer.turn(3)
    assert woken == [3]
    assert box.due() == [bob, dave]


@on_a_loop
async def test_refusals_without_a_time_are_waited_out_longer_each_time() -> None:
    box = Box()
    entry = box.post("bob", "1")
    waits = []
    for _ in range(12):
        assert box.due() == [entry]
        box.outbox.answered(entry, refusal(ErrorCode.UNAVAILABLE))
        wait = box.timer.next_in
        assert wait is not None
        waits.append(wait)
        await box.timer.turn(wait)
    assert waits == [1, 2, 4, 8, 16, *[30] * 7]
    assert box.due() == [entry]
    box.outbox.answered(entry, ack(entry, 1))
    again = box.post("bob", "2")
    assert box.due() == [again]
    box.outbox.answered(again, refusal(ErrorCode.UNAVAILABLE))
    assert box.timer.next_in == 1


@on_a_loop
async def test_a_refusal_for_good_waits_for_its_owner() -> None:
    box = Box()
    failed, next_ = box.post("bob", "1"), box.post("bob", "2")
    box.due()
    box.outbox.answered(failed, refusal(ErrorCode.NO_SUCH_USER))
    with pytest.raises(RequestFailed):
        await failed.settled()
    assert list(box.outbox) == [failed, next_]
    assert box.due() == [next_]
    box.outbox.answered(next_, ack(next_, 1))
    assert box.due() == [], "by itself it is not tried again"
    box.outbox.retry(failed)
    assert box.due() == [failed]
    box.outbox.answered(failed, ack(failed, 2))
    await failed.settled()
    with pytest.raises(ValueError, match="only a failed post"):
        box.outbox.retry(failed)
    with pytest.raises(ValueError, match="stored"):
        box.outbox.delete(failed)


@on_a_loop
async def test_deleting_what_failed_or_was_never_sent() -> None:
    box = Box()
    sent, unsent = box.post("bob", "1"), box.post("bob", "2")
    box.due()
    with pytest.raises(ValueError, match="may be"):
        box.outbox.delete(sent)
    box.outbox.delete(unsent)
    with pytest.raises(ClientError, match="deleted"):
        await unsent.settled()
    box.outbox.answered(sent, refusal(ErrorCode.BLOCKED))
    box.outbox.delete(sent)
    assert list(box.outbox) == [] and box.due() == []


@on_a_loop
async def test_what_was_in_flight_goes_out_again_in_its_order() -> None:
    box = Box()
    first, second = box.post("bob", "1"), box.post("bob", "2")
    assert box.due() == [first]
    box.outbox.disconnected()
    assert box.due() == [first]
    box.outbox.answered(first, ack(first, 1))
    assert box.due() == [second]


@on_a_loop
async def test_a_new_connection_does_not_wait_for_what_the_old_one_said() -> None:
    box = Box()
    entry = box.post("bob", "1")
    box.due()
    box.outbox.answered(entry, refusal(ErrorCode.UNAVAILABLE, 60_000))
    box.outbox.disconnected()
    assert box.due() == [entry]


@on_a_loop
async def test_its_event_stands_for_a_lost_ack() -> None:
    box = Box()
    entry = box.post("bob", "1")
    box.due()
    box.outbox.disconnected()
    box.outbox.arrived(message(5, from_=ALICE, to="bob", client_msg_id=entry.client_msg_id))
    await entry.settled()
    assert (entry.seq, entry.id) == (5, "m5")
    assert box.due() == []
    box.outbox.answered(entry, ack(entry, 5))
    assert [state for _, state in box.changes] == [EntryState.SENDING, EntryState.SENT]
    box.outbox.arrived(message(6, from_=ALICE, to="bob"))
    box.outbox.arrived(message(7, from_=ALICE, to="bob", client_msg_id="another device's"))


@on_a_loop
async def test_giving_up_fails_what_waits() -> None:
    box = Box()
    entries = [box.post("bob", f"{n}") for n in range(3)]
    box.due()
    box.outbox.give_up(ConnectionLost(4501, "token revoked"))
    assert [entry.state for entry in entries] == [EntryState.FAILED] * 3
    with pytest.raises(ConnectionLost):
        await entries[2].settled()
    for entry in entries:
        box.outbox.retry(entry)
    assert box.due() == [entries[0]]


@on_a_loop
async def test_the_outbox_has_an_end() -> None:
    box = Box(max_entries=2)
    first = box.post("bob", "1")
    box.post("bob", "2")
    with pytest.raises(OutboxFull, match="2 messages wait"):
        box.post("bob", "3")
    box.due()
    box.outbox.answered(first, refusal(ErrorCode.BLOCKED))
    with pytest.raises(OutboxFull):
        box.post("bob", "3")
    box.outbox.delete(first)
    box.post("bob", "3")
    assert len(box.outbox) == 2


@on_a_loop
async def test_what_would_close_the_connection_is_not_taken() -> None:
    box = Box()
    with pytest.raises(TooLarge):
        box.post("bob", "x" * 131_000)
    assert list(box.outbox) == []
    box.post("bob", "x" * 16_384)
