"""A conversation as one node delivers it: who is live in it, who is behind and how far.

`released` is the number up to which the node has handed its events to delivery. A connection is
*live* in a room when it was sent everything up to `released`; otherwise it is *behind*, catch-up
reads for it, and it is sent nothing else of that conversation until it has met `released`. So the
number of a conversation's events that a connection was sent is one position, which only grows.
"""

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
        "ahead",
        "behind",
        "conversation_id",
        "filling",
        "is_direct",
        "live",
        "own",
        "released",
        "users",
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
        self.own: dict[Outbox, set[int]] = {}
        """Of live connections, what they posted before they were in the room and have acks for."""
        self.filling: dict[Outbox, Filling] = {}
        self.users = 0
        """Members that are connected to this node."""

    def attach(self, outbox: Outbox, position: int, *, was_here: bool = False) -> Behind | None:
        """Add a connection whose user has everything up to `position`; what it is
        behind, if it is. One that `was_here` missed nothing by being away."""
        assert self.released is not None
        lacking = _lacking_up_to(position, outbox.parted.pop(self.conversation_id, None))
        if position < self.released:
            offline_up_to = 0 if was_here else self.released
            behind = self.behind[outbox] = Behind(position, offline_up_to, lacking)
            # What its user did with another device counts as delivered to one that comes, not to
            # one that was here and must be told of it.
            behind.only_own = not was_here
            if self.conversation_id in outbox.own:
                behind.own = outbox.own.pop(self.conversation_id)
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
        if self.conversation_id in outbox.own:
            self.own[outbox] = outbox.own.pop(self.conversation_id)

    def fall_behind(self, outbox: Outbox, position: int) -> Behind:
        """A live connection takes no more than what it was sent up to `position`."""
        behind = Behind(position, 0, self.live.pop(outbox))
        behind.only_own = False
        behind.resync_after = position
        self.ahead.pop(outbox, None)
        behind.own = self.own.pop(outbox, behind.own)
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
        self.own.pop(outbox, None)

    def holds(self, outbox: Outbox) -> bool:
        return outbox in self.live or outbox in self.behind


def _lacking_up_to(position: int, parted: tuple[Lacking, int] | None) -> Lacking:
    if parted is None:
        return below(position)
    lacking, sent_up_to = parted
    return add(lacking, sent_up_to, position) if position > sent_up_to else lacking
