"""Who is connected here: user -> connections, conversation -> connections.

A conversation has a Room while at least one of its members is connected to this node. `released` is
the number up to which the node has handed its events to delivery. A connection is *live* in a room
when it was sent everything up to `released`; otherwise it is *behind*, catch-up reads for it, and
it is sent nothing else of that conversation until it has met `released`. So the number of a
conversation's events that a connection was sent is one position, which only grows.
"""

from collections.abc import Callable, Iterable

from chatd.delivery.outbox import Outbox


class Behind:
    """How far a connection that is behind in a room has got."""

    __slots__ = ("offline_up_to", "only_own", "own", "position")

    def __init__(self, position: int, offline_up_to: int) -> None:
        self.position = position
        self.offline_up_to = offline_up_to
        """The head when it connected: what is above came while it was here."""
        self.own: set[int] = set()
        """Events that the connection itself posted meanwhile: it has their acks."""
        self.only_own = True
        """Every event read so far was the user's own."""


class Room:
    __slots__ = ("_users", "ahead", "behind", "conversation_id", "live", "released")

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.released: int | None = None
        """None until the starting head is known."""
        self.live: dict[Outbox, None] = {}
        self.behind: dict[Outbox, Behind] = {}
        self.ahead: dict[Outbox, int] = {}
        """Live connections that start above `released`: what their user has been delivered, by
        another node, is not handed over here yet."""
        self._users = 0

    def attach(self, outbox: Outbox, position: int) -> Behind | None:
        """Add a connection that was sent everything up to `position`; what it is
        behind, if it is."""
        assert self.released is not None
        if position < self.released:
            behind = Behind(position, self.released)
            self.behind[outbox] = behind
            return behind
        self.go_live(outbox, position)
        return None

    def go_live(self, outbox: Outbox, position: int) -> None:
        """The connection has met `released`; from this loop step on it is sent events as
        they are released."""
        assert self.released is not None and position >= self.released
        self.behind.pop(outbox, None)
        self.live[outbox] = None
        if position > self.released:
            self.ahead[outbox] = position

    def detach(self, outbox: Outbox) -> None:
        self.live.pop(outbox, None)
        self.behind.pop(outbox, None)
        self.ahead.pop(outbox, None)

    def holds(self, outbox: Outbox) -> bool:
        return outbox in self.live or outbox in self.behind


class LocalUser:
    """A user with at least one connection to this node."""

    __slots__ = ("left", "loading", "outboxes", "rooms", "username", "watching")

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


class Hub:
    """The registry of one node. Plain state: no I/O, no await."""

    def __init__(self) -> None:
        self.users: dict[str, LocalUser] = {}
        self.rooms: dict[str, Room] = {}
        self.fell_behind: Callable[[Outbox, Room, Behind], None] | None = None
        """Told of a connection that must catch up in a room that it was put into by an event."""

    def enter(self, outbox: Outbox) -> LocalUser:
        """A connection arrives: from now on its user's joins and leaves are applied here."""
        user = self._user(outbox)
        user.outboxes[outbox] = None
        user.loading += 1
        return user

    def watch(self, outbox: Outbox) -> None:
        """A connection of the presence socket arrives."""
        self._user(outbox).watching[outbox] = None

    def loaded(self, user: LocalUser) -> None:
        """The connection's memberships were read and applied."""
        user.loading -= 1
        if user.loading == 0:
            user.left.clear()

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

    def open_room(self, conversation_id: str, user: LocalUser) -> Room:
        """The conversation's room, with the user counted in it."""
        room = user.rooms.get(conversation_id)
        if room is None:
            room = self.rooms.get(conversation_id)
            if room is None:
                room = self.rooms[conversation_id] = Room(conversation_id)
            room._users += 1
            user.rooms[conversation_id] = room
        return room

    def joined(self, conversation_id: str, usernames: Iterable[str], position: int) -> Room | None:
        """Users became members, the event after `position` says so; the room, if
        any of them is here."""
        for username in usernames:
            user = self.users.get(username)
            if user is None or not user.outboxes:
                continue
            user.left.discard(conversation_id)
            room = self.open_room(conversation_id, user)
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
        room = user.rooms.pop(conversation_id, None)
        if room is not None:
            for outbox in user.outboxes:
                room.detach(outbox)
            self._forget(room)

    def send_to_user(self, username: str, data: bytes, *, besides: Outbox | None = None) -> None:
        """Send bytes to every connection of a user on this node."""
        user = self.users.get(username)
        if user is not None:
            for outbox in user.outboxes:
                if outbox is not besides:
                    outbox.write(data)

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
