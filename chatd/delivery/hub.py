"""Who is connected here: user -> connections, conversation -> connections.

A conversation has a Room while at least one of its members is connected to this node.
"""

from collections.abc import Callable, Iterable

from chatd.delivery.outbox import Outbox
from chatd.delivery.room import Behind, Room


class LocalUser:
    """A user with at least one connection to this node."""

    __slots__ = (
        "entering",
        "floors",
        "left",
        "loading",
        "moved",
        "outboxes",
        "rooms",
        "username",
        "watching",
    )

    def __init__(self, username: str) -> None:
        self.username = username
        self.outboxes: dict[Outbox, None] = {}
        """Connections that hear conversations."""
        self.watching: dict[Outbox, None] = {}
        """Connections of the presence socket, which hear none."""
        self.rooms: dict[str, Room] = {}
        self.floors: dict[str, int] = {}
        """By conversation, the number up to which the user may not read, when it is not 0."""
        self.entering: dict[Outbox, bool] = {}
        """Connections that are being put into their rooms, and whether they resume."""
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
        self.opened: Callable[[Room], None] | None = None
        """Told of a room that begins, and so on of its end, of a user's first connection to this
        node that hears conversations, and of the end of the last."""
        self.closed: Callable[[Room], None] | None = None
        self.arrived: Callable[[LocalUser], None] | None = None
        self.departed: Callable[[LocalUser], None] | None = None
        self.fell_behind: Callable[[Outbox, Room, Behind], None] | None = None
        """Told of a connection that must catch up in a room that it was put into by an event, or
        could not keep up with."""

    def enter(self, outbox: Outbox) -> LocalUser:
        """A connection arrives: from now on its user's joins and leaves are applied here."""
        user = self._user(outbox)
        if not user.outboxes and self.arrived is not None:
            self.arrived(user)
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
                if self.departed is not None:
                    self.departed(user)
        if not user.outboxes and not user.watching:
            del self.users[user.username]

    def is_held_back(self, outbox: Outbox) -> bool:
        """The connection is being put into its rooms, and will say itself what it has."""
        user = self.users.get(outbox.principal.username)
        return user is not None and user.entering.get(outbox, False)

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
                if self.opened is not None:
                    self.opened(room)
            room.users += 1
            user.rooms[conversation_id] = room
        return room

    def joined(
        self, conversation_id: str, usernames: Iterable[str], position: int, *, is_direct: bool
    ) -> Room | None:
        """Users became members, the event after `position` says so; the room, if
        any of them is here."""
        for username in usernames:
            user = self.users.get(username)
            if user is None or all(
                _was_told(outbox, conversation_id, position) for outbox in user.outboxes
            ):
                continue
            user.left.discard(conversation_id)
            if user.loading:
                user.moved.add(conversation_id)
            room = self.open_room(conversation_id, user, is_direct=is_direct)
            if position:
                user.floors[conversation_id] = position
            if room.released is None:
                room.released = position
            for outbox in user.outboxes:
                if not room.holds(outbox) and not _was_told(outbox, conversation_id, position):
                    behind = room.attach(outbox, position, was_here=True)
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
        user.floors.pop(conversation_id, None)
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
        room.users -= 1
        if room.users == 0:
            del self.rooms[room.conversation_id]
            if self.closed is not None:
                self.closed(room)


def _was_told(outbox: Outbox, conversation_id: str, position: int) -> bool:
    """The connection was told of the event after `position`, and that its user left after it: the
    event comes late."""
    parted = outbox.parted.get(conversation_id)
    return parted is not None and parted[1] > position
