"""Who is online, and who is told.

A connection of either socket holds a lease, renewed by each pong. Friends are told of each other
without asking; others must share a group, and ask. What a stranger asks about is UNKNOWN.

While the fabric is gone everybody is UNKNOWN, and nobody is told of anything. When it is back this
node renews the leases of all its connections at once; who is seen then is told to be ONLINE, and
who is not seen `SETTLE_SECONDS` later, when the other nodes have done the same, to be OFFLINE.
Changes that the bus loses are found by looking at all who are watched, each `LOOK_SECONDS`.

Limit: a connection watches at most `WATCHED` users, friends among them; at the limit
SUBSCRIBE_PRESENCE answers TOO_LARGE, and of more friends than that the first by name are watched.
"""

from collections.abc import Sequence
from typing import Final

from chatd.auth import Principal
from chatd.clock import Clock
from chatd.delivery.hub import Hub
from chatd.delivery.outbox import Outbox
from chatd.errors import ChatError
from chatd.fabric.bus import Bus
from chatd.fabric.presence_leases import PresenceLeases
from chatd.services.gather import Gather
from chatd.services.presence_news import PresenceNews, batches
from chatd.services.watchers import ONLINE, UNKNOWN, Watchers, push
from chatd.services.watchers import Seen as Seen
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.user_store import UserStore
from chatd.tasks import TaskOwner
from protocol import limits
from protocol.errors import ErrorCode
from protocol.model import PresenceStatus
from protocol.requests import SubscribePresence

