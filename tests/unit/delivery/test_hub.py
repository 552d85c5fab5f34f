"""chatd.delivery.hub"""

import pytest

from chatd.delivery import outbox as outboxes
from chatd.delivery.hub import Hub, LocalUser
from chatd.delivery.outbox import Outbox
from chatd.delivery.room import Behind, Filling, Room
from tests.support.builders import Reader


def enter(hub: Hub, reader: Reader) -> LocalUser:
    """A connection whose memberships are read."""
    user = hub.enter(reader.outbox)
    hub.loaded(user)
    return user


def room_at(hub: Hub, user: LocalUser, conversation_id: str, released: int) -> Room:
    room = hub.open_room(conversation_id, user, is_direct=False)
    room.released = released
    return room


def test_who_is_up_to_date_is_live() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    assert room.attach(reader.outbox, 5) is None
    assert list(room.live) == [reader.outbox]
    assert room.holds(reader.outbox)
    assert not room.behind and not room.ahead


def test_who_lacks_something_is_behind() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    behind = room.attach(reader.outbox, 3)
    assert behind is not None
    assert (behind.position, behind.offline_up_to, behind.own) == (3, 5, set())
    assert room.behind == {reader.outbox: behind}
    assert not room.live
    assert room.holds(reader.outbox)


def test_who_has_more_than_was_released_is_live_and_ahead() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    assert room.attach(reader.outbox, 7) is None
    assert room.ahead == {reader.outbox: 7}
    assert list(room.live) == [reader.outbox]


def test_going_live_ends_being_behind() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    room.attach(reader.outbox, 0)
    room.go_live(reader.outbox, 5, ((0, 2),))
    assert not room.behind and not room.ahead
    assert room.live == {reader.outbox: ((0, 2),)}, "it has everything but that"


def test_who_is_held_is_behind_and_lacks_nothing_yet() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    room.hold(reader.outbox)
    behind = room.behind[reader.outbox]
    assert behind.is_held
    assert (behind.lacking, behind.position, behind.offline_up_to) == ((), 5, 5)
    assert room.holds(reader.outbox) and not room.live


def test_who_falls_behind_is_owed_a_resync_from_where_it_is() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    room.attach(reader.outbox, 5)
    room.released = 9
    behind = room.fall_behind(reader.outbox, 9)
    assert room.behind == {reader.outbox: behind} and not room.live
    assert (behind.lacking, behind.position, behind.resync_after) == (((0, 5),), 9, 9)
    assert behind.offline_up_to == 0, "it was here when the events came"
    assert not behind.is_held and not behind.only_own


def test_who_falls_behind_is_ahead_no_more() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    room.attach(reader.outbox, 7)
    behind = room.fall_behind(reader.outbox, 7)
    assert (behind.lacking, behind.position) == (((0, 7),), 7)
    assert not room.ahead


def test_a_room_counts_the_users_that_are_here() -> None:
    hub, phone, desk, alice = Hub(), Reader("bob", "p"), Reader("bob", "d"), Reader("alice")
    user = enter(hub, phone)
    enter(hub, desk)
    room = room_at(hub, user, "c", 0)
    assert room.users == 1
    hub.open_room("c", enter(hub, alice), is_direct=False)
    assert room.users == 2
    hub.leave(phone.outbox)
    assert room.users == 2
    hub.leave(desk.outbox)
    assert room.users == 1


def test_a_detached_connection_is_nowhere() -> None:
    hub, readers = Hub(), [Reader("bob", str(n)) for n in range(3)]
    user = enter(hub, readers[0])
    room = room_at(hub, user, "c", 5)
    for reader, position in zip(readers, (5, 3, 9), strict=True):
        room.attach(reader.outbox, position)
    for reader in readers:
        room.detach(reader.outbox)
        assert not room.holds(reader.outbox)
    assert not (room.live or room.behind or room.ahead)


def test_a_room_is_there_while_a_user_is_in_it() -> None:
    hub, alice, bob = Hub(), Reader("alice"), Reader("bob")
    room = hub.open_room("c", enter(hub, alice), is_direct=True)
    assert hub.open_room("c", enter(hub, bob), is_direct=True) is room
    hub.leave(alice.outbox)
    assert hub.rooms == {"c": room}
    hub.leave(bob.outbox)
    assert not hub.rooms and not hub.users


