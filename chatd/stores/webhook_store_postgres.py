"""The WebhookStore on PostgreSQL."""

from collections.abc import Collection

from chatd.stores.pool_postgres import Postgres
from chatd.stores.webhook_store import Webhook


class PostgresWebhookStore:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def put(self, username: str, webhook: Webhook) -> None:
        await self._postgres.execute(
            "INSERT INTO webhook (username, url, secret, created_at) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (username) DO UPDATE SET url = excluded.url, secret = excluded.secret,"
            " created_at = excluded.created_at",
            username,
            *webhook,
        )

    async def get(self, username: str) -> Webhook | None:
        row = await self._postgres.fetchrow(
            "SELECT url, secret, created_at FROM webhook WHERE username = $1", username
        )
        return None if row is None else Webhook(*row)

    async def remove(self, username: str, webhook: Webhook | None = None) -> bool:
        removed = await self._postgres.execute(
            "DELETE FROM webhook WHERE username = $1"
            " AND ($2::text IS NULL OR secret = $2 AND url = $3)",
            username,
            None if webhook is None else webhook.secret,
            None if webhook is None else webhook.url,
        )
        return removed > 0

    async def having(self, usernames: Collection[str]) -> set[str]:
        rows = await self._postgres.fetch(
            "SELECT username FROM webhook WHERE username = ANY($1)", list(usernames)
        )
        return {row[0] for row in rows}
