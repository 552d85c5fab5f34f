"""The NameFilter of many nodes: bits in Redis, and a copy of them in every process.

The copy answers for the names that it has: those may exist. What it has not is asked of the shared
bits in one command, and only when they have not got it either is it told as absent. What they have
is taken into the copy: a name that another node made costs one such command.

Shared bits were chosen over a shared snapshot with the names added since. With bits, an addition is
in the filter when its command returns: there is nothing to fold in, to bound or to hear of in time,
a node that starts takes the bits as they are, and its copy may lag as it likes. A snapshot would be
written again and again, and its list of additions would be one more thing to prove complete. The
price: a name that nobody has costs a round trip to Redis, in place of a query.

Why an absence is true:

- A name enters the shared bits before its commit. When that fails, or its outcome is unknown, the
  names get a new epoch in the store, and the commit waits until no node trusts the old one: each
  reads the epoch every second and trusts it for `TRUST_SECONDS` from before the reading on.
- An absence is told only by a complete filter of the trusted epoch, of this run of Redis (after a
  restart it may be that of an old dump), with all its layers whole (Redis may evict them): one
  script looks at all of that and at the bits.
- A filter is begun empty and takes additions at once; `SETTLE_SECONDS` later all names of the store
  are read. By then whatever did not see its beginning is committed, and is read. A commit that took
  longer than `COMMIT_SECONDS` counts on nothing: its name is added again.

While any of it does not hold everything may exist, the store is asked, and one node builds anew.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from loguru import logger

from chatd.clock import Clock
from chatd.errors import BackendError
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.name_filter import of_user
from chatd.fabric.name_layers import SHARED_CAPACITY
from chatd.fabric.name_scan import add_all
from chatd.fabric.name_share_redis import Head, SharedNames
from chatd.fabric.name_tally import NameTally
from chatd.metrics import Metrics
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.user_store import UserStore
from chatd.tasks import TaskOwner

T = TypeVar("T")

TICK_SECONDS: Final = 1.0
TRUST_SECONDS: Final = 2.5
DISTRUST_SECONDS: Final = 3.0
"""So long after a new epoch a commit waits that no filter knows of."""
COMMIT_SECONDS: Final = 30.0
RENEWED_SECONDS: Final = 20.0
"""So long a new epoch counts for further names that could not enter."""
SETTLE_SECONDS: Final = 60.0
"""More than the three before it together: whatever did not enter a filter when it was begun is
committed by then."""
_ASK_SECONDS: Final = 0.25
_STEP_SECONDS: Final = 1.0


class RedisNameFilter:
    """See the module and the port."""

    def __init__(
        self,
        client: RedisClient,
        users: UserStore,
        conversations: ConversationStore,
        clock: Clock,
        metrics: Metrics,
        *,
        capacity: int = SHARED_CAPACITY,
    ) -> None:
        """`capacity` is that of the first layer, in names, and the same in every process."""
        self._users = users
        self._conversations = conversations
        self._clock = clock
        self._tally = NameTally(metrics)
        self._shared = SharedNames(client, capacity)
        self._copy = self._shared.layers()
        self._copied: str | None = None
        """The filter that it is a copy of."""
        self._head: Head | None = None
        """The shared filter when it was last looked at; None when there is none to be trusted."""
        self._epoch = ""
        self._trusted_until = 0.0
        self._renewing = asyncio.Lock()
        self._renewed_at = -RENEWED_SECONDS
        self._distrusted_at = 0.0
        """When, by the loop's time, every node has done with the epochs before the last."""
        self._tasks = TaskOwner()
        self._work: asyncio.Task[None] | None = None
        """Building, or copying."""

    @property
    def is_built(self) -> bool:
        head = self._head
        return (
            head is not None
            and head.is_complete
            and head.build == self._copied
            and head.layers <= len(self._copy.layers)
            and self._clock.monotonic() < self._trusted_until
        )

    async def start(self) -> None:
        self._tasks.start(self._watch(), name="names")

    async def stop(self) -> None:
        await self._tasks.cancel()

    def seems_absent(self, name: str) -> bool:
        if self.is_built and name not in self._copy:
            return True
        self._tally.looked_up()
        return False

    async def is_absent(self, name: str) -> bool:
        self._tally.looked_up()
        copy, head, trusted_until = self._copy, self._head, self._trusted_until
        if head is None or not self.is_built or name in copy:
            return False
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                found = await self._shared.ask(name, head, self._epoch, copy)
        except (BackendError, TimeoutError):
            found = None
        if found is None:
            # Until the next look: it is being replaced, or Redis is gone.
            self._head = None
            return False
        if found:
            copy.layers[found - 1].put(name)
            return False
        if self._clock.monotonic() >= trusted_until:
            return False
        self._tally.told_absent(name)
        return True

    @asynccontextmanager
    async def entering(self, name: str) -> AsyncIterator[None]:
        began = self._clock.monotonic()
        await self._enter(name)
        try:
            yield
        finally:
            if self._clock.monotonic() - began > COMMIT_SECONDS:
                await self._enter(name)

    def asked_in_vain(self, username: str) -> None:
        if self.is_built and of_user(username) in self._copy:
            self._tally.asked_in_vain()

    async def _enter(self, name: str) -> None:
        failure: Exception | None = None
        for _ in range(2):
            try:
                async with asyncio.timeout(_STEP_SECONDS):
                    await self._shared.add(name, self._copy)
                return
            except (BackendError, TimeoutError) as error:
                failure = error
        async with self._renewing:
            began = self._clock.monotonic()
            if began - self._renewed_at >= RENEWED_SECONDS:
                logger.warning("the name filter is void: a name could not enter it: {}", failure)
                await self._users.renew_names_epoch()
                self._renewed_at = began
                self._distrusted_at = asyncio.get_running_loop().time() + DISTRUST_SECONDS
                self._head = None
        await asyncio.sleep(max(self._distrusted_at - asyncio.get_running_loop().time(), 0))

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except (BackendError, TimeoutError) as error:
                self._head = None
                logger.debug("the name filter was not looked at: {}", error)
            self._tally.holds(
                is_built=self.is_built,
                count=0 if self._head is None else self._head.total,
                size_bytes=self._copy.size_bytes,
            )
            await asyncio.sleep(TICK_SECONDS)

    async def _look(self) -> None:
        began = self._clock.monotonic()
        epoch = await self._users.names_epoch()
        async with asyncio.timeout(_STEP_SECONDS):
            head = await self._shared.look(epoch)
        self._epoch, self._head = epoch, head
        self._trusted_until = began + TRUST_SECONDS
        if self._work is not None and not self._work.done():
            return
        if head is None:
            self._begin(self._build, epoch)
        elif (
            head.is_ours
            and head.is_complete
            and (head.build != self._copied or head.layers > len(self._copy.layers))
        ):
            self._begin(self._take, head)

    def _begin(self, work: Callable[[T], Awaitable[None]], what: T) -> None:
        async def attempt() -> None:
            try:
                await work(what)
            except BackendError as error:
                logger.warning("the name filter is not there yet: {}", error)

        self._work = self._tasks.start(attempt(), name="name filter")

    async def _take(self, head: Head) -> None:
        copy = await self._shared.copy(head)
        self._copy, self._copied = copy, head.build

    async def _build(self, epoch: str) -> None:
        build = await self._shared.begin(epoch)
        if build is not None:
            try:
                await self._complete(build)
            except BackendError:
                await self._shared.give_up(build)
                raise

    async def _complete(self, build: str) -> None:
        time = asyncio.get_running_loop().time
        began = kept_at = time()

        async def keep() -> None:
            nonlocal kept_at
            if time() - kept_at >= TICK_SECONDS:
                kept_at = time()
                if not await self._shared.keep(build):
                    raise BackendError("its building was void before the end")

        while time() < began + SETTLE_SECONDS:
            await asyncio.sleep(min(TICK_SECONDS, SETTLE_SECONDS))
            await keep()
        layers = self._shared.layers()
        await add_all(layers, self._users, self._conversations, keep)
        if not await self._shared.seal(build, layers):
            raise BackendError("its building was void at the end")
        self._copy, self._copied = layers, build
        logger.info("the name filter has {} names after {:.1f} s", layers.count, time() - began)
