"""The functions that RQ calls by their names. They hand their items to the worker in whose thread
they are called."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from chatd.fabric.jobs_rq import NOTE, PUSH, Item, Kind

Do = Callable[[Kind, Sequence[Item]], None]


class _Here(threading.local):
    do: Do | None = None


_here: Final = _Here()


def bind(do: Do) -> None:
    """Let `do` have the jobs of this thread."""
    _here.do = do


def note(*items: Item) -> None:
    _do(NOTE, items)


def push(*items: Item) -> None:
    _do(PUSH, items)


def _do(kind: Kind, items: Sequence[Item]) -> None:
    if _here.do is None:
        raise RuntimeError("jobs of chatd are done by `chatd worker`, not by a worker of RQ alone")
    _here.do(kind, items)
