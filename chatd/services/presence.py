"""Who is online, and who is told.

A connection of either socket holds a lease, renewed by each pong. Friends are told of each other
without asking; others must share a group, and ask. What a stranger asks about is UNKNOWN.

Limit: a connection watches at most `WATCHED` users, friends among them; at the limit
SUBSCRIBE_PRESENCE answers TOO_LARGE, and of more friends than that the first by name are watched.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from chatd.auth import Principal
from chatd.clock import Clock
from chatd.delivery.hub import Hub
from chatd.delivery.outbox import Outbox
from chatd.errors import ChatError
from chatd.fabric.bus import Bus
from chatd.fabric.presence_leases import PresenceLeases
from chatd.services.gather import Gather
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.user_store import UserStore
from chatd.tasks import TaskOwner
from protocol import limits
from protocol.codec import encode
from protocol.errors import ErrorCode
from protocol.framing import text_message
from protocol.model import PresenceStatus
from protocol.pushes import PresenceUpdate
from protocol.requests import SubscribePresence

PING_SECONDS: Final = 30
PONG_SECONDS: Final = 10
LEASE_SECONDS: Final = PING_SECONDS + PONG_SECONDS + 5
WATCHED: Final = 1_000
_TOPIC: Final = "presence"


class Seen(NamedTuple):
    status: PresenceStatus
    last_seen: int | None
    """Milliseconds since the epoch; None while online, never seen or unknown."""


class _Change(msgspec.Struct, frozen=True, tag="change"):
    username: str
    last_seen: int | None
    """None: the user came online."""


class _Friends(msgspec.Struct, frozen=True, tag="friends"):
    """Two users became friends."""

    one: str
    other: str


class _Blocked(msgspec.Struct, frozen=True, tag="blocked"):
    """One of two users has blocked the other."""

    one: str
    other: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Change | _Friends | _Blocked).decode
_UNKNOWN: Final = Seen(PresenceStatus.UNKNOWN, None)


class Presence:
    def __init__(
        self,
        leases: PresenceLeases,
        users: UserStore,
        conversations: ConversationStore,
        hub: Hub,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._leases = leases
        self._users = users
        self._conversations = conversations
        self._hub = hub
        self._bus = bus
        self._clock = clock
        self._last_seen: Gather[str] = Gather(users.set_last_seen, "last-seen times")
        self._watchers: dict[str, dict[Outbox, None]] = {}
        self._watched: dict[Outbox, set[str]] = {}
        """The same by connection, for its end; only those that watch somebody."""
        self._tasks = TaskOwner()

    async def start(self) -> None:
        await self._bus.subscribe((_TOPIC,), self._heard)

    async def stop(self) -> None:
        self._bus.unsubscribe((_TOPIC,), self._heard)
        await self._tasks.cancel()
        await self._last_seen.drain()

    async def connected(self, outbox: Outbox, connection_id: str) -> None:
        """A connection opened: its user is online, its friends are told, and it
        is told of theirs."""
        username = outbox.principal.username
        if await self._leases.renew(username, connection_id, LEASE_SECONDS):
            await self._announce(_Change(username, None))
        friends = await self._users.friends(username)
        if friends and not outbox.is_closed():
            self._watch(outbox, friends[:WATCHED])
            online = await self._leases.online(friends[:WATCHED])
            for friend in friends:
                if friend in online:
                    _tell(outbox, friend, Seen(PresenceStatus.ONLINE, None))

    async def renew(self, outbox: Outbox, connection_id: str) -> None:
        """A pong came."""
        if await self._leases.renew(outbox.principal.username, connection_id, LEASE_SECONDS):
            await self._announce(_Change(outbox.principal.username, None))

    async def disconnected(self, outbox: Outbox, connection_id: str) -> None:
        """A connection ended; with the user's last one it is offline."""
        for username in self._watched.pop(outbox, ()):
            self._unwatch(outbox, username)
        if await self._leases.release(outbox.principal.username, connection_id):
            await self._gone(outbox.principal.username)

    async def sweep(self) -> None:
        """Announce the end of leases that ran out without a release. Called every few seconds."""
        for username in await self._leases.sweep():
            await self._gone(username)

    async def subscribe(
        self, principal: Principal, outbox: Outbox, request: SubscribePresence
    ) -> None:
        """Tell the connection of these users now and on every change.

        Raises:
            ChatError: TOO_LARGE.
        """
        names = list(dict.fromkeys(request.users))
        if len(names) > limits.PRESENCE_USERS:
            raise ChatError(
                ErrorCode.TOO_LARGE, f"`users`: at most {limits.PRESENCE_USERS} at once"
            )
        visible = await self.visible(principal.username, names)
        watched = self._watched.get(outbox, set())
        if len(watched | visible) > WATCHED:
            raise ChatError(
                ErrorCode.TOO_LARGE, f"`users`: a connection watches at most {WATCHED} users"
            )
        if outbox.is_closed():
            return
        # Watched first and looked up after: a change in between is told twice rather than never.
        self._watch(outbox, visible)
        seen = await self.look(list(visible))
        for name in names:
            _tell(outbox, name, seen.get(name, _UNKNOWN))

    def befriended(self, one: str, other: str) -> None:
        """Two users became friends: from now on their connections are told of each other."""
        self._bus.publish(_TOPIC, _encode(_Friends(one, other)))

    async def blocked(self, one: str, other: str) -> None:
        """One of two users has blocked the other: from now on neither is told of the other."""
        self._bus.publish(_TOPIC, _encode(_Blocked(one, other)))

    async def look_for(self, principal: Principal, usernames: Sequence[str]) -> dict[str, Seen]:
        """What the caller may see of users: UNKNOWN for strangers."""
        visible = await self.visible(principal.username, usernames)
        seen = await self.look(sorted(visible))
        return {username: seen.get(username, _UNKNOWN) for username in usernames}

    async def look(self, usernames: Sequence[str]) -> dict[str, Seen]:
        """Status and last seen of users, whoever asks: the caller has checked that it may."""
        online = await self._leases.online(usernames)
        offline = [username for username in usernames if username not in online]
        accounts = await self._users.accounts(offline) if offline else {}
        seen = {username: Seen(PresenceStatus.ONLINE, None) for username in online}
        for username in offline:
            account = accounts.get(username)
            stored = 0 if account is None else account.last_seen or 0
            last_seen = max(stored, self._last_seen.waiting(username))
            seen[username] = Seen(PresenceStatus.OFFLINE, last_seen or None)
        return seen

    async def visible(self, username: str, others: Sequence[str]) -> set[str]:
        """Those of `others` whose presence the user may see: itself, friends, and who
        shares a group with it."""
        visible = await self._users.friends_among(username, others)
        if username in others:
            visible.add(username)
        rest = [other for other in others if other not in visible]
        return visible | (
            await self._conversations.sharing_a_group(username, rest) if rest else set()
        )

    async def _gone(self, username: str) -> None:
        now_ms = self._clock.now_ms()
        self._last_seen.put(username, now_ms)
        await self._announce(_Change(username, now_ms))

    async def _introduce(self, one: str, other: str) -> None:
        seen = await self.look([one, other])
        for username, friend in ((one, other), (other, one)):
            for outbox in self._hub.connections(username):
                if len(self._watched.get(outbox, ())) < WATCHED:
                    self._watch(outbox, (friend,))
                    _tell(outbox, friend, seen[friend])

    async def _announce(self, change: _Change) -> None:
        self._bus.publish(_TOPIC, _encode(change))

    def _heard(self, _: str, payload: bytes) -> None:
        change = _decode(payload)
        if isinstance(change, _Friends):
            self._tasks.start(self._introduce(change.one, change.other), name="introduce")
            return
        if isinstance(change, _Blocked):
            self._part(change.one, change.other)
            self._part(change.other, change.one)
            return
        status = PresenceStatus.ONLINE if change.last_seen is None else PresenceStatus.OFFLINE
        for outbox in self._watchers.get(change.username, ()):
            _tell(outbox, change.username, Seen(status, change.last_seen))

    def _part(self, username: str, other: str) -> None:
        for outbox in self._hub.connections(username):
            watched = self._watched.get(outbox)
            if watched is not None and other in watched:
                watched.discard(other)
                self._unwatch(outbox, other)
                _tell(outbox, other, _UNKNOWN)

    def _unwatch(self, outbox: Outbox, username: str) -> None:
        watchers = self._watchers[username]
        watchers.pop(outbox, None)
        if not watchers:
            del self._watchers[username]

    def _watch(self, outbox: Outbox, usernames: Collection[str]) -> None:
        if usernames and not outbox.is_closed():
            self._watched.setdefault(outbox, set()).update(usernames)
            for username in usernames:
                self._watchers.setdefault(username, {})[outbox] = None


def _tell(outbox: Outbox, username: str, seen: Seen) -> None:
    push = PresenceUpdate(username=username, status=seen.status, last_seen=seen.last_seen)
    outbox.hint(text_message(encode(push)))
