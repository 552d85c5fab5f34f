"""chatd.services.mailboxes: what a job does. When there is one: test_offline.py."""

from pathlib import Path

import pytest

from chatd.errors import BackendError
from chatd.fabric.offline_queue import OfflineJob, PushJob
from chatd.services import mailboxes as module
from chatd.stores.webhook_store import Webhook
from tests.support.builders import NOW_MS, core, create, direct, failing, post
from tests.support.running import on_a_loop

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"
WEBHOOK = Webhook("https://example.org", "whsec_", NOW_MS)


@pytest.mark.parametrize("size", [2, 3, 5, 8])
@on_a_loop
async def test_a_job_looks_at_many_members_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "_MEMBERS_AT_ONCE", 3)
    names = [f"user{n}" for n in range(size)]
    async with core(tmp_path, "alice", *names) as here:
        await here.submit(create("7", "alice", names), post("7", "alice"))
        await here.leases.renew(names[1], "c", 60)
        for _ in range(2):
            await here.handlers.note(OfflineJob("7", 1, 2))
        found = [name for name in ["alice", *names] if await here.store.mailbox(name)]
        assert found == ["alice", *(name for name in names if name != names[1])]


@on_a_loop
async def test_a_job_of_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.handlers.note(OfflineJob("nowhere", 1, 5))
        assert await here.store.mailbox("alice") == {}


@on_a_loop
async def test_a_store_that_fails_is_told_to_the_queue(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        async with failing(here.writer, "mailbox"):
            with pytest.raises(BackendError):
                await here.handlers.note(OfflineJob(CHAT, 1, 1))
        await here.handlers.note(OfflineJob(CHAT, 1, 1))
        assert await here.store.mailbox("bob") == {CHAT: (1, 1)}


@on_a_loop
async def test_nothing_is_noted_while_nobody_knows_who_is_online(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        here.leases.is_known = False
        with pytest.raises(BackendError):
            await here.handlers.note(OfflineJob(CHAT, 1, 1))
        assert await here.store.mailbox("bob") == {}


@on_a_loop
async def test_those_who_are_away_and_have_a_webhook_are_to_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MEMBERS_AT_ONCE", 2)
    async with core(tmp_path, "alice", "bob", "carol", "dave", "erin") as here:
        await here.submit(create("7", "alice", ["bob", "carol", "dave", "erin"]))
        await here.submit(post("7", "alice"))
        for username in ("alice", "carol", "dave", "erin"):
            await here.webhooks.put(username, WEBHOOK)
        await here.leases.renew("dave", "c", 60)
        told: list[PushJob] = []

        async def tell(job: PushJob) -> None:
            told.append(job)

        await here.queue.stop()
        await here.queue.start(here.handlers._replace(push=tell))
        await here.handlers.note(OfflineJob("7", 1, 2))
        await here.queue.stop()
        assert sorted(told) == [PushJob(name, "7") for name in ("alice", "carol", "erin")]
