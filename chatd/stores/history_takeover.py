"""Puts into the message store what processes left that are gone.

A process that gives no sign of life may only be slow, and a statement of it may still be under way:
what it left is put again and again, each time what came since, until it is over. Only then is that
recorded. One process of all does this at a time.
"""

import asyncio
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.metrics import Metrics
from chatd.stores.message_store import MessageStore
from chatd.stores.unstored_rows import Rest, UnstoredRows
from chatd.tasks import TaskOwner

EVENTS_A_PUT: Final = 500


class HistoryTakeover:
    def __init__(
        self,
        writer: str,
        rows: UnstoredRows,
        store: MessageStore,
        metrics: Metrics,
        *,
        round_seconds: float = 5.0,
        silent_seconds: float = 10.0,
        over_seconds: float = 60.0,
    ) -> None:
        """`writer` is this process. Every `round_seconds` it looks for others that were silent for
        `silent_seconds`; after `over_seconds` they are over, once they have no session left."""
        self._writer = writer
        self._rows = rows
        self._store = store
        self._metrics = metrics
        self._round_seconds = round_seconds
        self._silent_seconds = silent_seconds
        self._over_seconds = over_seconds
        self._tasks = TaskOwner()
        self._suspects: set[str] = set()
        """Silent in the last round. After the database was away everyone seems to be, for once."""
        self._marks: dict[str, int] = {}
        """Of processes whose rest was put: what was committed until then."""

    async def start(self) -> None:
        self._tasks.start(self._rounds(), "history takeover")

    async def stop(self) -> None:
        await self._tasks.cancel()

    async def round(self) -> None:
        """Put what others left who were silent in this round and the last. Nothing happens while
        another process does it.

        Raises:
            BackendError: not all of it was put.
        """
        suspects, self._suspects = self._suspects, set()
        async with self._rows.turn() as is_ours:
            if not is_ours:
                return
            rests = await self._rows.left_by_others(
                self._writer,
                silent_seconds=self._silent_seconds,
                over_seconds=self._over_seconds,
            )
            self._suspects = {rest.writer for rest in rests}
            self._marks = {
                writer: mark for writer, mark in self._marks.items() if writer in self._suspects
            }
            for rest in rests:
                if rest.writer in suspects:
                    await self._put(rest)

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(self._round_seconds)
            try:
                await self.round()
            except BackendError as error:
                logger.warning("what other processes left was not put: {}", error)
            except Exception:
                logger.exception("a bug in putting what other processes left")

    async def _put(self, rest: Rest) -> None:
        since = self._marks.get(rest.writer)
        mark = await self._rows.mark()
        after, count = rest.stored, 0
        while True:
            rows = await self._rows.rows(
                rest.writer, after=after, up_to=None, limit=EVENTS_A_PUT, since=since
            )
            if rows:
                await self._store.put([put for _, put in rows])
                after = rows[-1][0]
                count += len(rows)
                self._metrics.history_taken_over += len(rows)
            if rest.is_over:
                is_all = len(rows) < EVENTS_A_PUT
                await self._rows.take_over(
                    rest.writer, rest.last if is_all else min(after, rest.last)
                )
            if len(rows) < EVENTS_A_PUT:
                break
        self._marks[rest.writer] = mark
        if count:
            logger.warning("put {} events that process {} had left", count, rest.writer)