PING_SECONDS: Final = 30
PONG_SECONDS: Final = 10
LEASE_SECONDS: Final = PING_SECONDS + PONG_SECONDS + 5
WATCHED: Final = 1_000
SETTLE_SECONDS: Final = 10
"""So long after the fabric is back the leases say who is online, and are swept again."""
LOOK_SECONDS: Final = 30


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
        self._news = PresenceNews(bus, self)
        self._watchers = Watchers()
        self._holders: dict[str, str] = {}
        """The user of each connection of this node."""
        self._settles_at: float | None = None
        """When the leases say again who is offline, after they were lost."""
        self._looks_at = clock.monotonic() + LOOK_SECONDS
        self._is_restoring = False
        self._restore_again = False
        self._tasks = TaskOwner()

    async def start(self) -> None:
        self._leases.restored = self.refresh
        await self._leases.check()
        await self._news.start()

    async def stop(self) -> None:
        self._leases.restored = None
        self._news.stop()
        await self._tasks.cancel()
        await self._last_seen.drain()

    async def connected(self, outbox: Outbox, connection_id: str) -> None:
        """A connection opened: its user is online, its friends are told, and it
        is told of theirs."""
        username = outbox.principal.username
        self._holders[connection_id] = username
        try:
            if await self._leases.renew(username, connection_id, LEASE_SECONDS):
                self._news.change([username], None)
            friends = (await self._users.friends(username))[:WATCHED]
            if friends and not outbox.is_closed():
                self._watchers.watch(outbox, friends)
                mark = self._watchers.mark
                online = await self._leases.online(friends)
                is_known = self._leases.is_known
                for friend in friends:
                    if not is_known:
                        self._watchers.tell(outbox, friend, UNKNOWN, mark)
                    elif friend in online:
                        self._watchers.tell(outbox, friend, ONLINE, mark)
        finally:
            if outbox.is_closed():
                # It ended meanwhile, and `disconnected` may have come before this.
                self._holders.pop(connection_id, None)

    async def renew(self, outbox: Outbox, connection_id: str) -> None:
        """A pong came."""
        username = outbox.principal.username
        if connection_id in self._holders and await self._leases.renew(
            username, connection_id, LEASE_SECONDS
        ):
            self._news.change([username], None)

    async def disconnected(self, outbox: Outbox, connection_id: str) -> None:
        """A connection ended; with the user's last one it is offline."""
        self._holders.pop(connection_id, None)
        self._watchers.forget(outbox)
        username = outbox.principal.username
        if await self._leases.release(username, connection_id):
            self._gone([username])
        elif not self._leases.is_known:
            # Nobody may know when its lease runs out.
            self._last_seen.put(username, self._clock.now_ms())

    async def sweep(self) -> None:
        """Announce the end of leases that ran out without a release, and what was not heard.
        Called every few seconds."""
        self._news.tell_untold()
        await self._leases.check()
        now = self._clock.monotonic()
        settles_at = self._settles_at
        if settles_at is not None and now < settles_at:
            return
        gone = await self._leases.sweep()
        if gone:
            self._gone(gone)
        if settles_at is not None or (self._bus.is_shared and now >= self._looks_at):
            await self._tell_changes(is_settled=True)
            self._looks_at = now + LOOK_SECONDS
            if self._settles_at == settles_at:
                self._settles_at = None

    def refresh(self) -> None:
        """Leases may have been lost, or changes of them not heard: begin to put that right."""
        self._settles_at = self._clock.monotonic() + SETTLE_SECONDS
        self._restore_again = True
        if not self._is_restoring:
            self._is_restoring = True
            self._tasks.start(self._restore(), name="restore presence")

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
        if len(visible.union(self._watchers.watched(outbox))) > WATCHED:
            raise ChatError(
                ErrorCode.TOO_LARGE, f"`users`: a connection watches at most {WATCHED} users"
            )
        if outbox.is_closed():
            return
        self._watchers.watch(outbox, visible)
        mark = self._watchers.mark
        seen = await self.look(list(visible))
        for name in names:
            if name in seen:
                self._watchers.tell(outbox, name, seen[name], mark)
            else:
                push(outbox, name, UNKNOWN)

    def befriended(self, one: str, other: str) -> None:
        """Two users became friends: from now on their connections are told of each other."""
        self._news.befriended(one, other)

    async def blocked(self, one: str, other: str) -> None:
        """One of two users has blocked the other: from now on neither is told of the other."""
        self._news.blocked(one, other)

    def part(self, one: str, other: str) -> None:
        """As `blocked`, on this node alone."""
        for username, other_one in ((one, other), (other, one)):
            for outbox in self._hub.connections(username):
                self._watchers.part(outbox, other_one)

    async def look_for(self, principal: Principal, usernames: Sequence[str]) -> dict[str, Seen]:
        """What the caller may see of users: UNKNOWN for strangers."""
        visible = await self.visible(principal.username, usernames)
        seen = await self.look(sorted(visible))
        return {username: seen.get(username, UNKNOWN) for username in usernames}

    async def look(self, usernames: Sequence[str]) -> dict[str, Seen]:
        """Status and last seen of users, whoever asks: the caller has checked that it may.
        UNKNOWN while the fabric is gone."""
        online = await self._leases.online(usernames)
        if not self._leases.is_known:
            return dict.fromkeys(usernames, UNKNOWN)
        return dict.fromkeys(online, ONLINE) | await self._offline(
            [username for username in usernames if username not in online]
        )

    async def _offline(self, usernames: Sequence[str]) -> dict[str, Seen]:
        accounts = await self._users.accounts(usernames) if usernames else {}
        seen = {}
        for username in usernames:
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

    def _gone(self, usernames: Sequence[str]) -> None:
        now_ms = self._clock.now_ms()
        for username in usernames:
            self._last_seen.put(username, now_ms)
        self._news.change(usernames, now_ms)

    async def _restore(self) -> None:
        try:
            while self._restore_again:
                self._restore_again = False
                await self._renew_all()
                self._news.tell_untold()
                await self._tell_changes(is_settled=False)
        finally:
            self._is_restoring = False

    async def _renew_all(self) -> None:
        for some in batches(list(self._holders)):
            leases = [(self._holders[one], one) for one in some if one in self._holders]
            came = await self._leases.renew_all(leases, LEASE_SECONDS)
            if came:
                self._news.change(came, None)

    async def _tell_changes(self, *, is_settled: bool) -> None:
        """Tell watchers what they have not been told. Only leases that are settled tell that
        somebody is offline."""
        for some in batches(self._watchers.usernames()):
            mark = self._watchers.mark
            online = await self._leases.online(some)
            if not self._leases.is_known:
                return
            away = [
                username
                for username in some
                if is_settled
                and username not in online
                and self._watchers.status(username) is not PresenceStatus.OFFLINE
            ]
            seen = dict.fromkeys(online, ONLINE) | await self._offline(away)
            for username in seen:
                self._watchers.found(username, seen[username], mark)

    async def _introduce(self, one: str, other: str) -> None:
        introduced = [
            (outbox, friend)
            for username, friend in ((one, other), (other, one))
            for outbox in self._hub.connections(username)
            if len(self._watchers.watched(outbox)) < WATCHED
        ]
        for outbox, friend in introduced:
            self._watchers.watch(outbox, (friend,))
        mark = self._watchers.mark
        seen = await self.look([one, other])
        for outbox, friend in introduced:
            self._watchers.tell(outbox, friend, seen[friend], mark)

    # Hearer

    def heard_change(self, usernames: Sequence[str], last_seen: int | None) -> None:
        seen = ONLINE if last_seen is None else Seen(PresenceStatus.OFFLINE, last_seen)
        for username in usernames:
            # After leases were lost everybody comes online: who is that already is no news.
            if seen != ONLINE or self._watchers.status(username) is not PresenceStatus.ONLINE:
                self._watchers.tell_all(username, seen)

    def heard_friends(self, one: str, other: str) -> None:
        self._tasks.start(self._introduce(one, other), name="introduce")

    def heard_blocked(self, one: str, other: str) -> None:
        self.part(one, other)
