"""The one way into a conversation: seal -> append (number and commit) -> release, in order, to delivery.

What is submitted in one turn of the loop, and what gathers while a commit is under way, shares the next commit.
Nobody is told of an event before its commit; everybody is told in the order of the numbers.

Limits: `ENTRIES_WAITING` entries wait for a commit; at the limit `submit` refuses with UNAVAILABLE. A commit
holds at most `ENTRIES_A_COMMIT`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from loguru import logger

from chatd.delivery.fanout import Fanout, Released
from chatd.errors import BackendError, unavailable
from chatd.events import MessageBody, encode_body
from chatd.metrics import Metrics
from chatd.stores.ledger import Entry, Ledger, Outcome
from protocol.errors import ErrorCode

ENTRIES_WAITING: Final = 10_000
ENTRIES_A_COMMIT: Final = 1_000
_MAC_BYTES: Final = 16


class Journal:
    def __init__(self, ledger: Ledger, fanout: Fanout, metrics: Metrics, mac_key: bytes) -> None:
        self.befriended: Callable[[str, str], None] | None = None
        """Told of two users whom an event made friends."""
        self._ledger = ledger
        self._fanout = fanout
        self._metrics = metrics
        self._mac_key = mac_key
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Entry] = []
        self._commit: asyncio.Task[None] | None = None
        self._is_scheduled = False

    def submit(self, entry: Entry) -> None:
        """Append an event; `entry.done` is called with the outcome, after the event was released.

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
        """One commit after the other until nothing waits. The next is under way while one is being released."""
        try:
            committed: list[Entry] = []
            outcomes: list[Outcome] = []
            while self._waiting or committed:
                batch = self._waiting[:ENTRIES_A_COMMIT]
                del self._waiting[:ENTRIES_A_COMMIT]
                append = self._ledger.append(batch) if batch else None
                self._release(committed, outcomes)
                committed, outcomes = batch, []
                if append is not None:
                    outcomes = await self._outcomes(batch, append)
        finally:
            self._commit = None
            if self._waiting:
                self._start()

    async def _outcomes(
        self, batch: list[Entry], append: asyncio.Future[list[Outcome]]
    ) -> list[Outcome]:
        try:
            return await append
        except BackendError as error:
            logger.error("append failed, outcome unknown: {}", error)
            return [Outcome(ErrorCode.UNAVAILABLE)] * len(batch)
        except Exception:
            logger.exception("a bug in the ledger")
            if len(batch) == 1:
                return [Outcome(ErrorCode.INTERNAL)]
        # One entry that the ledger cannot digest must not take the others with it.
        return [(await self._outcomes([entry], self._ledger.append([entry])))[0] for entry in batch]

    def _release(self, entries: list[Entry], outcomes: list[Outcome]) -> None:
        if not entries:
            return
        self._metrics.commits += 1
        self._metrics.journal_waiting = len(self._waiting)
        by_conversation: dict[str, list[Released]] = {}
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome.code is None:
                if outcome.duplicate:
                    self._metrics.duplicates += 1
                else:
                    self._metrics.events += 1
                    if outcome.befriended:
                        self._tell_befriended(entry)
                    by_conversation.setdefault(entry.conversation_id, []).append((entry, outcome))
        for conversation_id, events in by_conversation.items():
            try:
                self._fanout.release(conversation_id, events)
            except Exception:
                # The events are stored: their senders must have their acks, and the other conversations theirs.
                logger.exception("delivery of {} failed", conversation_id)
        for entry, outcome in zip(entries, outcomes, strict=True):
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
