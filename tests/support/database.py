"""A database of PostgreSQL with all tables, and nothing in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chatd.stores.migrate_postgres import migrate
from chatd.stores.pool_postgres import Postgres

_EMPTY: Final = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'applied_schema' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$"""


async def empty(postgres: Postgres) -> None:
    """Bring the schema up to date, and take everything out of the tables."""
    await migrate(postgres)
    await postgres.execute(_EMPTY)


@asynccontextmanager
async def empty_database(url: str) -> AsyncIterator[Postgres]:
    """A database, emptied first."""
    postgres = await Postgres.connect(url)
    try:
        await empty(postgres)
        yield postgres
    finally:
        await postgres.close()
