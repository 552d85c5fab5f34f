"""The embedded UserStore."""

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from chatd.stores.admission_sqlite import Admission
from chatd.stores.rows_sqlite import insert_friendship, is_blocked
from chatd.stores.thread_sqlite import SqliteThread
from chatd.stores.user_store import Account, Credentials, Device, UsernameTaken

_DEVICE_COLUMNS: Final = "device_id, username, created_at, refresh_hash, refresh_expires_at, name"
_NOT_BLOCKED: Final = (
    "NOT EXISTS (SELECT 1 FROM block WHERE (block.username = friendship.username"
    " AND blocked = friend) OR (block.username = friend AND blocked = friendship.username))"
)
_DEVICES_LISTED: Final = 1_000


class SqliteUserStore:
    """See the port."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread, admission: Admission) -> None:
        self._writer = writer
        self._reader = reader
        self._admission = admission

    async def create(
        self, username: str, password_hash: str, display_name: str | None, at_ms: int
    ) -> None:
        def job(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(
                    "INSERT INTO account (username, password_hash, display_name, created_at)"
                    " VALUES (?, ?, ?, ?)",
                    (username, password_hash, display_name, at_ms),
                )
            except sqlite3.IntegrityError:
                raise UsernameTaken(username) from None

        await self._writer.submit(job)

    async def credentials(self, username: str) -> Credentials | None:
        def job(connection: sqlite3.Connection) -> Credentials | None:
            row = connection.execute(
                "SELECT password_hash, banned_at IS NOT NULL FROM account WHERE username = ?",
                (username,),
            ).fetchone()
            return None if row is None else Credentials(row[0], bool(row[1]))

        return await self._reader.submit(job)

    async def accounts(self, usernames: Sequence[str]) -> dict[str, Account]:
        def job(connection: sqlite3.Connection) -> dict[str, Account]:
            found: dict[str, Account] = {}
            for username in usernames:
                row = connection.execute(
                    "SELECT username, display_name, last_seen FROM account WHERE username = ?",
                    (username,),
                ).fetchone()
                if row is not None:
                    found[username] = Account(*row)
            return found

        return await self._reader.submit(job)

    async def add_device(self, device: Device) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"INSERT INTO device ({_DEVICE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", device
            )

        await self._writer.submit(job)

    async def rotate_refresh(
        self, old_hash: str, new_hash: str, expires_at: int, now_ms: int
    ) -> Device | None:
        def job(connection: sqlite3.Connection) -> Device | None:
            row = connection.execute(
                "UPDATE device SET refresh_hash = ?, refresh_expires_at = ?"
                " WHERE refresh_hash = ? AND refresh_expires_at > ? AND revoked_at IS NULL"
                " AND username IN (SELECT username FROM account WHERE banned_at IS NULL)"
                f" RETURNING {_DEVICE_COLUMNS}",
                (new_hash, expires_at, old_hash, now_ms),
            ).fetchone()
            return None if row is None else Device(*row)

        return await self._writer.submit(job)

    async def revoke_device(self, username: str, device_id: str, at_ms: int) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO device (device_id, username, created_at, revoked_at)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (device_id) DO UPDATE"
                " SET revoked_at = coalesce(revoked_at, excluded.revoked_at),"
                " refresh_hash = NULL WHERE username = excluded.username",
                (device_id, username, at_ms, at_ms),
            )

        await self._writer.submit(job)

    async def revoke_all(self, username: str, at_ms: int) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE account SET valid_after = max(valid_after, ?) WHERE username = ?",
                (at_ms, username),
            )
            connection.execute(
                "UPDATE device SET revoked_at = ?, refresh_hash = NULL"
                " WHERE username = ? AND revoked_at IS NULL",
                (at_ms, username),
            )

        await self._writer.submit(job)

    async def devices(self, username: str) -> list[Device]:
        def job(connection: sqlite3.Connection) -> list[Device]:
            rows = connection.execute(
                "SELECT device_id, username, created_at, '', coalesce(refresh_expires_at, 0), name"
                " FROM device WHERE username = ? AND revoked_at IS NULL"
                f" ORDER BY created_at DESC, device_id LIMIT {_DEVICES_LISTED}",
                (username,),
            )
            return [Device(*row) for row in rows]

        return await self._reader.submit(job)

    async def change_password(
        self, username: str, password_hash: str, keep_device: str, at_ms: int
    ) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE account SET password_hash = ?, valid_after = max(valid_after, ?)"
                " WHERE username = ?",
                (password_hash, at_ms, username),
            )
            connection.execute(
                "UPDATE device SET revoked_at = ?, refresh_hash = NULL"
                " WHERE username = ? AND device_id <> ? AND revoked_at IS NULL",
                (at_ms, username, keep_device),
            )

        await self._writer.submit(job)

    async def renew_device(self, device: Device) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"INSERT INTO device ({_DEVICE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (device_id) DO UPDATE SET refresh_hash = excluded.refresh_hash,"
                " refresh_expires_at = excluded.refresh_expires_at"
                " WHERE username = excluded.username AND revoked_at IS NULL",
                device,
            )

        await self._writer.submit(job)

    async def is_admitted(self, username: str, device_id: str, issued_at_ms: int) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "SELECT 1 FROM account LEFT JOIN device ON device_id = ? WHERE account.username = ?"
                " AND banned_at IS NULL AND valid_after < ? AND revoked_at IS NULL",
                (device_id, username, issued_at_ms),
            ).fetchone()
            return row is not None

        return await self._reader.submit(job)

    async def befriend(self, one: str, other: str, at_ms: int) -> None:
        await self._writer.submit(
            lambda connection: insert_friendship(connection, one, other, at_ms)
        )

    async def friends(self, username: str) -> list[str]:
        def job(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                f"SELECT friend FROM friendship WHERE username = ? AND {_NOT_BLOCKED}"
                " ORDER BY friend",
                (username,),
            )
            return [row[0] for row in rows]

        return await self._reader.submit(job)

    async def friends_among(self, username: str, others: Sequence[str]) -> set[str]:
        sql = f"SELECT 1 FROM friendship WHERE username = ? AND friend = ? AND {_NOT_BLOCKED}"

        def job(connection: sqlite3.Connection) -> set[str]:
            return {
                other for other in others if connection.execute(sql, (username, other)).fetchone()
            }

        return await self._reader.submit(job)

    async def block(self, username: str, blocked: str, at_ms: int) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            self._admission.forget_direct(username, blocked)
            return (
                connection.execute(
                    "INSERT INTO block (username, blocked, since) VALUES (?, ?, ?)"
                    " ON CONFLICT DO NOTHING",
                    (username, blocked, at_ms),
                ).rowcount
                > 0
            )

        return await self._writer.submit(job)

    async def unblock(self, username: str, blocked: str) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            return (
                connection.execute(
                    "DELETE FROM block WHERE username = ? AND blocked = ?", (username, blocked)
                ).rowcount
                > 0
            )

        return await self._writer.submit(job)

    async def blocks(self, username: str) -> list[str]:
        def job(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT blocked FROM block WHERE username = ? ORDER BY blocked", (username,)
            )
            return [row[0] for row in rows]

        return await self._reader.submit(job)

    async def blocked_among(self, username: str, others: Sequence[str]) -> set[str]:
        def job(connection: sqlite3.Connection) -> set[str]:
            return {other for other in others if is_blocked(connection, username, other)}

        return await self._reader.submit(job)

    async def set_last_seen(self, seen: Mapping[str, int]) -> None:
        rows = [(at_ms, username) for username, at_ms in seen.items()]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE account SET last_seen = max(coalesce(last_seen, 0), ?) WHERE username = ?",
                rows,
            )

        await self._writer.submit(job)

    async def log_id(self) -> str:
        def job(connection: sqlite3.Connection) -> str:
            connection.execute(
                "INSERT INTO meta (key, value) VALUES ('log_id', ?) ON CONFLICT DO NOTHING",
                (secrets.token_hex(8),),
            )
            (value,) = connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
            return str(value)

        return await self._writer.submit(job)

    async def usernames(self, after: str, limit: int) -> list[str]:
        def job(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT username FROM account WHERE username > ? ORDER BY username LIMIT ?",
                (after, limit),
            )
            return [row[0] for row in rows]

        return await self._reader.submit(job)

    async def names_epoch(self) -> str:
        def job(connection: sqlite3.Connection) -> str:
            connection.execute(
                "INSERT INTO meta (key, value) VALUES ('names_epoch', ?) ON CONFLICT DO NOTHING",
                (secrets.token_hex(8),),
            )
            (value,) = connection.execute(
                "SELECT value FROM meta WHERE key = 'names_epoch'"
            ).fetchone()
            return str(value)

        return f"{await self.log_id()}.{await self._writer.submit(job)}"

    async def renew_names_epoch(self) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO meta (key, value) VALUES ('names_epoch', ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (secrets.token_hex(8),),
            )

        await self._writer.submit(job)
