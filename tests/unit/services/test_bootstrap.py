"""chatd.services.bootstrap"""

from pathlib import Path

import pytest

from protocol import limits
from protocol.model import Role, User
from protocol.pushes import InitData as InitDataReply
from protocol.requests import InitData
from tests.support.builders import Core, core, create, direct, post, principal
from tests.support.running import on_a_loop

USERS = ("alice", "bob", "carol")


async def init_data(here: Core, username: str) -> InitDataReply:
    return await here.bootstrap.init_data(principal(username), InitData(ref="r"))


@on_a_loop
async def test_a_new_user_has_nothing_yet(tmp_path: Path) -> None:
    async with core(tmp_path, "alice") as here:
        assert await init_data(here, "alice") == InitDataReply(
            ref="r",
            user=User(username="alice", display_name="Alice"),
            chats=[],
            groups=[],
            has_more=False,
        )


@on_a_loop
async def test_a_chat_shows_its_peer_and_its_newest_message(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("bob", "alice", "one"), direct("bob", "alice", "two"))
        here.receipts.delivered("alice", {"alice-bob": 1})
        (chat,) = (await init_data(here, "alice")).chats
        assert (chat.chat_id, chat.peer, chat.display_name) == ("alice-bob", "bob", "Bob")
        assert (chat.last_seq, chat.delivered_seq, chat.read_seq, chat.unread) == (2, 1, 0, 2)
        assert (chat.is_online, chat.last_seen) == (False, None)
        assert chat.last_message is not None and chat.last_message.content == "two"
        (mine,) = (await init_data(here, "bob")).chats
        assert (mine.peer, mine.unread) == ("alice", 0)


@on_a_loop
async def test_a_group_shows_name_role_and_size(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob", "carol"]), post("7", "bob"))
        (group,) = (await init_data(here, "alice")).groups
        assert (group.group_id, group.name, group.role) == ("7", "group 7", Role.ADMIN)
        assert (group.member_count, group.last_seq, group.unread) == (3, 2, 1)
        (group,) = (await init_data(here, "bob")).groups
        assert (group.role, group.unread) == (Role.MEMBER, 0)


@on_a_loop
async def test_unread_is_counted_up_to_a_cap(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("bob", "alice") for _ in range(limits.UNREAD_CAP)))
        assert (await init_data(here, "alice")).chats[0].unread == limits.UNREAD_CAP
        await here.submit(direct("bob", "alice"))
        assert (await init_data(here, "alice")).chats[0].unread == f"{limits.UNREAD_CAP}+"


@on_a_loop
async def test_the_most_recent_conversations_come_first_and_the_rest_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INIT_DATA_CONVERSATIONS", 3)
    async with core(tmp_path, *USERS) as here:
        for n in range(3):
            await here.submit(create(f"{n}", "alice", at_ms=here.clock.now_ms() + n))
        reply = await init_data(here, "alice")
        assert [group.group_id for group in reply.groups] == ["2", "1", "0"]
        assert not reply.has_more
        await here.submit(create("3", "alice", at_ms=here.clock.now_ms() + 3))
        reply = await init_data(here, "alice")
        assert [group.group_id for group in reply.groups] == ["3", "2", "1"]
        assert reply.has_more
