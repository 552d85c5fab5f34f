"""How jobs lie in Redis: queues of RQ, with JSON and ids and nothing else.

A job of RQ holds many of ours, its items, since RQ takes milliseconds for one. What fails to the
end is kept as a dead letter. Each kind has a queue of its own: RQ takes a job from one queue in a
way that loses none, and from several not.

Limits: a queue holds `QUEUED` jobs, those that wait for another attempt included, beyond which
nothing new is put; one that was not begun within `QUEUED_SECONDS` is forgotten; a dead letter is
kept for `DEAD_SECONDS`.
"""

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from rq import Queue, Retry
from rq.job import Job

from chatd.fabric.queue_client_redis import QueueRedis

SERIALIZER: Final = "json"
QUEUED: Final = 10_000
QUEUED_SECONDS: Final = 24 * 3600
DEAD_SECONDS: Final = 7 * 24 * 3600

Item = Sequence[str | int]
"""One of our jobs as JSON has it."""


class Kind(NamedTuple):
    queue: str
    function: str
    at_once: int
    """How many items a job holds at most."""
    seconds: int
    """How long a job may take."""
    pauses: Sequence[int]
    """Seconds before each further attempt; a little more, so that not all come back together."""


_FUNCTIONS: Final = "chatd.jobs.functions_rq"
# For about a day: a backend may be away for long, and nobody is to be needed when it is back.
NOTE: Final = Kind("chatd-note", f"{_FUNCTIONS}.note", 100, 60, (2, 10, 30, 120, *[600] * 144))
PUSH: Final = Kind("chatd-push", f"{_FUNCTIONS}.push", 50, 30, (2, 10, 60, 600, *[3600] * 24))
KINDS: Final = (NOTE, PUSH)


def queue_of(kind: Kind, redis: QueueRedis) -> Queue:
    return Queue(kind.queue, connection=redis, serializer=SERIALIZER)


def put(kind: Kind, items: Sequence[Item], redis: QueueRedis, *, after_seconds: float = 0) -> int:
    """Put the items into the queue, to be begun at once or, by whole seconds, after a while; how
    many of them there was room for.

    Raises:
        RedisError, OSError: none or all were put.
    """
    queue = queue_of(kind, redis)
    later = queue.scheduled_job_registry.get_job_count(cleanup=False)
    room = max(QUEUED - queue.count - later, 0)
    pieces = _pieces(items, kind.at_once)[:room]
    at = datetime.now(UTC) + timedelta(seconds=after_seconds)
    with redis.pipeline() as pipeline:
        for piece in pieces:
            if after_seconds:
                queue.schedule_job(_job(kind, piece, queue), at, pipeline=pipeline)
            else:
                queue.enqueue_job(_job(kind, piece, queue), pipeline=pipeline)
        pipeline.execute()
    return sum(len(piece) for piece in pieces)


def put_back(kind: Kind, items: Sequence[Item], after_seconds: float, redis: QueueRedis) -> None:
    """Put items of a job that is done but for them into jobs of their own, to be begun after a
    while. There is room: they had it.

    Raises:
        RedisError, OSError: none or all were put.
    """
    queue = queue_of(kind, redis)
    at = datetime.now(UTC) + timedelta(seconds=after_seconds)
    with redis.pipeline() as pipeline:
        for item in items:
            queue.schedule_job(_job(kind, [item], queue), at, pipeline=pipeline)
        pipeline.execute()


def _pieces(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _job(kind: Kind, items: Sequence[Item], queue: Queue) -> Job:
    return queue.create_job(
        kind.function,
        args=list(items),
        job_id=uuid.uuid4().hex,
        timeout=kind.seconds,
        ttl=QUEUED_SECONDS,
        result_ttl=0,
        failure_ttl=DEAD_SECONDS,
        description=kind.queue,
        retry=Retry(
            len(kind.pauses), [round(pause * random.uniform(1, 1.25)) for pause in kind.pauses]
        ),
    )
