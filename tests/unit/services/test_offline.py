"""chatd.services.offline"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatd.fabric.offline_queue import OfflineJob
from chatd.services import offline as module
from chatd.services.offline import GATHER_SECONDS, Offline
from chatd.stores.conversation_store import Cursor, Move
from tests.support.builders import Core, Reader, core, create, direct, post
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import on_a_loop, turns

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


async def a_moment(here: Core) -> None:
    """What was noted is in the mailboxes."""
    await pass_seconds(GATHER_SECONDS)
    for _ in range(4):
        await here.store.mailbox("alice")
        await here.writer.submit(lambda _: None)
        await turns()


async def arrive(here: Core, username: str) -> Reader:
    reader = await here.connect(username)
    await here.presence.connected(reader.outbox, reader.outbox.connection_id)
    return reader


@on_a_hand_loop
async def test_what_came_is_noted_for_who_was_away(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob", "carol"]))
        await arrive(here, "carol")
        await here.submit(post("7", "alice"), post("7", "alice"))
        assert await here.store.mailbox("bob") == {}, "not on the way"
        await a_moment(here)
        assert await here.store.mailbox("bob") == {"7": (1, 3)}
        assert await here.store.mailbox("carol") == {}


@on_a_hand_loop
async def test_a_mailbox_begins_above_what_was_delivered(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(3)))
        await here.store.advance([Move(CHAT, "bob", Cursor.DELIVERED, 2)])
        await a_moment(here)
        assert await here.store.mailbox("bob") == {CHAT: (3, 3)}
        await here.submit(*(direct("alice", "bob") for _ in range(3)))
        await a_moment(here)
        assert await here.store.mailbox("bob") == {CHAT: (3, 6)}


@on_a_hand_loop
async def test_a_moment_is_one_job_for_each_conversation(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        for _ in range(4):
            await here.submit(direct("alice", "bob"), direct("alice", "carol"))
            await pass_seconds(GATHER_SECONDS / 4)
        await a_moment(here)
        assert here.metrics.offline_jobs == 2
        assert await here.store.mailbox("bob") == {CHAT: (1, 4)}
        await a_moment(here)
        assert here.metrics.offline_jobs == 2, "and none for nothing"


@on_a_hand_loop
async def test_a_chat_of_two_who_are_here_is_no_job(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await arrive(here, "alice")
        await arrive(here, "bob")
        await here.submit(direct("alice", "bob"), direct("alice", "carol"))
        await a_moment(here)
        assert here.metrics.offline_jobs == 1
        assert await here.store.mailbox("carol") == {"alice-carol": (1, 1)}


@on_a_hand_loop
async def test_a_group_of_which_some_are_here_is_a_job(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        for username in ("alice", "bob"):
            await arrive(here, username)
        await here.submit(create("7", "alice", ["bob", "carol"]))
        await a_moment(here)
        assert await here.store.mailbox("carol") == {"7": (1, 1)}
        assert await here.store.mailbox("bob") == {}


@on_a_loop
async def test_what_is_noted_is_done_before_the_end(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        await here.offline.stop()
        assert await here.store.mailbox("bob") == {CHAT: (1, 1)}


@asynccontextmanager
async def noting(folder: Path) -> AsyncIterator[tuple[Offline, list[OfflineJob]]]:
    """The service, and the jobs that it has had queued."""
    async with core(folder, *USERS) as here:
        jobs: list[OfflineJob] = []

        async def look(job: OfflineJob) -> None:
            jobs.append(job)

        await here.queue.start(here.handlers._replace(note=look))
        yield here.offline, jobs


@on_a_hand_loop
async def test_a_job_says_from_where_to_where(tmp_path: Path) -> None:
    async with noting(tmp_path) as (offline, jobs):
        offline.note("7", 1, 1)
        offline.note("7", 2, 4)
        offline.note("8", 9, 9)
        offline.note("7", 5, 5)
        await pass_seconds(GATHER_SECONDS)
        assert jobs == [OfflineJob("7", 1, 5), OfflineJob("8", 9, 9)]
        offline.note("7", 6, 6)
        await pass_seconds(GATHER_SECONDS)
        assert jobs[2:] == [OfflineJob("7", 6, 6)]


@on_a_hand_loop
async def test_so_many_conversations_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONVERSATIONS", 2)
    async with noting(tmp_path) as (offline, jobs):
        for conversation_id in ("7", "8", "9"):
            offline.note(conversation_id, 1, 1)
        offline.note("7", 2, 2)
        await pass_seconds(GATHER_SECONDS)
        assert jobs == [OfflineJob("7", 1, 2), OfflineJob("8", 1, 1)]
