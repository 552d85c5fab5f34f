"""The UserStore on PostgreSQL."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from chatd.errors import BackendError
from chatd.stores.pool_postgres import Postgres, Row
from chatd.stores.user_store import Account, Credentials, Device, UsernameTaken

_DEVICE: Final = "device_id, username, created_at, refresh_hash, refresh_expires_at, name"
_DEVICES_LISTED: Final = 1_000
_NOTE_REVOKED: Final = "INSERT INTO notice (kind, username, besides) VALUES ('revoked', $1, $2)"


class PostgresUserStore:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(
        self, username: str, password_hash: str, display_name: str | None, at_ms: int
    ) -> None:
        try:
            await self._postgres.execute(
                "INSERT INTO account (username, password_hash, display_name, created_at)"
                " VALUES ($1, $2, $3, $4)",
                username,
                password_hash,
                display_name,
                at_ms,
            )
        except BackendError as error:
            if isinstance(error.__cause__, asyncpg.UniqueViolationError):
                raise UsernameTaken(username) from None
            raise

    async def credentials(self, username: str) -> Credentials | None:
        row = await self._postgres.fetchrow(
            "SELECT password_hash, banned_at IS NOT NULL FROM account WHERE username = $1", username
        )
        return None if row is None else Credentials(*row)

    async def accounts(self, usernames: Sequence[str]) -> dict[str, Account]:
        rows = await self._postgres.fetch(
            "SELECT username, display_name, last_seen FROM account WHERE username = ANY($1)",
            list(usernames),
        )
        return {row[0]: Account(*row) for row in rows}

    async def add_device(self, device: Device) -> None:
        await self._postgres.execute(
            f"INSERT INTO device ({_DEVICE}) VALUES ($1, $2, $3, $4, $5, $6)", *device
        )

    async def rotate_refresh(
        self, old_hash: str, new_hash: str, expires_at: int, now_ms: int
    ) -> Device | None:
        row = await self._postgres.fetchrow(
            "UPDATE device SET refresh_hash = $1, refresh_expires_at = $2"
            " WHERE refresh_hash = $3 AND refresh_expires_at > $4 AND revoked_at IS NULL"
            " AND username IN (SELECT username FROM account WHERE banned_at IS NULL)"
            f" RETURNING {_DEVICE}",
            new_hash,
            expires_at,
            old_hash,
            now_ms,
        )
        return None if row is None else Device(*row)

    async def revoke_device(self, username: str, device_id: str, at_ms: int) -> None:
        await self._postgres.execute(
            "WITH revoked AS (INSERT INTO device AS d (device_id, username, created_at, revoked_at)"
            " VALUES ($1, $2, $3, $3) ON CONFLICT (device_id) DO UPDATE"
            " SET revoked_at = coalesce(d.revoked_at, excluded.revoked_at), refresh_hash = NULL"
            " WHERE d.username = excluded.username RETURNING device_id, username)"
            " INSERT INTO notice (kind, username, device_id)"
            " SELECT 'revoked', username, device_id FROM revoked",
            device_id,
            username,
            at_ms,
        )

    async def revoke_all(self, username: str, at_ms: int) -> None:
        async with self._postgres.transaction() as connection:
            await connection.execute(
                "UPDATE account SET valid_after = greatest(valid_after, $1) WHERE username = $2",
                at_ms,
                username,
            )
            await connection.execute(
                "UPDATE device SET revoked_at = $1, refresh_hash = NULL"
                " WHERE username = $2 AND revoked_at IS NULL",
                at_ms,
                username,
            )
            await connection.execute(_NOTE_REVOKED, username, None)

    async def devices(self, username: str) -> list[Device]:
        rows = await self._postgres.fetch(
            "SELECT device_id, username, created_at, '', coalesce(refresh_expires_at, 0), name"
            " FROM device WHERE username = $1 AND revoked_at IS NULL"
            f" ORDER BY created_at DESC, device_id LIMIT {_DEVICES_LISTED}",
            username,
        )
        return [Device(*row) for row in rows]

    async def change_password(
        self, username: str, password_hash: str, keep_device: str, at_ms: int
    ) -> None:
        async with self._postgres.transaction() as connection:
            await connection.execute(
                "UPDATE account SET password_hash = $1, valid_after = greatest(valid_after, $2)"
                " WHERE username = $3",
                password_hash,
                at_ms,
                username,
            )
            await connection.execute(
                "UPDATE device SET revoked_at = $1, refresh_hash = NULL"
                " WHERE username = $2 AND device_id <> $3 AND revoked_at IS NULL",
                at_ms,
                username,
                keep_device,
            )
            await connection.execute(_NOTE_REVOKED, username, keep_device)

    async def renew_device(self, device: Device) -> None:
        await self._postgres.execute(
            f"INSERT INTO device AS d ({_DEVICE}) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (device_id) DO UPDATE SET refresh_hash = excluded.refresh_hash,"
            " refresh_expires_at = excluded.refresh_expires_at"
            " WHERE d.username = excluded.username AND d.revoked_at IS NULL",
            *device,
        )

    async def is_admitted(self, username: str, device_id: str, issued_at_ms: int) -> bool:
        row = await self._postgres.fetchrow(
            "SELECT 1 FROM account LEFT JOIN device ON device_id = $1 WHERE account.username = $2"
            " AND banned_at IS NULL AND valid_after < $3 AND revoked_at IS NULL",
            device_id,
            username,
            issued_at_ms,
        )
        return row is not None

    async def befriend(self, one: str, other: str, at_ms: int) -> None:
        await self._postgres.execute(
            "INSERT INTO friendship (username, friend, since) VALUES ($1, $2, $3), ($2, $1, $3)"
            " ON CONFLICT DO NOTHING",
            one,
            other,
            at_ms,
        )

    async def friends(self, username: str) -> list[str]:
        rows = await self._postgres.fetch(
            "SELECT friend FROM friendship WHERE username = $1 AND NOT is_blocked(username, friend)"
            " ORDER BY friend",
            username,
        )
        return _names(rows)

    async def friends_among(self, username: str, others: Sequence[str]) -> set[str]:
        rows = await self._postgres.fetch(
            "SELECT friend FROM friendship WHERE username = $1 AND friend = ANY($2)"
            " AND NOT is_blocked(username, friend)",
            username,
            list(others),
        )
        return set(_names(rows))

    async def block(self, username: str, blocked: str, at_ms: int) -> bool:
        changed = await self._postgres.execute(
            "WITH added AS (INSERT INTO block (username, blocked, since) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING RETURNING username, blocked)"
            " INSERT INTO notice (kind, username, other)"
            " SELECT 'parted', username, blocked FROM added",
            username,
            blocked,
            at_ms,
        )
        return changed > 0

    async def unblock(self, username: str, blocked: str) -> bool:
        changed = await self._postgres.execute(
            "DELETE FROM block WHERE username = $1 AND blocked = $2", username, blocked
        )
        return changed > 0

    async def blocks(self, username: str) -> list[str]:
        rows = await self._postgres.fetch(
            "SELECT blocked FROM block WHERE username = $1 ORDER BY blocked", username
        )
        return _names(rows)

    async def blocked_among(self, username: str, others: Sequence[str]) -> set[str]:
        rows = await self._postgres.fetch(
            "SELECT other FROM unnest($2::text[]) AS other WHERE is_blocked($1, other)",
            username,
            list(others),
        )
        return set(_names(rows))

    async def set_last_seen(self, seen: Mapping[str, int]) -> None:
        # Sorted, so that two nodes never wait for each other.
        names = sorted(seen)
        await self._postgres.execute(
            "UPDATE account SET last_seen = greatest(coalesce(last_seen, 0), at)"
            " FROM unnest($1::text[], $2::bigint[]) AS seen (who, at) WHERE username = who",
            names,
            [seen[name] for name in names],
        )

    async def log_id(self) -> str:
        async with self._postgres.transaction() as connection:
            await connection.execute(
                "INSERT INTO meta (key, value) VALUES ('log_id', $1) ON CONFLICT DO NOTHING",
                secrets.token_hex(8),
            )
            value = await connection.fetchval("SELECT value FROM meta WHERE key = 'log_id'")
        return str(value)

    async def usernames(self, after: str, limit: int) -> list[str]:
        rows = await self._postgres.fetch(
            "SELECT username FROM account WHERE username > $1 ORDER BY username LIMIT $2",
            after,
            limit,
        )
        return _names(rows)

    async def names_epoch(self) -> str:
        while True:
            rows = await self._postgres.fetch(
                "SELECT value FROM meta WHERE key IN ('log_id', 'names_epoch') ORDER BY key"
            )
            if len(rows) == 2:
                return ".".join(row[0] for row in rows)
            await self.log_id()
            await self._postgres.execute(
                "INSERT INTO meta (key, value) VALUES ('names_epoch', $1) ON CONFLICT DO NOTHING",
                secrets.token_hex(8),
            )

    async def renew_names_epoch(self) -> None:
        await self._postgres.execute(
            "INSERT INTO meta (key, value) VALUES ('names_epoch', $1)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            secrets.token_hex(8),
        )


def _names(rows: list[Row]) -> list[str]:
    return [row[0] for row in rows]
