from protocol.pushes import (
    GroupChat,
    GroupMemberJoined,
    GroupMemberLeft,
    OneToOneChat,
    Pong,
    ReadReceipt,
    Success,
)
from testclients.positions import Gap, Place, Positions


def direct(seq: int, chat_id: str = "alice-bob") -> OneToOneChat:
    return OneToOneChat(
        id=f"m{seq}",
        seq=seq,
        prev=seq - 1,
        chat_id=chat_id,
        from_="alice",
        to="bob",
        content="hi",
        sent_at=0,
    )


def group(seq: int) -> GroupChat:
    return GroupChat(
        id=f"m{seq}", seq=seq, prev=seq - 1, group_id="g", from_="alice", content="hi", sent_at=0
    )


def ack(seq: int, duplicate: bool = False) -> Success:
    return Success(id=f"m{seq}", seq=seq, prev=seq - 1, chat_id="alice-bob", duplicate=duplicate)


def joined(seq: int, username: str, by: str) -> GroupMemberJoined:
    return GroupMemberJoined(group_id="g", username=username, by=by, at=0, seq=seq, prev=seq - 1)


def left(seq: int, username: str, by: str) -> GroupMemberLeft:
    return GroupMemberLeft(group_id="g", username=username, by=by, at=0, seq=seq, prev=seq - 1)


def test_the_first_event_starts_a_conversation_at_any_number() -> None:
    positions = Positions()
    for seq in (7, 8, 9):
        positions.note(direct(seq))
    assert positions.last == {"alice-bob": 9}
    assert positions.problems == []


def test_a_given_start_is_what_the_first_event_follows() -> None:
    positions = Positions({"alice-bob": 4})
    positions.note(direct(7))
    assert positions.gaps == [Gap("alice-bob", 5, 6)]


def test_conversations_are_counted_apart() -> None:
    positions = Positions()
    for frame in (direct(1), group(1), direct(2), group(2), direct(1, "bob-charlie")):
        positions.note(frame)
    assert positions.last == {"alice-bob": 2, "g": 2, "bob-charlie": 1}
    assert positions.problems == []


def test_an_event_that_comes_twice_is_a_duplicate() -> None:
    positions = Positions()
    for seq in (1, 2, 2, 1):
        positions.note(direct(seq))
    assert positions.duplicates == [Place("alice-bob", 2), Place("alice-bob", 1)]
    assert positions.last == {"alice-bob": 2}


def test_an_event_that_fills_a_gap_is_late() -> None:
    positions = Positions()
    for seq in (1, 4, 2):
        positions.note(direct(seq))
    assert positions.gaps == [Gap("alice-bob", 3, 3)]
    assert positions.late == [Place("alice-bob", 2)]
    assert positions.duplicates == []
    positions.note(direct(2))
    assert positions.duplicates == [Place("alice-bob", 2)]


def test_an_ack_stands_for_the_event() -> None:
    positions = Positions()
    for frame in (direct(1), ack(2), direct(3), ack(4), ack(5), direct(6)):
        positions.note(frame)
    assert positions.problems == []
    assert positions.last == {"alice-bob": 6}


def test_an_ack_may_overtake_events() -> None:
    positions = Positions({"alice-bob": 1})
    positions.note(ack(4))
    assert positions.last == {"alice-bob": 1}
    positions.note(direct(2))
    positions.note(direct(3))
    assert positions.problems == []
    assert positions.last == {"alice-bob": 4}


def test_an_event_may_overtake_an_ack() -> None:
    positions = Positions({"alice-bob": 1})
    positions.note(direct(4))
    assert positions.gaps == [Gap("alice-bob", 2, 3)]
    positions.note(ack(3))
    assert positions.gaps == [Gap("alice-bob", 2, 2)]
    positions.note(ack(2))
    assert positions.problems == []
    positions.note(direct(2))
    assert positions.duplicates == [Place("alice-bob", 2)]


def test_gaps_are_told_as_ranges() -> None:
    positions = Positions({"alice-bob": 0, "g": 0})
    for frame in (ack(4), direct(7), direct(9), group(3)):
        positions.note(frame)
    assert positions.gaps == [
        Gap("alice-bob", 1, 3),
        Gap("alice-bob", 5, 6),
        Gap("alice-bob", 8, 8),
        Gap("g", 1, 2),
    ]
    assert positions.problems == positions.gaps


def test_acks_before_the_first_event_count() -> None:
    positions = Positions()
    for frame in (ack(6), direct(5), direct(7)):
        positions.note(frame)
    assert positions.problems == []
    assert positions.last == {"alice-bob": 7}


def test_an_own_message_that_comes_back_as_an_event_is_a_duplicate() -> None:
    positions = Positions({"alice-bob": 0})
    positions.note(ack(1))
    positions.note(direct(1), "alice")
    assert positions.duplicates == [Place("alice-bob", 1)]


def test_the_ack_of_a_repeated_request_changes_nothing() -> None:
    positions = Positions()
    for frame in (direct(1), ack(2), direct(3), ack(2, duplicate=True), direct(4)):
        positions.note(frame)
    assert positions.problems == []
    assert positions.last == {"alice-bob": 4}


def test_an_own_change_of_membership_may_be_told_twice() -> None:
    positions = Positions({"g": 0})
    positions.note(Success(group_id="g", seq=1, prev=0), "alice")
    positions.note(joined(1, "alice", by="alice"), "alice")
    assert positions.problems == []
    positions.note(joined(1, "alice", by="alice"), "bob")
    assert positions.duplicates == [Place("g", 1)]


def test_nothing_is_owed_of_the_time_outside_a_group() -> None:
    positions = Positions({"g": 1})
    positions.note(left(2, "bob", by="alice"), "bob")
    assert positions.last == {}
    positions.note(joined(9, "bob", by="alice"), "bob")
    assert positions.problems == []
    assert positions.last == {"g": 9}


def test_that_another_leaves_changes_nothing() -> None:
    positions = Positions({"g": 1})
    positions.note(left(2, "charlie", by="charlie"), "bob")
    assert positions.last == {"g": 2}


def test_frames_without_a_place_are_ignored() -> None:
    positions = Positions()
    positions.note(Pong())
    positions.note(Success(chat_id="alice-bob"))
    assert positions.last == {}


def test_a_receipt_is_no_event() -> None:
    positions = Positions({"alice-bob": 3})
    positions.note(ReadReceipt(chat_id="alice-bob", username="bob", seq=9))
    assert positions.last == {"alice-bob": 3}
    assert positions.problems == []
