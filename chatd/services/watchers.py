"""Which connections of this node watch whom, and what they were told.

A look-up takes time, and a change that is heard meanwhile is newer than its result. So who looks
somebody up for a watcher lets it watch first, then takes the `mark`, then looks: what was heard
after the mark was told to the watcher too, and what was found is not. A look-up that finds another
status than was told has found a change that was not heard: all watchers are told.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from chatd.delivery.outbox import Outbox
from protocol.codec import encode
from protocol.framing import text_message
from protocol.model import PresenceStatus
from protocol.pushes import PresenceUpdate


class Seen(NamedTuple):
    status: PresenceStatus
    last_seen: int | None
    """Milliseconds since the epoch; None while online, never seen or unknown."""


class _Told(NamedTuple):
    seen: Seen
    mark: int


UNKNOWN: Final = Seen(PresenceStatus.UNKNOWN, None)
ONLINE: Final = Seen(PresenceStatus.ONLINE, None)
_OFFLINE: Final = _Told(Seen(PresenceStatus.OFFLINE, None), 0)


class Watchers:
    def __init__(self) -> None:
        self.mark = 0
        """Grows with everything that is told to all watchers of somebody."""
        self._watchers: dict[str, dict[Outbox, None]] = {}
        self._watched: dict[Outbox, set[str]] = {}
        """The same by connection, for its end; only those that watch somebody."""
        self._told: dict[str, _Told] = {}
        """What was told last of a user who is watched; nothing of who was offline since then."""

    def usernames(self) -> list[str]:
        """Who is watched."""
        return list(self._watchers)

    def watched(self, outbox: Outbox) -> Collection[str]:
        """Whom the connection watches."""
        return self._watched.get(outbox, ())

    def watch(self, outbox: Outbox, usernames: Collection[str]) -> None:
        if usernames and not outbox.is_closed():
            self._watched.setdefault(outbox, set()).update(usernames)
            for username in usernames:
                self._watchers.setdefault(username, {})[outbox] = None

    def forget(self, outbox: Outbox) -> None:
        """The connection ended."""
        for username in self._watched.pop(outbox, ()):
            self._unwatch(outbox, username)

    def part(self, outbox: Outbox, username: str) -> None:
        """If the connection watches the user, it does so no more, and is told UNKNOWN."""
        watched = self._watched.get(outbox)
        if watched is not None and username in watched:
            watched.discard(username)
            self._unwatch(outbox, username)
            push(outbox, username, UNKNOWN)

    def status(self, username: str) -> PresenceStatus:
        """What watchers of the user take it to be."""
        return self._told.get(username, _OFFLINE).seen.status

    def tell_all(self, username: str, seen: Seen) -> None:
        """Tell every watcher of the user."""
        watchers = self._watchers.get(username)
        if watchers:
            self.mark += 1
            self._told[username] = _Told(seen, self.mark)
            for outbox in watchers:
                push(outbox, username, seen)

    def found(self, username: str, seen: Seen, mark: int) -> None:
        """This was looked up: tell every watcher of the user, if it is news."""
        if self._told.get(username, _OFFLINE).mark <= mark and (
            seen.status is not self.status(username)
        ):
            self.tell_all(username, seen)

    def tell(self, outbox: Outbox, username: str, seen: Seen, mark: int) -> None:
        """This was looked up for a watcher: tell it, whether it is news or not; unless it watches
        the user no more."""
        told = self._told.get(username, _OFFLINE)
        if told.mark > mark or username not in self._watched.get(outbox, ()):
            return
        if seen == UNKNOWN:
            # No news for the others; but what comes next is for all of them.
            self._told[username] = _Told(seen, mark)
            push(outbox, username, seen)
        elif seen.status is told.seen.status:
            push(outbox, username, seen)
        else:
            self.tell_all(username, seen)

    def _unwatch(self, outbox: Outbox, username: str) -> None:
        watchers = self._watchers[username]
        watchers.pop(outbox, None)
        if not watchers:
            del self._watchers[username]
            self._told.pop(username, None)


def push(outbox: Outbox, username: str, seen: Seen) -> None:
    update = PresenceUpdate(username=username, status=seen.status, last_seen=seen.last_seen)
    outbox.hint(text_message(encode(update)))
