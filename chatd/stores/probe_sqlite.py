"""What the embedded database says of itself."""

import sqlite3
from typing import Final

from chatd.readiness import Facts
from chatd.stores.thread_sqlite import SqliteThread

_SYNCHRONOUS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")


async def probe_sqlite(writer: SqliteThread) -> Facts:
    """Its durability, as it holds for the connection that commits.

    Raises:
        BackendError
    """
    return Facts(await writer.submit(_durability))


def _durability(connection: sqlite3.Connection) -> dict[str, str]:
    (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    return {"journalMode": journal_mode, "synchronous": _SYNCHRONOUS[synchronous]}
