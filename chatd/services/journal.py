"""The one way into a conversation: seal -> append (number and commit) -> release,
in order, to delivery.

What is submitted in one turn of the loop, and what gathers while a commit is under way,
shares the next commit. Nobody is told of an event before its commit; everybody is told in the
order of the numbers.

Limits: `ENTRIES_WAITING` entries wait for a commit; at the limit `submit` refuses with UNAVAILABLE.
A commit holds at most `ENTRIES_A_COMMIT`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from loguru import logger

from chatd.delivery.relay import Relay
from chatd.delivery.release import Release, of_entry
from chatd.errors import BackendError, unavailable
from chatd.events import EventKind, MessageBody, encode_body
from chatd.metrics import Metrics
from chatd.stores.ledger import Entry, Ledger, Outcome
from protocol.errors import ErrorCode

ENTRIES_WAITING: Final = 10_000
ENTRIES_A_COMMIT: Final = 1_000
HELD_FROM: Final = 8
"""Connections in a conversation from which on its events may wait for the next commit."""
_MAC_BYTES: Final = 16


class Journal:
    def __init__(self, ledger: Ledger, relay: Relay, metrics: Metrics, mac_key: bytes) -> None:
        self.befriended: Callable[[str, str], None] | None = None
        """Told of two users whom an event made friends."""
        self.uncertain: Callable[[set[str]], None] | None = None
        """Told of conversations that may have events which nobody was told of."""
        self.released: Callable[[str, int, int], None] | None = None
        """Told of a conversation whose events were released, from the first to the last."""
        self._ledger = ledger
        self._relay = relay
        self._metrics = metrics
        self._mac_key = mac_key
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Entry] = []
        self._held: dict[str, list[Release]] = {}
        """Committed events of busy conversations that wait for the commit under way."""
        self._batches = 0
        """Commits begun; the last may be under way."""
        self._settled = 0
        """Commits whose events were all released."""
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        """Who waits for which commit to be settled."""
        self._commit: asyncio.Task[None] | None = None
        self._is_scheduled = False
        self._is_failing = False

    def submit(self, entry: Entry) -> None:
        """Append an event; `entry.done` is called with the outcome, after the commit and before the
        event is released.

        Entries that one caller submits one after the other are numbered in that order.

        Raises:
            ChatError: UNAVAILABLE, too many entries wait.
        """
        if len(self._waiting) >= ENTRIES_WAITING:
            raise unavailable(
                "the server has too much to write; send again with the same clientMsgId"
            )
        entry.sealed = encode_body(entry.body)
        if entry.key is not None:
            entry.mac = hashlib.blake2b(
                entry.sealed, key=self._mac_key, digest_size=_MAC_BYTES
            ).digest()
        self._waiting.append(entry)
        self._metrics.journal_waiting = len(self._waiting)
        if self._commit is None and not self._is_scheduled:
            # At the end of the turn, so that everything that this turn brought is in the commit.
            self._is_scheduled = True
            self._loop.call_soon(self._start)

    async def append(self, entry: Entry) -> Outcome:
        """As `submit`, for a caller who waits for the outcome."""
        waited: asyncio.Future[Outcome] = self._loop.create_future()

        def answered(_: Entry, outcome: Outcome) -> None:
            if not waited.done():
                waited.set_result(outcome)

        entry.done = answered
        self.submit(entry)
        return await waited

    async def settled(self) -> None:
        """Wait until everything that was committed before the call was released."""
        if self._settled < self._batches:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._settling.append((self._batches, turn))
            await turn

    async def drain(self) -> None:
        """Wait until everything that was submitted has its outcome."""
        while self._commit is not None or self._waiting:
            if self._commit is not None:
                await asyncio.wait([self._commit])
            else:
                await asyncio.sleep(0)

    def _start(self) -> None:
        self._is_scheduled = False
        if self._waiting and self._commit is None:
            self._commit = self._loop.create_task(self._run(), name="journal")

    async def _run(self) -> None:
        """One commit after the other until nothing waits."""
        try:
            while self._waiting:
                batch = self._waiting[:ENTRIES_A_COMMIT]
                del self._waiting[:ENTRIES_A_COMMIT]
                self._batches += 1
                self._committed(batch, await self._outcomes(batch))
                # What is held is of the last commit: nothing is held twice.
                self._settle(self._batches - 1 if self._held else self._batches)
                # One turn for what came in meanwhile: the fuller a commit, the cheaper its events.
                await asyncio.sleep(0)
            self._release_held()
        finally:
            self._settle(self._batches)
            self._commit = None
            if self._waiting:
                self._start()

    def _settle(self, up_to: int) -> None:
        self._settled = up_to
        waiting, self._settling = self._settling, []
        for batch, turn in waiting:
            if batch > up_to:
                self._settling.append((batch, turn))
            elif not turn.done():
                turn.set_result(None)

    async def _outcomes(self, batch: list[Entry]) -> list[Outcome]:
        try:
            outcomes = await self._ledger.append(batch)
            if self._is_failing:
                self._is_failing = False
                logger.warning("appending works again")
            return outcomes
        except BackendError as error:
            if not self._is_failing:
                # Once, and not for each that tries again.
                self._is_failing = True
                logger.error("appending fails, senders must repeat: {}", error)
            if self.uncertain is not None:
                self.uncertain({entry.conversation_id for entry in batch})
            return [Outcome(ErrorCode.UNAVAILABLE)] * len(batch)
        except Exception:
            logger.exception("a bug in the ledger")
            if len(batch) == 1:
                return [Outcome(ErrorCode.INTERNAL)]
        # One entry that the ledger cannot digest must not take the others with it.
        return [(await self._outcomes([entry]))[0] for entry in batch]

    def _committed(self, entries: list[Entry], outcomes: list[Outcome]) -> None:
        metrics = self._metrics
        metrics.commits += 1
        metrics.journal_waiting = len(self._waiting)
        released: dict[str, list[Release]] = {}
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome.code is None:
                if outcome.duplicate:
                    metrics.duplicates += 1
                    # The first answer may have been lost before anybody was told.
                    self._relay.expect(entry.conversation_id, outcome.seq)
                else:
                    metrics.events += 1
                    if entry.kind is EventKind.MESSAGE_DELETED:
                        # Before its ack: from then on nobody may be sent what it said.
                        self._relay.forget(entry.conversation_id)
                    released.setdefault(entry.conversation_id, []).append(of_entry(entry, outcome))
            # The ack goes first: it may overtake events, and a sender that knows its own
            # number sees no gap.
            self._tell_sender(entry, outcome)
        self._release(released)

    def _release(self, released: dict[str, list[Release]]) -> None:
        """Hand committed events to delivery, or hold a busy conversation's once for those
        that follow at once.

        When the next commit has events of the same conversation, both leave in one write
        per connection: half the work for a large audience, and at most one commit later.
        Nothing is held twice.
        """
        held, self._held = self._held, {}
        following = {entry.conversation_id for entry in self._waiting[:ENTRIES_A_COMMIT]}
        for conversation_id, events in released.items():
            earlier = held.pop(conversation_id, None)
            if earlier is not None:
                events = earlier + events
            elif (
                conversation_id in following and self._relay.audience(conversation_id) >= HELD_FROM
            ):
                self._held[conversation_id] = events
                continue
            self._deliver(conversation_id, events)
        for conversation_id, events in held.items():
            self._deliver(conversation_id, events)

    def _release_held(self) -> None:
        held, self._held = self._held, {}
        for conversation_id, events in held.items():
            self._deliver(conversation_id, events)

    def _deliver(self, conversation_id: str, events: list[Release]) -> None:
        try:
            self._relay.release(conversation_id, events)
            if self.released is not None:
                self.released(conversation_id, events[0].seq, events[-1].seq)
        except Exception:
            # The events are stored and acked, and the other conversations must have theirs.
            logger.exception("delivery of {} failed", conversation_id)

    def _tell_sender(self, entry: Entry, outcome: Outcome) -> None:
        if outcome.befriended:
            self._tell_befriended(entry)
        if entry.done is not None:
            try:
                entry.done(entry, outcome)
            except Exception:
                logger.exception("the ack of an entry failed")

    def _tell_befriended(self, entry: Entry) -> None:
        if (
            self.befriended is not None
            and isinstance(entry.body, MessageBody)
            and entry.body.to is not None
        ):
            self.befriended(entry.sender, entry.body.to)
