"""What `chatd worker` runs: the jobs of the queue, on the same stores as the nodes; and the
commands that list its dead letters."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

import uvloop
from loguru import logger

from chatd import __version__
from chatd.clock import SystemClock
from chatd.config import Config
from chatd.errors import BackendAway, StartError
from chatd.fabric import start_redis
from chatd.fabric.offline_queue_rq import RqOfflineQueue
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.fabric.queue_client_redis import FAILURES, QueueRedis, connect
from chatd.fabric.webhook_sender_aiohttp import AiohttpWebhookSender
from chatd.jobs import dead_letters_rq
from chatd.jobs.crew_rq import Crew
from chatd.jobs.dead_letters_rq import DeadLetter as DeadLetter
from chatd.jobs.dead_letters_rq import NoSuchLetter
from chatd.jobs.handlers import handlers
from chatd.jobs.sweep import Sweep
from chatd.jobs.upkeep_rq import Upkeep
from chatd.metrics import Metrics
from chatd.stores import migrate_postgres, start_postgres
from chatd.stores.conversation_store_postgres import PostgresConversationStore
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.sweep_store_postgres import PostgresSweepStore
from chatd.stores.webhook_store_postgres import PostgresWebhookStore
from chatd.waiting import Patience

T = TypeVar("T")


def run(config: Config) -> int:
    """Do jobs until SIGTERM or SIGINT; then finish what was begun, within `drain_seconds`. Returns
    the exit code.

    Raises:
        StartError: the settings are those of the embedded default, or a backend refuses.
        BackendAway: one is not there.
    """
    _check(config)
    return uvloop.run(_run(config))


def failed(config: Config) -> list[DeadLetter]:
    """The dead letters, newest first; at most 1,000.

    Raises:
        StartError: see `run`.
    """
    return _with_queue(config, dead_letters_rq.listed)


def retry(config: Config, job_ids: Sequence[str] = ()) -> int:
    """Put dead letters back into their queues, or all of them when none is named; how many.

    Raises:
        StartError: there is none with one of the ids, and nothing was put back; or see `run`.
    """
    try:
        return _with_queue(config, lambda redis: dead_letters_rq.put_back(redis, job_ids))
    except NoSuchLetter as error:
        raise StartError(f"there is no dead letter {error}: `chatd jobs failed` lists them") from (
            None
        )


def _check(config: Config) -> None:
    if config.is_embedded:
        raise StartError(
            "the embedded default does its jobs in `chatd serve`: a worker needs PostgreSQL,"
            " Cassandra and Redis"
        )


def _queue_url(config: Config) -> str:
    return config.queue_redis_url or config.redis_url


def _with_queue(config: Config, work: Callable[[QueueRedis], T]) -> T:
    _check(config)
    url = _queue_url(config)
    try:
        with connect(url) as redis:
            return work(redis)
    except (ValueError, TypeError) as error:
        raise StartError(f"bad value of CHATD_QUEUE_REDIS_URL: {error}") from None
    except FAILURES as error:
        raise BackendAway(f"{start_redis.name_of(url)} does not answer: {error}") from None


async def _run(config: Config) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        # A second signal ends the process at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(_start(config, stack))
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            logger.info("chatd {} worker is ready", __version__)
            await stopped
            logger.info("stopping: the jobs that were begun are finished")
        else:
            starting.cancel()
            await asyncio.wait({starting})
    logger.info("stopped")
    return 0


async def _start(config: Config, stack: AsyncExitStack) -> None:
    """Begin to do jobs; `stack` gets what ends it, the last first."""
    clock, metrics, patience = SystemClock(), Metrics(), Patience()
    url = config.database_url
    postgres = await patience.reach(
        start_postgres.name_of(url), lambda: start_postgres.open_postgres(url)
    )
    stack.push_async_callback(postgres.close)
    await migrate_postgres.check(postgres)
    redis = await patience.reach(
        start_redis.name_of(config.redis_url),
        lambda: start_redis.open_redis(config.redis_url, "CHATD_REDIS_URL"),
    )
    stack.push_async_callback(redis.close)
    queue_url = _queue_url(config)
    queue_redis = await patience.reach(
        start_redis.name_of(queue_url),
        lambda: start_redis.open_redis(queue_url, "CHATD_QUEUE_REDIS_URL"),
    )
    await queue_redis.close()
    pause = config.webhook_pause_seconds
    queue = RqOfflineQueue(queue_url, metrics, push_pause_seconds=pause)
    sender = AiohttpWebhookSender(config.webhook_allow)
    stack.push_async_callback(sender.close)
    does = handlers(
        config,
        PostgresConversationStore(postgres),
        PostgresLedger(postgres, "worker"),
        PostgresWebhookStore(postgres),
        RedisPresenceLeases(redis, clock),
        queue,
        sender,
        clock,
        metrics,
    )
    await queue.start(does)
    stack.push_async_callback(queue.stop)
    sweep = Sweep(PostgresSweepStore(postgres), queue.put, clock)
    upkeep = Upkeep(queue_url, sweep.run)
    upkeep.start()
    stack.push_async_callback(upkeep.stop)
    crew = Crew(queue_url, does, push_pause_seconds=pause)
    crew.start()
    stack.push_async_callback(crew.stop, config.drain_seconds)
