"""chatd.services.pushes: against a receiver that listens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatd.clock import SystemClock
from chatd.config import Config
from chatd.errors import BackendError
from chatd.fabric.offline_queue import Handlers, PushJob, TryAgain
from chatd.jobs.handlers import handlers
from chatd.stores.conversation_store import Cursor, Move
from chatd.stores.webhook_store import Webhook
from chatd.webhook_signature import new_secret
from tests.support.builders import NOW_MS, Core, core, create, direct, leave, post
from tests.support.receiver import SECRET, Receiver
from tests.support.running import on_a_loop

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"
BOB = PushJob("bob", CHAT)


def handlers_of(here: Core, ours: Receiver | None) -> Handlers:
    """What does the jobs where the operator has this webhook."""
    config = Config()
    if ours is not None:
        config = Config(webhook_url=ours.url, webhook_secret=SECRET)
    parts = here.store, here.ledger, here.webhooks, here.leases, here.queue
    return handlers(config, *parts, here.sender, SystemClock(), here.metrics)


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[tuple[Core, Receiver, Handlers]]:
    """Users, and the operator's webhook."""
    async with core(folder, *USERS) as here:
        with Receiver() as receiver:
            yield here, receiver, handlers_of(here, receiver)


@on_a_loop
async def test_a_webhook_is_told_what_waits_and_no_text(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        await here.submit(*(direct("alice", "bob", "between us") for _ in range(3)))
        await here.store.advance([Move(CHAT, "bob", Cursor.DELIVERED, 1)])
        await does.push(BOB)
        (told,) = receiver.told
        assert told.json == {
            "event": "offline",
            "conversationId": CHAT,
            "kind": "direct",
            "username": "bob",
            "first": 2,
            "last": 3,
            "unread": 3,
        }
        assert b"between us" not in told.body
        assert told.headers["content-type"] == "application/json"
        assert here.metrics.pushes == 1


@on_a_loop
async def test_it_is_signed(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        # The hand clock's time is not the receiver's.
        await here.submit(direct("alice", "bob"))
        await does.push(BOB)
        (told,) = receiver.told
        assert told.is_signed(SECRET)
        assert not told.is_signed(new_secret())
        assert not told._replace(body=told.body + b" ").is_signed(SECRET)


@on_a_loop
async def test_a_repeat_has_the_same_id_and_more_has_another(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        await here.submit(direct("alice", "bob"))
        await does.push(BOB)
        await does.push(BOB)
        await here.submit(direct("alice", "bob"), direct("carol", "bob"))
        await does.push(BOB)
        await does.push(PushJob("bob", "bob-carol"))
        await does.push(PushJob("carol", "bob-carol"))
        ids = [told.id for told in receiver.told]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 3, "and carol has nothing to be told"


@on_a_loop
async def test_a_group_is_told_as_one(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        await here.submit(create("7", "alice", ["bob", "carol"]))
        await does.push(PushJob("bob", "7"))
        assert receiver.told == [], "nobody has said anything"
        await here.submit(*(post("7", "alice") for _ in range(101)))
        await does.push(PushJob("bob", "7"))
        (told,) = receiver.told
        assert told.json | {"conversationId": "7", "kind": "group", "unread": "100+"} == told.json
        assert (told.json["first"], told.json["last"]) == (1, 102)


@pytest.mark.parametrize("what", ["online", "delivered", "read", "left", "own", "elsewhere"])
@on_a_loop
async def test_who_lacks_nothing_is_not_told(tmp_path: Path, what: str) -> None:
    async with town(tmp_path) as (here, receiver, does):
        await here.submit(create("7", "alice", ["bob", "carol"]), post("7", "alice"))
        job = PushJob("bob", "7")
        if what == "online":
            await here.leases.renew("bob", "c", 60)
        elif what == "delivered":
            await here.store.advance([Move("7", "bob", Cursor.DELIVERED, 2)])
        elif what == "read":
            await here.store.advance([Move("7", "bob", Cursor.READ, 2)])
        elif what == "left":
            await here.submit(leave("7", "bob"))
        elif what == "own":
            job = PushJob("alice", "7")
        else:
            job = PushJob("bob", "8")
        await does.push(job)
        assert receiver.told == []
        await does.push(PushJob("carol", "7"))
        assert len(receiver.told) == 1


@on_a_loop
async def test_ones_own_webhook_takes_the_place_of_the_operators(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        secret = new_secret()
        with Receiver() as own:
            await here.webhooks.put("bob", Webhook(own.url, secret, NOW_MS))
            await here.submit(direct("alice", "bob"), direct("alice", "carol"))
            await does.push(BOB)
            await does.push(PushJob("carol", "alice-carol"))
            assert [told.json["username"] for told in own.told] == ["bob"]
            assert [told.json["username"] for told in receiver.told] == ["carol"]
            assert own.told[0].is_signed(secret) and not own.told[0].is_signed(SECRET)


@on_a_loop
async def test_without_the_operators_only_those_who_have_one_want_to_be_told(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        with Receiver() as own:
            does = handlers_of(here, None)
            await here.webhooks.put("bob", Webhook(own.url, SECRET, NOW_MS))
            await here.submit(direct("alice", "bob"), direct("alice", "carol"))
            await does.push(PushJob("carol", "alice-carol"))
            assert own.told == []
            await does.push(BOB)
            assert len(own.told) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@on_a_loop
async def test_what_may_pass_is_tried_again(tmp_path: Path, status: int) -> None:
    async with town(tmp_path) as (here, receiver, does):
        await here.submit(direct("alice", "bob"))
        receiver.answers = [status]
        with pytest.raises(TryAgain, match=f"{status}"):
            await does.push(BOB)
        await does.push(BOB)
        assert [told.status for told in receiver.told] == [status, 200]
        assert (here.metrics.pushes, here.metrics.pushes_refused) == (1, 0)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 405, 422])
@on_a_loop
async def test_what_is_refused_is_not(tmp_path: Path, status: int) -> None:
    async with town(tmp_path) as (here, receiver, does):
        webhook = Webhook(receiver.url, SECRET, NOW_MS)
        await here.webhooks.put("bob", webhook)
        await here.submit(direct("alice", "bob"))
        receiver.answers = [status]
        await does.push(BOB)
        assert (here.metrics.pushes, here.metrics.pushes_refused) == (0, 1)
        assert await here.webhooks.get("bob") == webhook


@on_a_loop
async def test_a_webhook_that_is_gone_is_taken_away(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        with Receiver() as own:
            for username in ("bob", "carol"):
                await here.webhooks.put(username, Webhook(own.url, SECRET, NOW_MS))
            await here.submit(direct("alice", "bob"))
            own.answers = [410]
            await does.push(BOB)
            assert await here.webhooks.get("bob") is None
            assert await here.webhooks.get("carol") is not None
            assert receiver.told == []
            receiver.answers = [410]
            await does.push(BOB)
            await does.push(BOB)
            assert len(receiver.told) == 2, "the operator's stays"


@on_a_loop
async def test_a_users_webhook_may_not_lead_inside(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        with Receiver() as inside:
            url = inside.url.replace("127.0.0.1", "[::ffff:10.0.0.1]")
            await here.webhooks.put("bob", Webhook(url, SECRET, NOW_MS))
            await here.submit(direct("alice", "bob"))
            await does.push(BOB)
            assert (here.metrics.pushes_refused, inside.told, receiver.told) == (1, [], [])


@on_a_loop
async def test_nobody_is_told_while_nobody_knows_who_is_online(tmp_path: Path) -> None:
    async with town(tmp_path) as (here, receiver, does):
        await here.submit(direct("alice", "bob"))
        here.leases.is_known = False
        with pytest.raises(BackendError):
            await does.push(BOB)
        assert receiver.told == []
