"""Does the items of a job, several at a time; one that fails does not take the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.offline_queue import TryAgain

T = TypeVar("T")


class Failure(NamedTuple, Generic[T]):
    item: T
    reason: str
    """One line."""


async def do_all(
    handler: Callable[[T], Awaitable[None]],
    items: Sequence[T],
    *,
    at_once: int,
    seconds: float,
) -> list[Failure[T]]:
    """Do the items; those that could not be done, in their order. What is not done after `seconds`
    is cancelled and counts as failed."""
    turns = asyncio.Semaphore(at_once)
    deadline = asyncio.get_running_loop().time() + seconds

    async def one(item: T) -> Failure[T] | None:
        try:
            async with asyncio.timeout_at(deadline), turns:
                await handler(item)
        except (BackendError, TryAgain) as error:
            return Failure(item, str(error))
        except TimeoutError:
            return Failure(item, f"not done within {seconds:g} s")
        except Exception as error:
            logger.exception("a bug in a job")
            return Failure(item, f"{type(error).__name__}: {error}")
        return None

    done = await asyncio.gather(*(one(item) for item in items))
    return [failure for failure in done if failure is not None]
