"""chatd.services.history"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chatd.errors import ChatError
from chatd.services import history as module
from chatd.stores.conversation_store import Cursor, Move
from chatd.stores.ledger import Entry
from protocol.errors import ErrorCode
from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from protocol.requests import GetGroupChatHistory, GetOneToOneHistory
from tests.support.builders import (
    NOW_MS,
    Core,
    core,
    create,
    direct,
    held,
    join,
    leave,
    post,
    principal,
    traced,
)
from tests.support.changes import delete, edit, place, react
from tests.support.names import built_names
from tests.support.running import on_a_loop, turns

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


async def direct_page(here: Core, username: str, **fields: Any) -> OneToOneChatHistory:
    return await here.histories.direct(principal(username), GetOneToOneHistory(**fields))


async def group_page(here: Core, username: str, **fields: Any) -> GroupChatHistory:
    request = GetGroupChatHistory(**({"group_id": "7"} | fields))
    return await here.histories.group(principal(username), request)


def seqs(page: OneToOneChatHistory | GroupChatHistory) -> list[int]:
    return [message.seq for message in page.messages]


@on_a_loop
async def test_the_newest_page_is_ascending(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob", f"{n}") for n in range(1, 8)))
        page = await direct_page(here, "bob", to="alice", limit=3)
        assert (seqs(page), page.has_more, page.head_seq) == ([5, 6, 7], True, 7)
        assert [message.content for message in page.messages] == ["5", "6", "7"]
        assert [message.prev for message in page.messages] == [4, 5, 6]
        assert {message.chat_id for message in page.messages} == {CHAT}


@on_a_loop
async def test_pages_go_both_ways_from_a_cursor(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob", f"{n}") for n in range(1, 8)))
        before = await direct_page(here, "bob", to="alice", before=5, limit=3)
        assert (seqs(before), before.has_more) == ([2, 3, 4], True)
        first = await direct_page(here, "bob", to="alice", before=4, limit=3)
        assert (seqs(first), first.has_more) == ([1, 2, 3], False)
        after = await direct_page(here, "bob", to="alice", after=2, limit=3)
        assert (seqs(after), after.has_more) == ([3, 4, 5], True)
        last = await direct_page(here, "bob", to="alice", after=4, limit=3)
        assert (seqs(last), last.has_more) == ([5, 6, 7], False)
        for fields in ({"after": 7}, {"after": 99}, {"before": 1}, {"before": 0}):
            page = await direct_page(here, "bob", to="alice", **fields)
            assert (seqs(page), page.has_more, page.head_seq) == ([], False, 7)


@on_a_loop
async def test_a_chat_is_found_by_either_name(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        by_id = await direct_page(here, "bob", chat_id=CHAT)
        by_name = await direct_page(here, "bob", to="alice")
        by_both = await direct_page(here, "bob", to="alice", chat_id=CHAT)
        assert by_id == by_name == by_both
        assert by_id.chat_id == CHAT


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({}, ErrorCode.INVALID_FIELD, "`to`"),
        ({"to": "bob"}, ErrorCode.INVALID_FIELD, "`to`"),
        ({"to": "alice", "chat_id": "bob-carol"}, ErrorCode.INVALID_FIELD, "`chatId`"),
        ({"to": "alice", "before": 1, "after": 1}, ErrorCode.INVALID_FIELD, "`before`"),
        ({"to": "nobody"}, ErrorCode.NO_SUCH_USER, "nobody"),
        ({"chat_id": "alice-carol"}, ErrorCode.NOT_A_MEMBER, ""),
        ({"chat_id": "7"}, ErrorCode.NOT_A_MEMBER, ""),
        ({"chat_id": "nowhere"}, ErrorCode.NOT_A_MEMBER, ""),
    ],
)
@on_a_loop
async def test_what_cannot_be_read_is_refused(
    tmp_path: Path, fields: dict[str, Any], code: ErrorCode, name: str
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "carol"), create("7", "alice", ["bob"]))
        with pytest.raises(ChatError) as refused:
            await direct_page(here, "bob", **fields)
        assert refused.value.code is code
        assert name in refused.value.message


@on_a_loop
async def test_two_who_never_wrote_have_an_empty_history(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        page = await direct_page(here, "bob", to="alice")
        assert (page.messages, page.has_more, page.head_seq) == ([], False, 0)
        assert (page.is_online, page.last_seen) == (False, None)


@on_a_loop
async def test_a_history_says_how_far_the_peer_has_got(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob", f"{n}") for n in range(5)))
        await here.store.advance([Move(CHAT, "bob", Cursor.DELIVERED, 2)])
        page = await direct_page(here, "alice", to="bob")
        assert (page.peer_delivered_seq, page.peer_read_seq) == (2, 0)
        here.receipts.delivered("bob", {CHAT: 4})
        page = await direct_page(here, "alice", to="bob")
        assert page.peer_delivered_seq == 4


@on_a_loop
async def test_a_history_says_whether_a_friend_is_online(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"), direct("bob", "alice"))
        bob = await here.connect("bob")
        await here.presence.connected(bob.outbox, "b1")
        page = await direct_page(here, "alice", to="bob")
        assert (page.is_online, page.last_seen) == (True, None)
        await here.presence.disconnected(bob.outbox, "b1")
        page = await direct_page(here, "alice", to="bob")
        assert (page.is_online, page.last_seen) == (False, here.clock.now_ms())


@on_a_loop
async def test_strangers_and_former_members_read_nothing_of_a_group(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), post("7", "alice"), leave("7", "bob"))
        for username, group_id in (("carol", "7"), ("bob", "7"), ("alice", "8")):
            with pytest.raises(ChatError) as refused:
                await group_page(here, username, group_id=group_id)
            assert refused.value.code is ErrorCode.NOT_A_MEMBER
        await here.submit(direct("alice", "bob"))
        with pytest.raises(ChatError):
            await group_page(here, "alice", group_id=CHAT)


@on_a_loop
async def test_a_new_member_reads_nothing_from_before_its_joining(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            create("7", "alice", is_open=True),
            post("7", "alice", "secret"),
            join("7", "bob"),
            post("7", "alice", "public"),
        )
        page = await group_page(here, "bob")
        assert (seqs(page), page.has_more, page.head_seq) == ([4], False, 4)
        below = await group_page(here, "bob", before=4)
        assert (seqs(below), below.has_more) == ([], False)
        assert seqs(await group_page(here, "bob", after=0)) == [4]
        assert seqs(await group_page(here, "alice")) == [2, 4]


@pytest.mark.parametrize("comes_back", [False, True])
@on_a_loop
async def test_who_is_removed_while_it_reads_reads_nothing_above_that(
    tmp_path: Path, comes_back: bool
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"], is_open=True), post("7", "alice", "public"))
        reading = asyncio.create_task(group_page(here, "bob"))
        await turns(1)
        # The membership was read; the page waits behind this.
        async with held(here.reader):
            await here.submit(leave("7", "bob"), post("7", "alice", "secret"))
            if comes_back:
                await here.submit(join("7", "bob"))
        try:
            page = await reading
        except ChatError as refused:
            assert refused.code is ErrorCode.NOT_A_MEMBER
        else:
            assert "secret" not in [message.content for message in page.messages]


@on_a_loop
async def test_other_events_are_passed_over(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            create("7", "alice", is_open=True),
            post("7", "alice"),
            post("7", "alice"),
            join("7", "bob"),
            leave("7", "bob"),
            post("7", "alice"),
        )
        page = await group_page(here, "alice", limit=2)
        assert (seqs(page), page.has_more) == ([3, 6], True)
        page = await group_page(here, "alice", before=3, limit=2)
        assert (seqs(page), page.has_more) == ([2], False)
        page = await group_page(here, "alice", after=2, limit=2)
        assert (seqs(page), page.has_more) == ([3, 6], False)


def comings_and_goings(count: int) -> list[Entry]:
    return [change("7", "bob") for _ in range(count // 2) for change in (join, leave)]


@on_a_loop
async def test_a_page_that_has_more_holds_a_message_to_go_on_from(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        entries = [create("7", "alice", is_open=True), post("7", "alice"), post("7", "alice")]
        await here.submit(*entries, *comings_and_goings(900))
        page = await group_page(here, "alice", limit=1)
        assert (seqs(page), page.has_more) == ([3], True)


@on_a_loop
async def test_a_long_stretch_of_other_events_does_not_end_a_page(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        entries = [create("7", "alice", is_open=True), post("7", "alice")]
        await here.submit(*entries, *comings_and_goings(900), post("7", "alice"))
        page = await group_page(here, "alice", limit=2)
        assert (seqs(page), page.has_more) == ([2, 903], False)


@on_a_loop
async def test_a_page_of_much_text_is_short_and_has_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BYTES", 1_000)
    async with core(tmp_path, *USERS) as here:
        sizes = (2_000, 10, 900, 2_000, 900, 10)
        await here.submit(*(direct("alice", "bob", "x" * size) for size in sizes))
        page = await direct_page(here, "bob", to="alice")
        assert (seqs(page), page.has_more) == ([5, 6], True)
        page = await direct_page(here, "bob", to="alice", before=5)
        assert (seqs(page), page.has_more) == ([4], True), "at least one, whatever its size"
        page = await direct_page(here, "bob", to="alice", after=1)
        assert (seqs(page), page.has_more) == ([2, 3], True)
        page = await direct_page(here, "bob", to="alice", after=5)
        assert (seqs(page), page.has_more) == ([6], False)


@on_a_loop
async def test_a_page_that_many_ask_for_at_once_is_read_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob", f"{n}") for n in range(5)))
        statements = await traced(here.reader)
        pages = await asyncio.gather(*(direct_page(here, "bob", to="alice") for _ in range(20)))
        assert {tuple(seqs(page)) for page in pages} == {(1, 2, 3, 4, 5)}
        assert sum("FROM ledger" in statement for statement in statements) == 1


@on_a_loop
async def test_a_read_is_not_shared_across_a_commit(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        for n in range(2, 6):
            earlier = [asyncio.create_task(direct_page(here, "bob", to="alice")) for _ in range(3)]
            await turns(n)
            await here.submit(direct("alice", "bob"))
            page = await direct_page(here, "alice", to="bob")
            assert seqs(page)[-1] == page.head_seq == n
            await asyncio.gather(*earlier)


@on_a_loop
async def test_a_page_shows_what_became_of_its_messages(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        one, two = post("7", "bob", "one"), post("7", "bob", "two")
        first, second = place(one, 2), place(two, 3)
        await here.submit(
            create("7", "alice", ["bob"]),
            one,
            two,
            edit(first, "bob", "one, edited", at_ms=NOW_MS + 5),
            react(first, "alice", "🎉"),
            react(first, "bob", "👍"),
            react(first, "bob", "🎉"),
            edit(first, "alice", "one, by the admin", at_ms=NOW_MS + 9),
            delete(second, "alice"),
        )
        page = await group_page(here, "alice")
        edited, deleted = page.messages
        assert (edited.content, edited.version) == ("one, by the admin", 3)
        assert (edited.edited_at, edited.edited_by) == (NOW_MS + 9, "alice")
        assert edited.reactions == {"🎉": ["alice", "bob"], "👍": ["bob"]}
        assert (edited.from_, edited.sent_at, edited.deleted) == ("bob", NOW_MS, False)
        assert (deleted.content, deleted.version, deleted.deleted) == ("", 1, True)
        assert (deleted.reactions, deleted.edited_at) == (None, None)
        assert page.head_seq == 9


@on_a_loop
async def test_what_nobody_has_needs_no_look_into_the_store(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice"), direct("alice", "bob"))
        async with built_names(here):
            statements = await traced(here.reader)
            statements.clear()
            with pytest.raises(ChatError) as refused:
                await direct_page(here, "alice", to="nobody")
            assert refused.value.code is ErrorCode.NO_SUCH_USER
            with pytest.raises(ChatError) as refused:
                await group_page(here, "alice", group_id="8")
            assert refused.value.code is ErrorCode.NOT_A_MEMBER
            assert statements == []
            assert len((await direct_page(here, "alice", to="bob")).messages) == 1
            assert (await direct_page(here, "alice", to="carol")).messages == []
            assert (await group_page(here, "alice", group_id="7")).head_seq == 1
