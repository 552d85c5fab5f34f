"""What a client that stays connected keeps from one connection to the next."""

from dataclasses import dataclass, field

from testclients.cursors import Cursors
from testclients.inbox import Inbox
from testclients.order import Order
from testclients.outbox import Outbox
from testclients.timer import Timer
from testclients.typing_notices import TypingNotices


@dataclass(slots=True)
class Kept:
    timer: Timer
    order: Order
    inbox: Inbox
    outbox: Outbox
    cursors: Cursors
    typing: TypingNotices
    taken: dict[str, int]
    """By conversation, the number up to which the application has dealt with everything."""
    log_id: str | None
    """Of the log that the positions are of; None before the first connection."""
    is_new: bool
    """The positions are still to be had from the server."""
    watched: dict[str, None] = field(default_factory=dict)
    """Whose presence was subscribed to."""
