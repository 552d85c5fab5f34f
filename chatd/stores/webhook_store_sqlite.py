"""The embedded WebhookStore."""

import sqlite3
from collections.abc import Collection

from chatd.stores.thread_sqlite import SqliteThread
from chatd.stores.webhook_store import Webhook


class SqliteWebhookStore:
    """See the port."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, username: str, webhook: Webhook) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO webhook (username, url, secret, created_at)"
                " VALUES (?, ?, ?, ?)",
                (username, *webhook),
            )

        await self._writer.submit(job)

    async def get(self, username: str) -> Webhook | None:
        def job(connection: sqlite3.Connection) -> Webhook | None:
            row = connection.execute(
                "SELECT url, secret, created_at FROM webhook WHERE username = ?", (username,)
            ).fetchone()
            return None if row is None else Webhook(*row)

        return await self._reader.submit(job)

    async def remove(self, username: str, webhook: Webhook | None = None) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            sql, arguments = "DELETE FROM webhook WHERE username = ?", [username]
            if webhook is not None:
                sql += " AND secret = ? AND url = ?"
                arguments += [webhook.secret, webhook.url]
            return connection.execute(sql, arguments).rowcount > 0

        return await self._writer.submit(job)

    async def having(self, usernames: Collection[str]) -> set[str]:
        def job(connection: sqlite3.Connection) -> set[str]:
            return {
                username
                for username in usernames
                if connection.execute(
                    "SELECT 1 FROM webhook WHERE username = ?", (username,)
                ).fetchone()
            }

        return await self._reader.submit(job)
