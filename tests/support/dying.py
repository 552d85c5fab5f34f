"""A process that dies between commit and put.

    python -m tests.support.dying URL WRITER SENDER OTHER COUNT

appends COUNT messages of SENDER to OTHER, writes a line when they are committed, and does nothing
more: whoever started it kills it.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from chatd.metrics import Metrics
from chatd.stores.batches import Batches
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.pool_postgres import Postgres
from tests.support.builders import append, direct

_ROOT: Final = Path(__file__).parents[2]
_COMMITTED: Final = b"committed\n"


def commit_and_die(url: str, writer: str, sender: str, other: str, count: int) -> None:
    """Let a process of its own commit messages, and kill it with -9."""
    arguments = (url, writer, sender, other, str(count))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.dying", *arguments],
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == _COMMITTED
        finally:
            child.send_signal(signal.SIGKILL)


async def _main(url: str, writer: str, sender: str, other: str, count: str) -> None:
    postgres = await Postgres.connect(url, writer=writer)
    ledger = PostgresLedger(postgres, writer, Batches(Metrics()))
    for n in range(int(count)):
        await append(ledger, direct(sender, other, str(n)))
    os.write(1, _COMMITTED)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
