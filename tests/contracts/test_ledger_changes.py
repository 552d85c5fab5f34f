"""Port Ledger: edits and reactions. Deletes are in `test_ledger_deletes.py`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from chatd.events import EditBody, EventKind, Message, ReactionBody, decode_body
from chatd.ids import Place
from chatd.stores.ledger import Entry, Ledger, Outcome
from protocol.errors import ErrorCode
from protocol.limits import REACTIONS
from protocol.model import HistoryVisibility
from tests.contracts.conftest import StoresBackend, on_every_ledger
from tests.support.builders import (
    NOW_MS,
    Stores,
    add_users,
    append,
    create,
    direct,
    join,
    leave,
    post,
)
from tests.support.changes import codes, edit, place, react, seqs
from tests.support.running import on_a_loop

pytestmark = on_every_ledger

Change = Callable[[Place, str], Entry]

CHAT = "alice-bob"
USERS = ("alice", "bob", "carol", "dave")


class Said(NamedTuple):
    """Stores in which bob has said something to alice (2 in the group of her, him and carol,
    1 in their chat)."""

    stores: Stores
    in_group: Place
    in_chat: Place

    @property
    def ledger(self) -> Ledger:
        return self.stores.ledger

    async def message(self, at: Place) -> Message:
        """What became of a message."""
        page = await self.ledger.page(
            at.conversation_id, after=at.seq - 1, before=at.seq + 1, limit=1, newest=False
        )
        (message,) = page.messages
        return message


@asynccontextmanager
async def said(
    backend: StoresBackend, *, history: HistoryVisibility = HistoryVisibility.JOINED
) -> AsyncIterator[Said]:
    async with backend.open() as stores:
        await add_users(stores.users, *USERS)
        in_group, in_chat = post("7", "bob", "first"), direct("bob", "alice", "first")
        made = create("7", "alice", ["bob", "carol"], is_open=True, history=history)
        await append(stores.ledger, made, in_group, in_chat)
        yield Said(stores, place(in_group, 2), place(in_chat, 1))


async def content(here: Said, at: Place) -> str:
    message = await here.message(at)
    assert message.edit is not None
    body = decode_body(message.edit.kind, message.edit.body)
    assert isinstance(body, EditBody)
    return body.content


# Edits.


@on_a_loop
async def test_versions_count_from_two(stores: StoresBackend) -> None:
    async with said(stores) as here:
        assert (await here.message(here.in_chat)).version == 1
        for n, words in enumerate(("second", "third", "third"), 2):
            entry = edit(here.in_chat, "bob", words, at_ms=NOW_MS + n)
            (outcome,) = await append(here.ledger, entry)
            assert outcome == Outcome(seq=n, nonce=entry.nonce, at_ms=NOW_MS + n, version=n)
            message = await here.message(here.in_chat)
            assert message.version == n
            assert message.edit is not None and message.edit.at_ms == NOW_MS + n
            assert await content(here, here.in_chat) == words


@on_a_loop
async def test_an_edit_is_an_event_with_its_version(stores: StoresBackend) -> None:
    async with said(stores) as here:
        await append(here.ledger, edit(here.in_group, "bob"), edit(here.in_group, "alice", "mine"))
        one, other = await here.ledger.read("7", after=2, limit=10)
        assert (one.seq, one.kind, one.sender, one.version) == (
            3,
            EventKind.MESSAGE_EDITED,
            "bob",
            2,
        )
        assert (other.seq, other.sender, other.version) == (4, "alice", 3)
        body = decode_body(other.kind, other.body)
        assert isinstance(body, EditBody) and body.content == "mine"
        (posted,) = await here.ledger.read("7", after=1, before=3, limit=1)
        assert posted.version == 0, "the message itself stays as it was posted"


@on_a_loop
async def test_an_edit_of_another_version_is_a_conflict(stores: StoresBackend) -> None:
    async with said(stores) as here:
        outcomes = await here.ledger.append(
            [
                edit(here.in_chat, "bob", "a", version=2),
                edit(here.in_chat, "bob", "b", version=1),
                edit(here.in_chat, "bob", "c", version=1),
                edit(here.in_chat, "bob", "d", version=3),
                edit(here.in_chat, "bob", "e", version=2),
                edit(here.in_chat, "bob", "f"),
            ]
        )
        conflict = ErrorCode.VERSION_CONFLICT
        assert codes(outcomes) == [conflict, None, conflict, conflict, None, None]
        assert [outcome.detail for outcome in outcomes] == ["1", "", "2", "2", "", ""]
        assert [outcome.version for outcome in outcomes] == [0, 2, 0, 0, 3, 4]
        assert await content(here, here.in_chat) == "f"
        assert await here.ledger.heads([CHAT]) == {CHAT: 4}


@on_a_loop
async def test_the_author_and_the_admins_edit(stores: StoresBackend) -> None:
    async with said(stores) as here:
        outcomes = await here.ledger.append(
            [
                edit(here.in_group, "carol"),
                edit(here.in_group, "dave"),
                edit(here.in_group, "alice"),
                edit(here.in_group, "bob"),
                edit(here.in_chat, "alice"),
                edit(here.in_chat, "carol"),
                edit(here.in_chat, "bob"),
            ]
        )
        forbidden, stranger = ErrorCode.FORBIDDEN, ErrorCode.NOT_A_MEMBER
        assert codes(outcomes) == [forbidden, stranger, None, None, forbidden, stranger, None]


# Reactions.


@on_a_loop
async def test_reactions_are_in_the_order_in_which_they_came(stores: StoresBackend) -> None:
    async with said(stores) as here:
        outcomes = await append(
            here.ledger,
            react(here.in_group, "carol", "🎉"),
            react(here.in_group, "alice", "👍"),
            react(here.in_group, "alice", "🎉"),
            react(here.in_group, "bob", "🎉"),
        )
        assert seqs(outcomes) == [3, 4, 5, 6]
        assert (await here.message(here.in_group)).reactions == [
            ("🎉", "carol"),
            ("👍", "alice"),
            ("🎉", "alice"),
            ("🎉", "bob"),
        ]
        events = await here.ledger.read("7", after=2, limit=10)
        bodies = [decode_body(event.kind, event.body) for event in events]
        assert [body.emoji for body in bodies if isinstance(body, ReactionBody)] == [*"🎉👍🎉🎉"]


@on_a_loop
async def test_a_reaction_that_is_there_is_answered_as_a_duplicate(stores: StoresBackend) -> None:
    async with said(stores) as here:
        await append(here.ledger, react(here.in_group, "carol", "🎉"))
        outcomes = await append(
            here.ledger,
            react(here.in_group, "carol", "🎉"),
            react(here.in_group, "carol", "👍"),
            react(here.in_group, "carol", "👍"),
        )
        assert [outcome.duplicate for outcome in outcomes] == [True, False, True]
        assert [outcome.seq for outcome in outcomes] == [3, 4, 4], "the first's number"
        assert await here.ledger.heads(["7"]) == {"7": 4}


@on_a_loop
async def test_a_reaction_is_taken_back_once_and_by_who_made_it(stores: StoresBackend) -> None:
    async with said(stores) as here:
        await append(here.ledger, react(here.in_group, "carol", "🎉"))
        outcomes = await append(
            here.ledger,
            react(here.in_group, "alice", "🎉", remove=True),
            react(here.in_group, "carol", "👍", remove=True),
            react(here.in_group, "carol", "🎉", remove=True),
            react(here.in_group, "carol", "🎉", remove=True),
            react(here.in_group, "carol", "🎉"),
        )
        assert [outcome.duplicate for outcome in outcomes] == [True, True, False, True, False]
        assert await here.ledger.heads(["7"]) == {"7": 5}
        assert (await here.message(here.in_group)).reactions == [("🎉", "carol")]


@on_a_loop
async def test_every_member_reacts_and_nobody_else(stores: StoresBackend) -> None:
    async with said(stores) as here:
        outcomes = await here.ledger.append(
            [
                react(here.in_group, "carol"),
                react(here.in_group, "dave"),
                react(here.in_chat, "alice"),
                react(here.in_chat, "carol"),
                react(here.in_group, "carol", remove=True),
                react(here.in_group, "dave", remove=True),
            ]
        )
        stranger = ErrorCode.NOT_A_MEMBER
        assert codes(outcomes) == [None, stranger, None, stranger, None, stranger]


@on_a_loop
async def test_a_message_has_room_for_so_many_reactions(stores: StoresBackend) -> None:
    async with said(stores) as here:
        emojis = [chr(0x1F400 + n) for n in range(REACTIONS + 1)]
        half = REACTIONS // 2
        await append(here.ledger, *(react(here.in_group, "bob", one) for one in emojis[:half]))
        await append(
            here.ledger, *(react(here.in_group, "carol", one) for one in emojis[half:REACTIONS])
        )
        full = react(here.in_group, "carol", emojis[-1])
        again = react(here.in_group, "bob", emojis[0])
        outcomes = await here.ledger.append([full, again])
        assert codes(outcomes) == [ErrorCode.TOO_LARGE, None]
        assert str(REACTIONS) in outcomes[0].detail and outcomes[1].duplicate
        gone = react(here.in_group, "bob", emojis[0], remove=True)
        await append(here.ledger, gone, react(here.in_group, "carol", emojis[-1]))
        assert len((await here.message(here.in_group)).reactions) == REACTIONS
        # Another message has room of its own.
        await append(here.ledger, react(here.in_chat, "bob"))


# What both have in common.


@pytest.mark.parametrize("change", [edit, react])
@on_a_loop
async def test_what_is_no_message_cannot_be_changed(stores: StoresBackend, change: Change) -> None:
    async with said(stores) as here:
        edited = edit(here.in_group, "bob")
        await append(here.ledger, edited)
        another = here.in_group._replace(nonce=here.in_group.nonce ^ 1)
        outcomes = await here.ledger.append(
            [
                change(here.in_group._replace(seq=99), "bob"),
                change(here.in_group._replace(seq=1), "bob"),
                change(another, "bob"),
                change(place(edited, 3), "bob"),
            ]
        )
        assert codes(outcomes) == [ErrorCode.NO_SUCH_MESSAGE] * 4
        (nowhere,) = await here.ledger.append([change(Place("8", 1, 1), "bob")])
        assert nowhere.code is ErrorCode.NOT_A_MEMBER
        assert await here.ledger.heads(["7"]) == {"7": 3}


@pytest.mark.parametrize("change", [edit, react])
@on_a_loop
async def test_a_chat_is_no_group_and_a_group_no_chat(
    stores: StoresBackend, change: Change
) -> None:
    async with said(stores) as here:
        as_group, as_chat = change(here.in_chat, "bob"), change(here.in_group, "bob")
        for entry, other in ((as_group, as_chat), (as_chat, as_group)):
            assert other.target is not None
            entry.conversation_id = other.target.conversation_id
        outcomes = await here.ledger.append([as_group, as_chat])
        assert codes(outcomes) == [ErrorCode.NOT_A_MEMBER] * 2


@pytest.mark.parametrize("change", [edit, react])
@on_a_loop
async def test_a_member_changes_nothing_from_before_its_joining(
    stores: StoresBackend, change: Change
) -> None:
    async with said(stores) as here:
        mine = post("7", "dave")
        await append(here.ledger, join("7", "dave"), mine, leave("7", "bob"), join("7", "bob"))
        outcomes = await here.ledger.append(
            [
                react(here.in_group, "dave"),
                change(here.in_group, "bob"),
                change(place(mine, 4), "dave"),
                change(here.in_group, "alice"),
            ]
        )
        unknown = ErrorCode.NO_SUCH_MESSAGE
        assert codes(outcomes) == [unknown, unknown, None, None]


@pytest.mark.parametrize("change", [edit, react])
@on_a_loop
async def test_where_history_is_for_all_it_may_be_changed_too(
    stores: StoresBackend, change: Change
) -> None:
    async with said(stores, history=HistoryVisibility.ALL) as here:
        await append(here.ledger, leave("7", "bob"), join("7", "bob"), join("7", "dave"))
        await append(here.ledger, change(here.in_group, "bob"), react(here.in_group, "dave"))


@on_a_loop
async def test_changes_may_be_in_the_call_of_what_they_change(stores: StoresBackend) -> None:
    async with said(stores) as here:
        mine = post("7", "carol", "new")
        at = place(mine, 3)
        outcomes = await here.ledger.append(
            [
                react(at, "bob"),
                mine,
                react(at, "bob"),
                edit(at, "carol", "newer", version=1),
                edit(at, "carol", "newest", version=2),
                react(at, "bob"),
                post("7", "bob"),
                edit(at, "carol", "no", version=2),
            ]
        )
        unknown, conflict = ErrorCode.NO_SUCH_MESSAGE, ErrorCode.VERSION_CONFLICT
        assert codes(outcomes) == [unknown, None, None, None, None, None, None, conflict]
        assert seqs(outcomes) == [0, 3, 4, 5, 6, 4, 7, 0]
        message = await here.message(at)
        assert (message.version, message.reactions) == (3, [("👍", "bob")])
        assert await content(here, at) == "newest"


@on_a_loop
async def test_a_call_with_a_repeated_key_makes_its_changes_once(stores: StoresBackend) -> None:
    async with said(stores) as here:
        keyed = post("7", "bob", "once", key="k")
        at = place(keyed, 3)
        await append(here.ledger, keyed)
        outcomes = await append(
            here.ledger,
            edit(at, "bob", version=1),
            post("7", "bob", "once", key="k"),
            react(at, "carol"),
            post("7", "bob", "another", key="l"),
        )
        assert seqs(outcomes) == [4, 3, 5, 6]
        message = await here.message(at)
        assert (message.version, message.reactions) == (2, [("👍", "carol")])


@on_a_loop
async def test_changes_are_there_after_reopening(stores: StoresBackend) -> None:
    async with said(stores) as here:
        at = here.in_group
        await append(here.ledger, edit(at, "alice", "hers"), react(at, "carol"))
        before = await here.message(at)
    async with stores.open() as again:
        reopened = Said(again, at, at)
        assert await reopened.message(at) == before
        outcomes = await again.ledger.append(
            [edit(at, "bob", version=1), edit(at, "bob", version=2), react(at, "carol")]
        )
        assert codes(outcomes) == [ErrorCode.VERSION_CONFLICT, None, None]
        assert (outcomes[1].version, outcomes[2].duplicate) == (3, True)
