"""What a start asks of PostgreSQL, and readiness after it: that it is there, is the right one, and
keeps what is acked."""

import ssl
from typing import Final

import asyncpg

from chatd.errors import BackendError, StartError
from chatd.readiness import Facts
from chatd.stores.pool_postgres import Postgres
from chatd.waiting import endpoint

PORT: Final = 5432
_PASSING: Final = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""Refusals that go by: it starts, stops, recovers or is full."""


def name_of(url: str) -> str:
    return f"PostgreSQL at {endpoint(url, PORT)}"


async def open_postgres(url: str, *, writer: str | None = None) -> Postgres:
    """The pool of a start. `writer` is the id under which the process appends, if it does.

    Raises:
        StartError: it refuses the user, the password, the database or the TLS; asking again will
            not help.
        BackendError: it is not there.
    """
    try:
        return await Postgres.connect(url, writer=writer)
    except BackendError as error:
        refusal = error.__cause__
        if _is_final(refusal):
            raise StartError(
                f"{name_of(url)} refuses CHATD_DATABASE_URL: {' '.join(str(refusal).split())}"
            ) from None
        raise BackendError(f"{name_of(url)}: {str(refusal) or 'no answer'}") from error


async def durability(postgres: Postgres) -> dict[str, str]:
    """The settings that make a commit durable, as they hold for the connections of this pool.

    Raises:
        BackendError
    """
    row = await postgres.fetchrow(
        "SELECT current_setting('fsync') AS fsync,"
        " current_setting('synchronous_commit') AS synchronous_commit"
    )
    assert row is not None
    return dict(row)


async def check_durability(postgres: Postgres, url: str) -> None:
    """Raises StartError: an ack would leave before its commit is on the disk."""
    for setting, value in (await durability(postgres)).items():
        if value == "off":
            raise StartError(
                f"{name_of(url)} has {setting} = off: what is acked could be lost; set it to on"
                " in its configuration, and for the user and the database of chatd"
            )


async def probe_postgres(postgres: Postgres) -> Facts:
    """Raises BackendError."""
    settings = await durability(postgres)
    return Facts(
        {"fsync": settings["fsync"], "synchronousCommit": settings["synchronous_commit"]},
        [
            f"PostgreSQL has {name} = off: what is acked could be lost"
            for name, value in settings.items()
            if value == "off"
        ],
    )


def _is_final(refusal: BaseException | None) -> bool:
    if isinstance(refusal, asyncpg.PostgresError):
        return not isinstance(refusal, _PASSING)
    # An SSLError that is no broken connection: a certificate, or a file that holds none.
    return isinstance(
        refusal, asyncpg.InterfaceError | ssl.SSLError | FileNotFoundError
    ) and not isinstance(refusal, ssl.SSLEOFError | ssl.SSLZeroReturnError)