def test_a_user_with_two_connections_counts_once() -> None:
    hub, phone, desk = Hub(), Reader("bob", "phone"), Reader("bob", "desk")
    user = enter(hub, phone)
    assert enter(hub, desk) is user
    room = room_at(hub, user, "c", 0)
    hub.open_room("c", user, is_direct=False)
    room.attach(phone.outbox, 0)
    room.attach(desk.outbox, 0)
    hub.leave(phone.outbox)
    assert list(room.live) == [desk.outbox]
    assert hub.rooms == {"c": room}
    hub.leave(desk.outbox)
    assert not hub.rooms


def test_a_connection_leaves_once() -> None:
    hub, phone, desk = Hub(), Reader("bob", "phone"), Reader("bob", "desk")
    enter(hub, phone)
    hub.leave(desk.outbox)
    hub.leave(phone.outbox)
    hub.leave(phone.outbox)
    hub.leave(Reader("nobody").outbox)
    assert not hub.users


def test_a_join_puts_every_connection_of_the_user_in_the_room() -> None:
    hub, phone, desk, stranger = Hub(), Reader("bob", "p"), Reader("bob", "d"), Reader("eve")
    for reader in (phone, desk, stranger):
        enter(hub, reader)
    room = hub.joined("c", ["bob", "away"], 4, is_direct=False)
    assert room is not None
    assert room.released == 4
    assert set(room.live) == {phone.outbox, desk.outbox}


def test_a_join_of_users_who_are_elsewhere_opens_no_room() -> None:
    hub = Hub()
    assert hub.joined("c", ["away"], 4, is_direct=False) is None
    assert not hub.rooms


def test_a_join_does_not_move_who_is_in_the_room() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    behind = room.attach(reader.outbox, 3)
    hub.joined("c", ["bob"], 5, is_direct=False)
    assert room.behind == {reader.outbox: behind}


def test_who_is_put_into_a_room_that_is_further_must_catch_up() -> None:
    told: list[tuple[Outbox, Room, Behind]] = []
    hub, alice, bob = Hub(), Reader("alice"), Reader("bob")
    hub.fell_behind = lambda outbox, room, behind: told.append((outbox, room, behind))
    room = room_at(hub, enter(hub, alice), "c", 9)
    enter(hub, bob)
    assert hub.joined("c", ["bob"], 6, is_direct=False) is room
    assert told == [(bob.outbox, room, room.behind[bob.outbox])]
    assert room.behind[bob.outbox].position == 6


def test_who_left_hears_nothing_more() -> None:
    hub, alice, phone, desk = Hub(), Reader("alice"), Reader("bob", "p"), Reader("bob", "d")
    room = room_at(hub, enter(hub, alice), "c", 5)
    room.attach(alice.outbox, 5)
    user = enter(hub, phone)
    enter(hub, desk)
    hub.open_room("c", user, is_direct=False)
    room.attach(phone.outbox, 5)
    room.attach(desk.outbox, 1)
    hub.left("c", "bob")
    assert list(room.live) == [alice.outbox]
    assert not room.behind
    assert user.rooms == {}
    hub.left("c", "alice")
    assert not hub.rooms
    hub.left("c", "alice")
    hub.left("c", "away")


def test_leaving_while_memberships_are_read_is_remembered_until_they_are() -> None:
    hub, phone, desk = Hub(), Reader("bob", "p"), Reader("bob", "d")
    user = hub.enter(phone.outbox)
    hub.enter(desk.outbox)
    hub.left("c", "bob")
    assert user.left == {"c"}
    hub.loaded(user)
    assert user.left == {"c"}
    hub.loaded(user)
    assert user.left == set()


def test_coming_back_while_memberships_are_read_ends_the_leaving() -> None:
    hub, reader = Hub(), Reader("bob")
    user = hub.enter(reader.outbox)
    hub.left("c", "bob")
    hub.joined("c", ["bob"], 4, is_direct=False)
    assert user.left == set()
    assert hub.rooms["c"].holds(reader.outbox)


