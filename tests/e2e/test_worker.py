"""`chatd worker`: mailboxes and webhooks of those who are away; what it does when it is stopped,
killed, or has lost its queue."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import NOTE
from chatd.fabric.queue_client_redis import connect
from protocol.pushes import OneToOneChat
from testclients.events import Where
from tests.e2e.rest import done, refused, rest
from tests.e2e.town import Resident, Town, chat_of, contents, take
from tests.support.backends import Backends
from tests.support.loop import run
from tests.support.node import Node, command
from tests.support.proxy import Proxy
from tests.support.receiver import SECRET, Receiver, Told
from tests.support.running import until
from tests.support.worker import Worker, eventually

KILLED_SECONDS = 60.0
"""The lease of a job is ten seconds."""


class Place(NamedTuple):
    """A node on the backends, the operator's webhook, and workers to be started."""

    backends: Backends
    node: Node
    receiver: Receiver
    folder: Path

    def worker(self, **settings: str) -> Worker:
        more = {
            "webhook_url": self.receiver.url,
            "webhook_secret": SECRET,
            "webhook_pause_seconds": "0",
        }
        return Worker(self.folder / "worker", self.backends, settings=more | settings)

    def told(self, who: Resident) -> list[Told]:
        return [told for told in list(self.receiver.told) if told.json["username"] == who.name]

    def queued(self) -> int:
        with connect(self.backends.settings["queue_redis_url"]) as redis:
            return jobs_rq.queue_of(NOTE, redis).count

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        async with self.database() as connection:
            return list(await connection.fetch(query, *arguments))

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.backends.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def mailbox(self, who: Resident) -> dict[str, tuple[int, int]]:
        rows = await self.fetch(
            "SELECT conversation_id, first, last FROM mailbox WHERE username = $1", who.name
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    async def has_mailbox(self, who: Resident, *conversation_ids: str) -> None:
        async def has() -> bool:
            return set(conversation_ids) <= (await self.mailbox(who)).keys()

        await eventually(has)


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    """Of this module alone: the queue is flushed and looked into."""
    with Backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def node(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), backends=backends) as node:
        yield node
        assert node.complaints == []


@pytest.fixture
def place(backends: Backends, node: Node, tmp_path: Path) -> Iterator[Place]:
    backends.flush_redis()
    with Receiver() as receiver:
        yield Place(backends, node, receiver, tmp_path)


