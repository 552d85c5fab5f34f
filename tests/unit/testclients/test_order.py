"""Events in the order of their numbers, each once, whatever the order of arrival."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.model import HistoryVisibility
from protocol.pushes import GroupChat, GroupCreated, GroupMemberJoined, GroupMemberLeft
from testclients.events import Event
from testclients.order import Order
from tests.unit.testclients.scripted import ALICE, CHAT, message


def joined(seq: int, username: str = ALICE) -> GroupMemberJoined:
    return GroupMemberJoined(group_id="g", username=username, by="bob", at=0, seq=seq, prev=seq - 1)


def left(seq: int, username: str = ALICE) -> GroupMemberLeft:
    return GroupMemberLeft(group_id="g", username=username, by="bob", at=0, seq=seq, prev=seq - 1)


def said(seq: int) -> GroupChat:
    return GroupChat(
        id=f"g{seq}", seq=seq, prev=seq - 1, group_id="g", from_="bob", content="hi", sent_at=0
    )


def created(seq: int = 1) -> GroupCreated:
    return GroupCreated(
        group_id="g",
        name="club",
        by="bob",
        members=["bob", ALICE],
        open=False,
        history=HistoryVisibility.JOINED,
        at=0,
        seq=seq,
        prev=seq - 1,
    )


def order(max_waiting: int = 1_000, **positions: int) -> Order:
    made = Order(max_waiting=max_waiting)
    for conversation, last in positions.items():
        made.begin(conversation.replace("_", "-"), last)
    made.connected(ALICE)
    return made


def take_all(order: Order, events: list[Event]) -> list[int]:
    return [due.seq for event in events for due in order.take(event)]


@given(st.permutations(range(4, 24)), st.lists(st.integers(1, 23), max_size=30))
def test_any_order_becomes_the_right_one(arrival: list[int], repeated: list[int]) -> None:
    order_ = order(alice_bob=3)
    events: list[Event] = [message(seq) for seq in [*arrival[:10], *repeated, *arrival]]
    assert take_all(order_, events) == list(range(4, 24))
    assert order_.positions == {CHAT: 23}
    assert order_.gap(CHAT) is None


@given(st.permutations([(name, seq) for name in ("a-b", "c-d", "e-f") for seq in range(1, 6)]))
def test_conversations_are_put_in_order_apart(arrival: list[tuple[str, int]]) -> None:
    order_ = order()
    due: dict[str, list[int]] = {"a-b": [], "c-d": [], "e-f": []}
    for name, seq in arrival:
        due[name] += [event.seq for event in order_.take(message(seq, chat_id=name))]
    assert set(map(tuple, due.values())) == {(1, 2, 3, 4, 5)}


@given(st.permutations(range(1, 8)))
def test_a_new_group_begins_with_its_creation(arrival: list[int]) -> None:
    events: dict[int, Event] = {1: created(), **{seq: said(seq) for seq in range(2, 8)}}
    assert take_all(order(), [events[seq] for seq in arrival]) == list(range(1, 8))


@given(st.permutations(range(20, 26)))
def test_a_group_that_is_joined_begins_there(arrival: list[int]) -> None:
    events: dict[int, Event] = {20: joined(20), **{seq: said(seq) for seq in range(21, 26)}}
    order_ = order()
    assert take_all(order_, [events[seq] for seq in arrival]) == list(range(20, 26))
    assert order_.positions == {"g": 25}


def test_another_s_joining_begins_nothing() -> None:
    order_ = order()
    assert take_all(order_, [joined(20, "carol")]) == []
    assert order_.positions == {}
    assert order_.gap("g") == 1


def test_leaving_ends_a_line_and_joining_begins_it_anew() -> None:
    order_ = order(g=3)
    assert take_all(order_, [left(5), said(4)]) == [4, 5]
    assert order_.positions == {}
    assert take_all(order_, [said(4), left(5)]) == [], "late repeats"
    assert take_all(order_, [joined(9), said(10)]) == [9, 10]
    assert order_.positions == {"g": 10}


def test_several_stays_are_told_one_after_the_other() -> None:
    for arrival in ([9, 10, 20, 4], [20, 10, 9, 4]):
        events: dict[int, Event] = {4: left(4), 9: joined(9), 10: left(10), 20: joined(20)}
        order_ = order(g=3)
        assert take_all(order_, [events[seq] for seq in arrival]) == [4, 9, 10, 20]
        assert order_.positions == {"g": 20}


def test_another_s_leaving_changes_nothing() -> None:
    order_ = order(g=3)
    assert take_all(order_, [left(4, "bob")]) == [4]
    assert order_.positions == {"g": 4}


def test_a_gap_shows_how_much_waits_behind_it() -> None:
    order_ = order(alice_bob=3)
    assert order_.gap(CHAT) is None
    take_all(order_, [message(6), message(5), message(6)])
    assert (order_.gap(CHAT), order_.last(CHAT)) == (2, 3)
    assert take_all(order_, [message(4)]) == [4, 5, 6]
    assert order_.gap(CHAT) is None


def test_the_answer_to_a_resume_ends_the_wait_for_what_may_not_be_read() -> None:
    order_ = order(g=3)
    order_.resuming(["g"])
    assert take_all(order_, [joined(20), said(22), said(21)]) == []
    assert order_.gap("g") is None, "an answer is awaited: nothing is missing yet"
    assert [event.seq for event in order_.resumed("g")] == [20, 21, 22]
    assert order_.positions == {"g": 22}


def test_the_answer_ends_no_other_wait() -> None:
    order_ = order(alice_bob=3)
    take_all(order_, [message(5)])
    assert order_.resumed(CHAT) == [], "it was not the first of its connection"
    assert order_.gap(CHAT) == 1
    order_.connected(ALICE)
    order_.resuming([CHAT])
    take_all(order_, [message(6), message(8)])
    assert [event.seq for event in order_.resumed(CHAT)] == [6]
    assert order_.gap(CHAT) == 1, "what is missing behind the first is missing"


def test_a_new_connection_brings_what_waits_once_more() -> None:
    order_ = order(alice_bob=3)
    take_all(order_, [message(5), message(6)])
    order_.connected(ALICE)
    assert order_.gap(CHAT) is None
    assert take_all(order_, [message(4), message(5), message(6)]) == [4, 5, 6]


def test_a_rewound_line_begins_at_the_first_event() -> None:
    order_ = order(alice_bob=9)
    assert not order_.rewind(CHAT), "no RESUME is being answered"
    assert take_all(order_, [message(9)]) == []
    order_.resuming([CHAT])
    take_all(order_, [message(11)])
    assert order_.rewind(CHAT)
    assert take_all(order_, [message(1), message(2)]) == [1, 2]
    assert order_.resumed(CHAT) == []
    assert not order_.rewind("unknown")


def test_a_refused_line_hands_out_what_waits_and_ends() -> None:
    order_ = order(g=3)
    take_all(order_, [said(5), said(7)])
    assert [event.seq for event in order_.refused("g")] == [5, 7]
    assert order_.positions == {}
    assert order_.refused("unknown") == []


def test_what_waits_is_bounded_and_a_new_connection_is_needed() -> None:
    order_ = order(max_waiting=3, alice_bob=0, c_d=0)
    events = [message(3), message(3, chat_id="c-d"), message(4)]
    assert take_all(order_, list(events)) == []
    full = [order_.is_full]
    assert take_all(order_, [message(5)]) == []
    full.append(order_.is_full)
    assert take_all(order_, [message(1)]) == [1], "what is next is never refused"
    assert take_all(order_, [message(2)]) == [2, 3, 4]
    order_.connected(ALICE)
    assert [*full, order_.is_full] == [False, True, False]
    assert take_all(order_, [message(5)]) == [5]


def test_a_long_resume_from_where_the_user_may_read_needs_little_room() -> None:
    order_ = order(max_waiting=3, g=0)
    order_.resuming(["g"])
    events: list[Event] = [joined(50), *(said(seq) for seq in range(51, 90))]
    assert take_all(order_, events) == list(range(50, 90))
    assert not order_.is_full
    assert order_.resumed("g") == []


def test_positions_of_another_log_are_forgotten() -> None:
    order_ = order(alice_bob=9)
    take_all(order_, [message(11)])
    order_.forget()
    assert order_.positions == {}
    assert take_all(order_, [message(1)]) == [1]
