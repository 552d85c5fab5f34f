"""A worker that loses what it stands on, or its queue in the middle of a job, and goes on."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from chatd.fabric.queue_client_redis import connect
from tests.e2e.test_worker import KILLED_SECONDS, Place, waited_for
from tests.e2e.town import Resident, Town, chat_of
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node
from tests.support.proxy import Proxy
from tests.support.receiver import Receiver
from tests.support.worker import Worker

pytestmark = pytest.mark.slow

SIGNS: Final = {
    "database_url": "will be tried again",
    "redis_url": "will be tried again",
    "queue_redis_url": "the job queue is away",
}
"""By what the worker stands on: what its log says when it is gone."""
IN_THE_MAILBOX: Final = "LOCK TABLE mailbox IN SHARE MODE"
"""Jobs get as far as the mailbox, and not into it."""


class Desk(NamedTuple):
    """A worker with a way of its own to everything that it needs."""

    place: Place
    worker: Worker
    proxies: dict[str, Proxy]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Backends that nobody else is on: the queue is flushed."""
    node_folder, worker_folder = (tmp_path_factory.mktemp(name) for name in ("node", "worker"))
    with (
        Backends() as backends,
        Node(node_folder, backends=backends) as node,
        Receiver() as receiver,
    ):
        yield Place(backends, node, receiver, worker_folder)
        assert node.complaints == []


@pytest.fixture(scope="module")
def desk(place: Place) -> Iterator[Desk]:
    with ExitStack() as stack:
        proxies = {
            setting: stack.enter_context(Proxy.before(place.backends.settings[setting]))
            for setting in SIGNS
        }
        settings = {setting: proxy.url for setting, proxy in proxies.items()}
        worker = place.worker(**settings)
        yield Desk(place, stack.enter_context(worker), proxies)
        assert worker.stop() == 0
        assert [line for line in worker.complaints if not is_to_be_expected(line)] == []


def is_to_be_expected(line: str) -> bool:
    """Of the lines that tell of errors."""
    return "could not connect to Redis" in line or "rq.exceptions.InvalidJobOperation" in line


# The first test: the worker of the others would do the job.
def test_a_worker_is_killed_in_the_middle_of_a_job_and_its_queue_is_flushed(
    place: Place, tmp_path: Path
) -> None:
    async def main() -> None:
        async with Town(place.node) as town, place.database() as connection:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            with here.worker() as first:
                async with connection.transaction():
                    await connection.execute(IN_THE_MAILBOX)
                    await writer.send_direct(ben.name, "one")
                    await waited_for(connection, "mailbox")
                    first.kill()
                    flush(place)
            assert await place.mailbox(ben) == {}
            # As if it had been a while ago: what is young is left to the next sweep.
            await place.fetch("UPDATE head SET at = at - 60000")
            with here.worker() as second:
                await place.has_mailbox(ben, chat_of(ann, ben))
                assert "the sweep found" in second.log
                assert second.stop() == 0

    here = place._replace(folder=tmp_path)
    run(main(), seconds=2 * KILLED_SECONDS)


@pytest.mark.parametrize("setting", SIGNS)
def test_what_is_lost_delays_the_jobs_and_no_more(desk: Desk, setting: str) -> None:
    place, proxy = desk.place, desk.proxies[setting]

    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            begun = len(desk.worker.log)
            proxy.cut()
            await writer.send_direct(ben.name, "one")
            await until(lambda: SIGNS[setting] in desk.worker.log[begun:], "it is noticed")
            assert place.told(ben) == []
            proxy.heal()
            await until(lambda: bool(place.told(ben)), "a webhook", seconds=KILLED_SECONDS)
            await place.has_mailbox(ben, chat_of(ann, ben))
            await writer.send_direct(ben.name, "two")
            await until(lambda: is_told_of_two(place, ben), "the next", seconds=KILLED_SECONDS)

    run(main(), seconds=2 * KILLED_SECONDS)


def test_a_queue_that_is_flushed_in_the_middle_of_a_job(desk: Desk) -> None:
    place = desk.place

    async def main() -> None:
        async with Town(place.node) as town, place.database() as connection:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            async with connection.transaction():
                await connection.execute(IN_THE_MAILBOX)
                await writer.send_direct(ben.name, "one")
                await waited_for(connection, "mailbox")
                flush(place)
            await place.has_mailbox(ben, chat_of(ann, ben))
            await writer.send_direct(ben.name, "two")
            await until(lambda: is_told_of_two(place, ben), "the next", seconds=KILLED_SECONDS)

    run(main(), seconds=2 * KILLED_SECONDS)


def flush(place: Place) -> None:
    with connect(place.backends.settings["queue_redis_url"]) as redis:
        redis.flushdb()


def is_told_of_two(place: Place, who: Resident) -> bool:
    return any(told.json["last"] == 2 for told in place.told(who))