def test_who_is_away_has_a_mailbox_and_is_told(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben, cid = await town.settle_all("ann", "ben", "cid")
            writer = await town.connect(ann)
            await town.connect(cid)
            for number in range(3):
                await writer.send_direct(ben.name, f"{number}")
            await writer.send_direct(cid.name, "here")
            chat = chat_of(ann, ben)
            await until(lambda: bool(place.told(ben)))
            last = place.told(ben)[-1]
            assert last.is_signed(SECRET)
            assert last.json | {"conversationId": chat, "kind": "direct", "first": 1} == last.json
            await until(lambda: place.told(ben)[-1].json["last"] == 3)
            assert place.told(ben)[-1].json["unread"] == 3
            await place.has_mailbox(ben, chat)
            assert place.told(cid) == [] and await place.mailbox(cid) == {}
            reader = await town.connect(ben)
            assert contents(await take(reader, OneToOneChat, 3)) == ["0", "1", "2"]

    with place.worker() as worker:
        run(main())
        assert worker.stop() == 0
        assert worker.complaints == []


def test_ones_own_webhook(place: Place) -> None:
    path = "/api/users/me/webhook"

    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            assert (await rest(town, "GET", path, ben)).status == 404
            for url in ("http://127.0.0.1/", "ftp://example.org", "example.org", 7):
                assert await refused(town, "PUT", path, ben, {"url": url}) == "INVALID_FIELD"
            assert await refused(town, "PUT", path, ben, {}) == "INVALID_FIELD"
            assert await refused(town, "GET", path, None) == "UNAUTHENTICATED"
            url = place.receiver.url.replace("127.0.0.1", "localhost")
            made = await done(town, "PUT", path, ben, {"url": url})
            assert made.keys() == {"url", "createdAt", "secret"}
            assert await done(town, "GET", path, ben) == {
                "url": url,
                "createdAt": made["createdAt"],
            }
            assert (await rest(town, "GET", path, ann)).status == 404
            writer = await town.connect(ann)
            await writer.send_direct(ben.name, "one")
            await until(lambda: len(place.told(ben)) == 1)
            assert place.told(ben)[0].is_signed(made["secret"])
            again = await done(town, "PUT", path, ben, {"url": url})
            await writer.send_direct(ben.name, "two")
            await until(lambda: len(place.told(ben)) == 2)
            assert place.told(ben)[1].is_signed(again["secret"])
            place.receiver.answers = [410]
            await writer.send_direct(ben.name, "three")
            await until(lambda: len(place.told(ben)) == 3)

            async def is_gone() -> bool:
                return (await rest(town, "GET", path, ben)).status == 404

            await eventually(is_gone)
            assert (await rest(town, "DELETE", path, ben)).status == 204

    settings = {"webhook_url": "", "webhook_secret": "", "webhook_allow": "127.0.0.0/8,::1"}
    with place.worker(**settings) as worker:
        run(main())
        assert worker.stop() == 0
        assert worker.complaints == []


def test_a_users_webhook_does_not_reach_this_machine(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            with Receiver() as inside:
                url = inside.url.replace("127.0.0.1", "localhost")
                await done(town, "PUT", "/api/users/me/webhook", ben, {"url": url})
                writer = await town.connect(ann)
                await writer.send_direct(ben.name, "one")
                await until(lambda: "was refused" in worker.log)
                assert (inside.told, place.told(ben)) == ([], [])

    with place.worker() as worker:
        run(main())


def test_without_a_worker_whoever_comes_gets_everything(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben, cid = await town.settle_all("ann", "ben", "cid")
            writer = await town.connect(ann)
            for number in range(5):
                await writer.send_direct(ben.name, f"{number}")
                await writer.send_direct(cid.name, f"{number}")
            await until(lambda: place.queued() > 0)
            reader = await town.connect(ben)
            pushes = await take(reader, OneToOneChat, 5)
            assert contents(pushes) == [f"{number}" for number in range(5)]
            await reader.ack(Where(chat_id=chat_of(ann, ben)), pushes[-1].seq)
            await reader.close()
            assert await place.mailbox(ben) == await place.mailbox(cid) == {}
            with place.worker() as worker:
                await place.has_mailbox(cid, chat_of(ann, cid))
                await until(lambda: bool(place.told(cid)))
                assert place.told(ben) == [] and await place.mailbox(ben) == {}
                assert worker.stop() == 0

    run(main())


def test_a_webhook_that_fails_is_told_again(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            place.receiver.answers = [503, 429]
            writer = await town.connect(ann)
            await writer.send_direct(ben.name, "one")
            await until(lambda: [told.status for told in place.told(ben)] == [503, 429, 200])
            assert len({told.id for told in place.told(ben)}) == 1

    with place.worker() as worker:
        run(main(), seconds=KILLED_SECONDS)
        assert worker.stop() == 0


@pytest.mark.slow
def test_a_job_of_a_worker_that_was_killed_is_done_by_another(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town, place.database() as connection:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            first = place.worker()
            with first:
                async with connection.transaction():
                    # The job gets as far as the mailbox, and not into it.
                    await connection.execute("LOCK TABLE mailbox IN SHARE MODE")
                    await writer.send_direct(ben.name, "one")
                    await waited_for(connection, "mailbox")
                    first.kill()
            assert await place.mailbox(ben) == {}
            assert place.queued() == 0
            with place.worker() as second:
                await place.has_mailbox(ben, chat_of(ann, ben))
                await until(lambda: bool(place.told(ben)))
                assert second.stop() == 0

    run(main(), seconds=KILLED_SECONDS)


@pytest.mark.slow
def test_a_webhook_that_was_not_told_because_its_worker_was_killed_is_told(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            place.receiver.is_open.clear()
            with place.worker() as first:
                await writer.send_direct(ben.name, "one")
                await until(lambda: place.receiver.asked == 1)
                first.kill()
            place.receiver.is_open.set()
            await until(lambda: len(place.told(ben)) == 1)
            with place.worker() as second:
                # Nobody knows whether the receiver has got it: it is told again, by the same id.
                await until(lambda: len(place.told(ben)) == 2)
                assert len({told.id for told in place.told(ben)}) == 1
                assert second.stop() == 0

    run(main(), seconds=KILLED_SECONDS)


def test_a_stop_finishes_the_job_that_runs(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town, place.database() as connection:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            with place.worker() as worker:
                async with connection.transaction():
                    await connection.execute("LOCK TABLE mailbox IN SHARE MODE")
                    await writer.send_direct(ben.name, "one")
                    await waited_for(connection, "mailbox")
                    worker.terminate()
                    await until(lambda: "stopping" in worker.log)
                assert await asyncio.to_thread(worker.wait) == 0
                assert list(await place.mailbox(ben)) == [chat_of(ann, ben)]
                assert worker.complaints == []

    run(main(), seconds=KILLED_SECONDS)


def test_jobs_that_were_lost_with_redis_are_found(place: Place) -> None:
    async def main() -> None:
        async with Town(place.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            await writer.send_direct(ben.name, "one")
            await until(lambda: place.queued() == 1)
            place.backends.flush_redis()
            # As if it had been a while ago: what is young is left to the next sweep.
            await place.fetch("UPDATE head SET at = at - 60000")
            with place.worker() as worker:
                await place.has_mailbox(ben, chat_of(ann, ben))
                await until(lambda: bool(place.told(ben)))
                assert "the sweep found" in worker.log
                assert worker.stop() == 0

    run(main(), seconds=KILLED_SECONDS)


def test_a_queue_that_is_gone_touches_nobody(place: Place, tmp_path: Path) -> None:
    async def main(node: Node, between: Proxy) -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            between.cut()
            await writer.send_direct(ben.name, "one")
            await until(lambda: node.metric("chatd_offline_jobs_dropped_total") == 1)
            between.stall()
            for number in range(50):
                await writer.send_direct(ben.name, f"{number}")
            reader = await town.connect(ben)
            assert len(await take(reader, OneToOneChat, 51)) == 51
            between.heal()
            await reader.close()
            await writer.send_direct(ben.name, "again")
            await until(lambda: place.queued() > 0)

    with Proxy.before(place.backends.settings["queue_redis_url"]) as between:
        settings = {"queue_redis_url": between.url}
        with Node(tmp_path, backends=place.backends, settings=settings) as node:
            run(main(node, between))
            assert node.stop() == 0
            assert node.complaints == []


def test_embedded_there_is_no_worker(tmp_path: Path) -> None:
    for arguments in (["worker"], ["jobs", "failed"], ["jobs", "retry"]):
        ended = command(arguments, {"data_dir": str(tmp_path)})
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1 and "chatd serve" in ended.stderr


def test_dead_letters_are_listed_and_put_back(place: Place) -> None:
    settings = place.backends.settings
    assert command(["jobs", "failed"], settings).stdout == ""
    with connect(settings["queue_redis_url"]) as redis:
        queue = jobs_rq.queue_of(NOTE, redis)
        job = queue.create_job(NOTE.function, args=[["7", 1, 2]], job_id="a")
        job.origin = queue.name
        queue.failed_job_registry.add(job, ttl=1_000)
    (line,) = command(["jobs", "failed"], settings).stdout.splitlines()
    assert line.split()[0] == "a" and "chatd-note: 7 1 2" in line
    refusal = command(["jobs", "retry", "b"], settings)
    assert refusal.returncode == 2 and "no dead letter b" in refusal.stderr
    assert command(["jobs", "retry", "a"], settings).returncode == 0
    assert command(["jobs", "failed"], settings).stdout == ""
    assert place.queued() == 1


async def waited_for(connection: Any, table: str) -> None:
    """Somebody waits for a lock of the table."""

    async def is_waited_for() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass"
        return bool(await connection.fetchval(waiting, table))

    await eventually(is_waited_for)
