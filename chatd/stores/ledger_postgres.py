"""The ledger on PostgreSQL: what `append_postgres` appends and `recent_events_postgres` reads."""

import asyncio
from collections.abc import Sequence

from chatd.events import Event
from chatd.metrics import Metrics
from chatd.stores.append_postgres import PostgresAppend
from chatd.stores.batches import Batches
from chatd.stores.ledger import POSTS, Entry, Outcome, Page, Tail, Wanted
from chatd.stores.pool_postgres import Postgres
from chatd.stores.recent_events import NO_END, page_of
from chatd.stores.recent_events_postgres import PostgresRecentEvents


class PostgresLedger:
    """See the port."""

    def __init__(self, postgres: Postgres, writer: str, batches: Batches | None = None) -> None:
        """`writer` names the process, which answers for the message store having the events;
        `batches` are what it is told of them by, if there is a message store."""
        self._postgres = postgres
        self._events = PostgresRecentEvents(postgres)
        self._append = PostgresAppend(postgres, writer, batches or Batches(Metrics()))

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        return asyncio.get_running_loop().create_task(self._append.append(entries), name="append")

    async def read(
        self,
        conversation_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
    ) -> list[Event]:
        found = await self._events.read(
            conversation_id, after=after, before=NO_END if before is None else before, limit=limit
        )
        return found.events

    async def page(
        self, conversation_id: str, *, after: int, before: int | None, limit: int, newest: bool
    ) -> Page:
        found = await self._events.page(
            conversation_id,
            after=after,
            before=NO_END if before is None else before,
            limit=limit + 1,
            newest=newest,
        )
        messages = [one.message() for one in found.messages]
        return page_of(messages, found.head, limit=limit, newest=newest)

    async def posts(self, conversation_id: str, *, after: int, up_to: int) -> list[tuple[int, str]]:
        found = await self._events.posts(conversation_id, after=after, up_to=up_to, limit=POSTS)
        return found.posts

    async def tails(self, username: str, wanted: Sequence[Wanted]) -> list[Tail]:
        return [
            Tail(one.unread, None if one.last is None else one.last.message())
            for one in await self._events.tails(username, wanted)
        ]

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        rows = await self._postgres.fetch(
            "SELECT conversation_id, last FROM head WHERE conversation_id = ANY($1)",
            list(conversation_ids),
        )
        return {row[0]: row[1] for row in rows}
