"""Who is connected here: user -> connections, conversation -> connections.

A conversation has a Room while at least one of its members is connected to this node. `released` is
the number up to which the node has handed its events to delivery. A connection is *live* in a room
when it was sent everything up to `released`; otherwise it is *behind*, catch-up reads for it, and
it is sent nothing else of that conversation until it has met `released`. So the number of a
conversation's events that a connection was sent is one position, which only grows.
"""

from collections.abc import Callable, Iterable
from typing import Final

from chatd.delivery.lacking import NOTHING, Lacking, add, below
from chatd.delivery.outbox import Outbox

OWN_KEPT: Final = 10_000
"""Own events of a connection that is behind in a conversation. At the limit they are forgotten, and
come again as events, with ids that the client knows."""


class Behind:
    """How far a connection that is behind in a room has got."""

    __slots__ = (
        "is_held",
        "lacking",
        "offline_up_to",
        "only_own",
        "own",
        "position",
        "resync_after",
    )

    def __init__(
        self,
        position: int,
        offline_up_to: int,
        lacking: Lacking = NOTHING,
        *,
        is_held: bool = False,
    ) -> None:
        self.lacking = lacking
        """What was not sent up to `position`."""
        self.position = position
        self.offline_up_to = offline_up_to
        """The head when it connected: what is above came while it was here."""
        self.own: set[int] = set()
        """Events that the connection itself posted meanwhile: it has their acks."""
        self.only_own = True
        """Every event read so far was the user's own."""
        self.is_held = is_held
        """Nothing is sent until a RESUME says from where."""
        self.resync_after: int | None = None
        """A RESYNC with this number is owed before the events."""


class Filling:
    """Older events are on their way to a connection that asked for them."""

    __slots__ = ("is_wanted",)

    def __init__(self) -> None:
        self.is_wanted = True
        """Until the user leaves the conversation, or the connection ends."""


class Room:
    __slots__ = (
        "_users",
        "ahead",
        "behind",
        "conversation_id",
        "filling",
        "is_direct",
        "live",
        "released",
    )

    def __init__(self, conversation_id: str, is_direct: bool) -> None:
        self.conversation_id = conversation_id
        self.is_direct = is_direct
        self.released: int | None = None
        """None until the starting head is known."""
        self.live: dict[Outbox, Lacking] = {}
        """With what was not sent up to `released`."""
        self.behind: dict[Outbox, Behind] = {}
        self.ahead: dict[Outbox, int] = {}
        """Live connections that start above `released`: what their user has been delivered, by
        another node, is not handed over here yet."""
        self.filling: dict[Outbox, Filling] = {}
        self._users = 0

    @property
    def users(self) -> int:
        """Members that are connected to this node."""
        return self._users

    def attach(self, outbox: Outbox, position: int) -> Behind | None:
        """Add a connection whose user has everything up to `position`; what it is
        behind, if it is."""
        assert self.released is not None
        lacking = _lacking_up_to(position, outbox.parted.pop(self.conversation_id, None))
        if position < self.released:
            behind = self.behind[outbox] = Behind(position, self.released, lacking)
            return behind
        self.go_live(outbox, position, lacking)
        return None

    def hold(self, outbox: Outbox) -> None:
        """Add a connection that is sent nothing until it says what it has."""
        assert self.released is not None
        self.behind[outbox] = Behind(self.released, self.released, is_held=True)

    def go_live(self, outbox: Outbox, position: int, lacking: Lacking) -> None:
        """The connection has met `released`; from this loop step on it is sent events as they are
        released. Up to `position` it was sent everything but what is lacking."""
        assert self.released is not None and position >= self.released
        self.behind.pop(outbox, None)
        self.live[outbox] = lacking
        if position > self.released:
            self.ahead[outbox] = position

    def fall_behind(self, outbox: Outbox, position: int) -> Behind:
        """A live connection takes no more than what it was sent up to `position`."""
        behind = Behind(position, 0, self.live.pop(outbox))
        behind.only_own = False
        behind.resync_after = position
        self.ahead.pop(outbox, None)
        self.behind[outbox] = behind
        return behind

    def part(self, outbox: Outbox) -> None:
        """The connection's user leaves the conversation. What it was sent is remembered, in case it
        comes back."""
        behind = self.behind.get(outbox)
        if behind is not None and not behind.is_held and self.released is not None:
            # It was told of the leaving, the last that was released, and of nothing between.
            lacking = behind.lacking
            if behind.position < self.released - 1:
                lacking = add(lacking, behind.position, self.released - 1)
            outbox.note_parted(self.conversation_id, lacking, self.released)
        elif outbox in self.live and self.released is not None:
            outbox.note_parted(self.conversation_id, self.live[outbox], self.released)
        self.detach(outbox)

    def detach(self, outbox: Outbox) -> None:
        filling = self.filling.pop(outbox, None)
        if filling is not None:
            filling.is_wanted = False
        self.live.pop(outbox, None)
        self.behind.pop(outbox, None)
        self.ahead.pop(outbox, None)

    def holds(self, outbox: Outbox) -> bool:
        return outbox in self.live or outbox in self.behind


def _lacking_up_to(position: int, parted: tuple[Lacking, int] | None) -> Lacking:
    if parted is None:
        return below(position)
    lacking, sent_up_to = parted
    return add(lacking, sent_up_to, position) if position > sent_up_to else lacking


