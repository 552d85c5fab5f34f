"""chatd.services.presence"""

from pathlib import Path
from typing import Any

import pytest

from chatd.errors import ChatError
from chatd.services import presence as module
from chatd.services.presence import LEASE_SECONDS, Seen
from protocol import limits
from protocol.errors import ErrorCode
from protocol.model import PresenceStatus
from protocol.requests import SubscribePresence
from tests.support.builders import Core, Reader, core, create, direct, principal
from tests.support.running import on_a_loop, turns, until

USERS = ("alice", "bob", "carol", "dave")


async def arrive(here: Core, username: str, connection_id: str) -> Reader:
    reader = await here.connect(username)
    await here.presence.connected(reader.outbox, connection_id)
    return reader


def told(reader: Reader) -> list[tuple[str, str]]:
    return [
        (frame["username"], frame["status"])
        for frame in reader.frames()
        if frame["type"] == "PRESENCE_UPDATE"
    ]


async def subscribe(here: Core, reader: Reader, *users: str) -> None:
    who = principal(reader.outbox.principal.username)
    await here.presence.subscribe(who, reader.outbox, SubscribePresence(users=list(users)))


@on_a_loop
async def test_friends_are_told_of_each_other_without_asking(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        alice = await arrive(here, "alice", "a1")
        bob = await arrive(here, "bob", "b1")
        await arrive(here, "carol", "c1")
        assert told(alice) == [("bob", "ONLINE")]
        assert told(bob) == [("alice", "ONLINE")]
        await here.presence.disconnected(bob.outbox, "b1")
        assert told(alice) == [("bob", "ONLINE"), ("bob", "OFFLINE")]
        assert alice.frames()[-1]["lastSeen"] == here.clock.now_ms()


@on_a_loop
async def test_a_user_is_online_with_its_first_and_offline_with_its_last_connection(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        alice = await arrive(here, "alice", "a1")
        phone = await arrive(here, "bob", "b1")
        desk = await arrive(here, "bob", "b2")
        await here.presence.disconnected(phone.outbox, "b1")
        assert told(alice) == [("bob", "ONLINE")]
        await here.presence.disconnected(desk.outbox, "b2")
        assert told(alice) == [("bob", "ONLINE"), ("bob", "OFFLINE")]


@on_a_loop
async def test_a_lease_that_is_not_renewed_ends_presence(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        alice = await arrive(here, "alice", "a1")
        bob = await arrive(here, "bob", "b1")
        here.clock.advance(LEASE_SECONDS - 1)
        await here.presence.renew(alice.outbox, "a1")
        here.clock.advance(2)
        await here.presence.sweep()
        await here.presence.sweep()
        assert told(alice) == [("bob", "ONLINE"), ("bob", "OFFLINE")]
        await here.presence.renew(bob.outbox, "b1")
        assert told(alice)[-1] == ("bob", "ONLINE")


@on_a_loop
async def test_the_time_last_seen_is_known_at_once_and_stored(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await arrive(here, "bob", "b1")
        assert (await here.presence.look(["bob"]))["bob"] == Seen(PresenceStatus.ONLINE, None)
        here.clock.advance(5)
        await here.presence.disconnected(bob.outbox, "b1")
        gone_at = here.clock.now_ms()
        seen = await here.presence.look(["bob", "carol"])
        assert seen["bob"] == Seen(PresenceStatus.OFFLINE, gone_at)
        assert seen["carol"] == Seen(PresenceStatus.OFFLINE, None)
        await here.presence.stop()
        assert (await here.users.accounts(["bob"]))["bob"].last_seen == gone_at


@on_a_loop
async def test_strangers_are_unknown(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["carol"]), direct("dave", "alice"))
        await here.users.befriend("alice", "bob", 0)
        for name in USERS:
            await arrive(here, name, name)
        others = ["alice", "bob", "carol", "dave", "nobody"]
        seen = await here.presence.look_for(principal("alice"), others)
        assert {name: one.status for name, one in seen.items()} == {
            "alice": PresenceStatus.ONLINE,
            "bob": PresenceStatus.ONLINE,
            "carol": PresenceStatus.ONLINE,
            "dave": PresenceStatus.UNKNOWN,
            "nobody": PresenceStatus.UNKNOWN,
        }


@on_a_loop
async def test_who_shares_a_group_may_be_watched(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["carol"]))
        alice = await arrive(here, "alice", "a1")
        alice.sink.writes.clear()
        await subscribe(here, alice, "carol", "dave", "carol")
        assert told(alice) == [("carol", "OFFLINE"), ("dave", "UNKNOWN")]
        carol = await arrive(here, "carol", "c1")
        await arrive(here, "dave", "d1")
        await here.presence.disconnected(carol.outbox, "c1")
        assert told(alice)[2:] == [("carol", "ONLINE"), ("carol", "OFFLINE")]


@on_a_loop
async def test_watching_ends_with_the_connection(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        alice = await arrive(here, "alice", "a1")
        await here.presence.disconnected(alice.outbox, "a1")
        alice.sink.writes.clear()
        await arrive(here, "bob", "b1")
        assert told(alice) == []


@on_a_loop
async def test_new_friends_are_introduced(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        alice = await arrive(here, "alice", "a1")
        bob = await arrive(here, "bob", "b1")
        await here.submit(direct("alice", "bob"), direct("bob", "alice"))
        await until(lambda: bool(told(alice)) and bool(told(bob)))
        assert (told(alice), told(bob)) == ([("bob", "ONLINE")], [("alice", "ONLINE")])
        await here.presence.disconnected(bob.outbox, "b1")
        await turns()
        assert told(alice)[-1] == ("bob", "OFFLINE")


async def too_large(here: Core, reader: Reader, *users: Any) -> None:
    with pytest.raises(ChatError) as refused:
        await subscribe(here, reader, *users)
    assert refused.value.code is ErrorCode.TOO_LARGE


@on_a_loop
async def test_a_connection_watches_a_limited_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob", "carol", "dave"]))
        alice = await arrive(here, "alice", "a1")
        await too_large(here, alice, *(f"user{n}" for n in range(limits.PRESENCE_USERS + 1)))
        monkeypatch.setattr(module, "WATCHED", 2)
        await subscribe(here, alice, "bob", "carol")
        await too_large(here, alice, "dave")
        await subscribe(here, alice, "carol")
