"""Jobs that were given up: kept for a while, listed, and put back when somebody says so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rq.job import Job

from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import KINDS, PUSH, Kind
from chatd.fabric.queue_client_redis import QueueRedis

LISTED: Final = 1_000
_ITEMS_SHOWN: Final = 3


class DeadLetter(NamedTuple):
    job_id: str
    job: str
    """What it was to do, in one line."""
    failed_at_ms: int
    error: str
    """Of its last attempt, in one line."""


class NoSuchLetter(Exception):
    """The message is the id."""


def listed(redis: QueueRedis) -> list[DeadLetter]:
    """The dead letters, newest first; at most `LISTED`. Raises RedisError, OSError."""
    found = [job for kind in KINDS for job in _jobs(kind, redis)]
    found.sort(key=_failed_at_ms, reverse=True)
    return [
        DeadLetter(job.id, _described(job), _failed_at_ms(job), _last_line(job))
        for job in found[:LISTED]
    ]


def put_back(redis: QueueRedis, job_ids: Sequence[str]) -> int:
    """Let the jobs begin again, or all of them when none is named; how many.

    Raises:
        NoSuchLetter: there is none with this id; nothing was put back.
        RedisError, OSError
    """
    jobs = {job.id: (kind, job) for kind in KINDS for job in _jobs(kind, redis)}
    for job_id in job_ids:
        if job_id not in jobs:
            raise NoSuchLetter(job_id)
    for kind, job in [jobs[job_id] for job_id in job_ids] if job_ids else jobs.values():
        job.retries_left = len(kind.pauses)
        jobs_rq.queue_of(kind, redis).failed_job_registry.requeue(job)
    return len(set(job_ids)) if job_ids else len(jobs)


def _jobs(kind: Kind, redis: QueueRedis) -> list[Job]:
    ids = jobs_rq.queue_of(kind, redis).failed_job_registry.get_job_ids()
    found = Job.fetch_many(ids, connection=redis, serializer=jobs_rq.SERIALIZER)
    return [job for job in found if job is not None]


def _described(job: Job) -> str:
    # The third part of a push is a token, which tells nobody anything.
    parts = 2 if job.origin == PUSH.queue else 3
    items = [" ".join(str(part) for part in item[:parts]) for item in job.args[:_ITEMS_SHOWN]]
    more = len(job.args) - len(items)
    return f"{job.origin}: {', '.join(items)}" + (f" and {more} more" if more > 0 else "")


def _failed_at_ms(job: Job) -> int:
    # A job whose worker died has no end.
    at: datetime | None = job.ended_at or job.started_at or job.enqueued_at
    return 0 if at is None else int(at.timestamp() * 1000)


def _last_line(job: Job) -> str:
    result = job.latest_result()
    lines = ((result and result.exc_string) or "").strip().splitlines()
    return lines[-1].rpartition("JobFailed: ")[2] if lines else "unknown"