class LocalUser:
    """A user with at least one connection to this node."""

    __slots__ = ("left", "loading", "moved", "outboxes", "rooms", "username", "watching")

    def __init__(self, username: str) -> None:
        self.username = username
        self.outboxes: dict[Outbox, None] = {}
        """Connections that hear conversations."""
        self.watching: dict[Outbox, None] = {}
        """Connections of the presence socket, which hear none."""
        self.rooms: dict[str, Room] = {}
        self.loading = 0
        """Connections whose memberships are being read."""
        self.left: set[str] = set()
        """Conversations left since then: a membership read before the leaving does not count."""
        self.moved: set[str] = set()
        """Conversations left or joined since then."""


class Hub:
    """The registry of one node. Plain state: no I/O, no await."""

    def __init__(self) -> None:
        self.users: dict[str, LocalUser] = {}
        self.rooms: dict[str, Room] = {}
        self.fell_behind: Callable[[Outbox, Room, Behind], None] | None = None
        """Told of a connection that must catch up in a room that it was put into by an event, or
        could not keep up with."""

    def enter(self, outbox: Outbox) -> LocalUser:
        """A connection arrives: from now on its user's joins and leaves are applied here."""
        user = self._user(outbox)
        user.outboxes[outbox] = None
        user.loading += 1
        return user

    def watch(self, outbox: Outbox) -> None:
        """A connection of the presence socket arrives."""
        self._user(outbox).watching[outbox] = None

    def load(self, user: LocalUser) -> None:
        """Memberships of a user who is here are read: note who leaves and joins meanwhile."""
        user.loading += 1

    def loaded(self, user: LocalUser) -> None:
        """The memberships were read and applied."""
        user.loading -= 1
        if user.loading == 0:
            user.left.clear()
            user.moved.clear()

    def leave(self, outbox: Outbox) -> None:
        """A connection is gone."""
        user = self.users.get(outbox.principal.username)
        if user is None:
            return
        user.watching.pop(outbox, None)
        if outbox in user.outboxes:
            del user.outboxes[outbox]
            for room in user.rooms.values():
                room.detach(outbox)
            if not user.outboxes:
                rooms, user.rooms = user.rooms, {}
                for room in rooms.values():
                    self._forget(room)
        if not user.outboxes and not user.watching:
            del self.users[user.username]

    def connections(self, username: str) -> list[Outbox]:
        """Every connection of a user to this node, of both sockets."""
        user = self.users.get(username)
        return [] if user is None else [*user.outboxes, *user.watching]

    def open_room(self, conversation_id: str, user: LocalUser, *, is_direct: bool) -> Room:
        """The conversation's room, with the user counted in it."""
        room = user.rooms.get(conversation_id)
        if room is None:
            room = self.rooms.get(conversation_id)
            if room is None:
                room = self.rooms[conversation_id] = Room(conversation_id, is_direct)
            room._users += 1
            user.rooms[conversation_id] = room
        return room

    def joined(
        self, conversation_id: str, usernames: Iterable[str], position: int, *, is_direct: bool
    ) -> Room | None:
        """Users became members, the event after `position` says so; the room, if
        any of them is here."""
        for username in usernames:
            user = self.users.get(username)
            if user is None or not user.outboxes:
                continue
            user.left.discard(conversation_id)
            if user.loading:
                user.moved.add(conversation_id)
            room = self.open_room(conversation_id, user, is_direct=is_direct)
            if room.released is None:
                room.released = position
            for outbox in user.outboxes:
                if not room.holds(outbox):
                    behind = room.attach(outbox, position)
                    if behind is not None and self.fell_behind is not None:
                        self.fell_behind(outbox, room, behind)
        return self.rooms.get(conversation_id)

    def left(self, conversation_id: str, username: str) -> None:
        """A user is a member no more: its connections are sent nothing of the
        conversation from now on."""
        user = self.users.get(username)
        if user is None:
            return
        if user.loading:
            user.left.add(conversation_id)
            user.moved.add(conversation_id)
        room = user.rooms.pop(conversation_id, None)
        if room is not None:
            for outbox in user.outboxes:
                room.part(outbox)
            self._forget(room)

    def send_to_user(self, username: str, data: bytes, *, besides: str | None = None) -> None:
        """Send bytes to every connection of a user on this node but one. A connection that does not
        keep up may not get them."""
        user = self.users.get(username)
        if user is not None:
            for outbox in user.outboxes:
                if outbox.connection_id != besides:
                    outbox.write(data)

    def hint(self, conversation_id: str, by: str, data: bytes) -> None:
        """Send bytes that may be dropped to a conversation's live connections, but not to those of
        the user whom they are about."""
        room = self.rooms.get(conversation_id)
        if room is not None:
            for outbox in room.live:
                if outbox.principal.username != by:
                    outbox.hint(data)

    def _user(self, outbox: Outbox) -> LocalUser:
        username = outbox.principal.username
        user = self.users.get(username)
        if user is None:
            user = self.users[username] = LocalUser(username)
        return user

    def _forget(self, room: Room) -> None:
        room._users -= 1
        if room._users == 0:
            del self.rooms[room.conversation_id]