def test_who_comes_and_goes_while_memberships_are_read_is_noted_until_they_are() -> None:
    hub, reader = Hub(), Reader("bob")
    user = enter(hub, reader)
    hub.joined("c", ["bob"], 4, is_direct=False)
    assert user.moved == set(), "nothing was read"
    hub.load(user)
    hub.left("c", "bob")
    hub.joined("d", ["bob"], 4, is_direct=False)
    assert user.moved == {"c", "d"}
    hub.loaded(user)
    assert user.moved == user.left == set()


def test_what_was_sent_before_the_leaving_is_remembered_when_one_comes_back() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    room.attach(reader.outbox, 3)
    room.go_live(reader.outbox, 5, room.behind[reader.outbox].lacking)
    room.released = 6
    hub.left("c", "bob")
    hub.joined("c", ["bob"], 8, is_direct=False)
    room = hub.rooms["c"]
    assert room.live == {reader.outbox: ((0, 3), (6, 8))}
    assert not reader.outbox.parted


def test_what_a_held_connection_was_sent_is_nothing() -> None:
    hub, reader = Hub(), Reader("bob")
    room = room_at(hub, enter(hub, reader), "c", 5)
    room.hold(reader.outbox)
    hub.left("c", "bob")
    hub.joined("c", ["bob"], 8, is_direct=False)
    assert hub.rooms["c"].live == {reader.outbox: ((0, 8),)}


def test_so_many_leavings_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "PARTED", 2)
    hub, reader, other = Hub(), Reader("bob"), Reader("bob")
    user = enter(hub, reader)
    for name in ("c", "d", "e"):
        room_at(hub, user, name, 5).attach(reader.outbox, 5)
        hub.left(name, "bob")
    assert reader.outbox.parted.keys() == {"c", "d"}
    assert not other.outbox.parted


def test_who_leaves_or_goes_wants_no_older_events() -> None:
    hub, phone, desk = Hub(), Reader("bob", "p"), Reader("bob", "d")
    user = enter(hub, phone)
    enter(hub, desk)
    room = room_at(hub, user, "c", 5)
    fillings = []
    for reader in (phone, desk):
        room.attach(reader.outbox, 5)
        fillings.append(Filling())
        room.filling[reader.outbox] = fillings[-1]
    hub.leave(phone.outbox)
    assert [filling.is_wanted for filling in fillings] == [False, True]
    hub.left("c", "bob")
    assert [filling.is_wanted for filling in fillings] == [False, False]
    assert not room.filling


def test_leaving_when_nothing_is_read_is_not_remembered() -> None:
    hub, reader = Hub(), Reader("bob")
    user = enter(hub, reader)
    hub.left("c", "bob")
    assert user.left == set()


def test_a_user_is_sent_to_on_every_connection_but_one() -> None:
    hub, phone, desk, other = Hub(), Reader("bob", "p"), Reader("bob", "d"), Reader("eve")
    for reader in (phone, desk, other):
        enter(hub, reader)
    hub.send_to_user("bob", b"1")
    hub.send_to_user("bob", b"2", besides=phone.outbox.connection_id)
    hub.send_to_user("away", b"3")
    assert phone.sink.writes == [b"1"]
    assert desk.sink.writes == [b"1", b"2"]
    assert other.sink.writes == []


def test_a_hint_goes_to_who_is_live_and_not_to_whom_it_is_about() -> None:
    hub = Hub()
    phone, desk, alice, carol = (Reader(name) for name in ("bob", "bob", "alice", "carol"))
    for reader in (phone, desk, alice, carol):
        room = room_at(hub, enter(hub, reader), "c", 5)
        room.attach(reader.outbox, 3 if reader is carol else 5)
    hub.hint("c", "bob", b"typing")
    hub.hint("nowhere", "bob", b"typing")
    assert alice.sink.writes == [b"typing"]
    assert phone.sink.writes == desk.sink.writes == carol.sink.writes == []


def test_the_connections_of_a_user_are_those_of_both_sockets() -> None:
    hub, chat, presence = Hub(), Reader("bob"), Reader("bob")
    enter(hub, chat)
    hub.watch(presence.outbox)
    assert hub.connections("bob") == [chat.outbox, presence.outbox]
    hub.send_to_user("bob", b"1")
    assert presence.sink.writes == [], "it hears no conversations"
    hub.leave(chat.outbox)
    assert hub.connections("bob") == [presence.outbox]
    hub.leave(presence.outbox)
    assert hub.connections("bob") == [] and not hub.users
