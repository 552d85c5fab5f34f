"""Port Ledger: deletes. What a message and its edits said is gone, from that moment on."""

import pytest

from chatd.events import DeleteBody, EditBody, Event, EventKind, MessageBody, decode_body
from chatd.ids import Place
from chatd.stores.ledger import Ledger, Outcome
from protocol.errors import ErrorCode
from tests.contracts.conftest import StoresBackend, on_every_ledger
from tests.support.builders import (
    NOW_MS,
    add_users,
    append,
    create,
    direct,
    entry,
    join,
    leave,
    post,
)
from tests.support.changes import codes, delete, edit, place, react, seqs
from tests.support.running import on_a_loop

pytestmark = on_every_ledger

CHAT = "alice-bob"
USERS = ("alice", "bob", "carol", "dave")


async def contents(ledger: Ledger, conversation_id: str) -> dict[int, str]:
    """What each event of a conversation says, by its number; those that say nothing are
    left out."""
    events = await ledger.read(conversation_id, limit=1_000)
    return {event.seq: words for event in events if (words := _content(event)) is not None}


def _content(event: Event) -> str | None:
    body = decode_body(event.kind, event.body)
    return body.content if isinstance(body, MessageBody | EditBody) else None


async def room(ledger: Ledger) -> Place:
    """A group of alice, bob and carol in which bob has said something, at 2."""
    said = post("7", "bob", "said")
    await append(ledger, create("7", "alice", ["bob", "carol"], is_open=True), said)
    return place(said, 2)


@on_a_loop
async def test_what_was_said_is_gone_with_what_its_edits_said(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        await append(
            ledger,
            edit(at, "bob", "edited"),
            post("7", "carol", "stays"),
            edit(at, "alice", "edited again"),
            react(at, "carol"),
        )
        entry_ = delete(at, "bob", at_ms=NOW_MS + 3)
        (outcome,) = await append(ledger, entry_)
        assert outcome == Outcome(seq=7, nonce=entry_.nonce, at_ms=NOW_MS + 3)
        assert await contents(ledger, "7") == {2: "", 3: "", 4: "stays", 5: ""}
        (message, _) = (
            await ledger.page("7", after=0, before=None, limit=10, newest=False)
        ).messages
        assert message.is_deleted and message.reactions == []
        assert (message.version, _content(message.posted)) == (3, "")
        assert message.edit is not None and _content(message.edit) == ""


@on_a_loop
async def test_the_event_of_a_delete_names_its_message(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        entry_ = delete(at, "alice")
        await append(ledger, entry_)
        (event,) = await ledger.read("7", after=2, limit=10)
        assert (event.kind, event.sender, event.seq) == (EventKind.MESSAGE_DELETED, "alice", 3)
        assert decode_body(event.kind, event.body) == entry_.body
        assert isinstance(entry_.body, DeleteBody)


@on_a_loop
async def test_the_rest_of_a_deleted_message_stays(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        first = direct("alice", "bob", "first")
        body = MessageBody(
            content="secret", to="bob", client_msg_id="k", reply_to="r", mentions=["bob"]
        )
        whole = entry(CHAT, EventKind.DIRECT_MESSAGE, "alice", body, key="k")
        await append(ledger, first, whole, delete(place(whole, 2), "alice"))
        event = (await ledger.read(CHAT, after=1, limit=1))[0]
        assert (event.sender, event.nonce, event.at_ms) == ("alice", whole.nonce, NOW_MS)
        left = decode_body(event.kind, event.body)
        assert left == MessageBody(content="", to="bob", client_msg_id="k", reply_to="r")


@on_a_loop
async def test_a_second_delete_is_answered_with_the_first(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        await append(ledger, delete(at, "bob"), post("7", "carol"))
        outcomes = await append(ledger, delete(at, "alice"), delete(at, "bob"))
        assert [(outcome.seq, outcome.duplicate) for outcome in outcomes] == [(3, True), (3, True)]
        assert await ledger.heads(["7"]) == {"7": 4}


@on_a_loop
async def test_a_deleted_message_changes_no_more(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        await append(ledger, delete(at, "bob"))
        outcomes = await ledger.append(
            [
                edit(at, "bob"),
                edit(at, "bob", version=1),
                react(at, "carol"),
                react(at, "carol", remove=True),
                edit(at, "carol"),
            ]
        )
        assert codes(outcomes) == [ErrorCode.NO_SUCH_MESSAGE] * 5
        assert await contents(ledger, "7") == {2: ""}


@on_a_loop
async def test_the_author_and_the_admins_delete(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        mine, hers = direct("bob", "alice"), post("7", "alice")
        await append(ledger, mine, hers)
        outcomes = await ledger.append(
            [
                delete(at, "carol"),
                delete(at, "dave"),
                delete(place(hers, 3), "bob"),
                delete(at, "alice"),
                delete(at, "carol"),
                delete(place(mine, 1), "alice"),
                delete(place(mine, 1), "carol"),
                delete(place(mine, 1), "bob"),
            ]
        )
        forbidden, stranger = ErrorCode.FORBIDDEN, ErrorCode.NOT_A_MEMBER
        assert codes(outcomes) == [
            forbidden,
            stranger,
            forbidden,
            None,
            forbidden,
            forbidden,
            stranger,
            None,
        ]


@on_a_loop
async def test_what_is_no_message_cannot_be_deleted(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        await append(ledger, join("7", "dave"), leave("7", "bob"), join("7", "bob"))
        outcomes = await ledger.append(
            [
                delete(at._replace(seq=9), "alice"),
                delete(at._replace(seq=1), "alice"),
                delete(at._replace(nonce=at.nonce ^ 1), "alice"),
                delete(at, "dave"),
                delete(at, "bob"),
            ]
        )
        assert codes(outcomes) == [ErrorCode.NO_SUCH_MESSAGE] * 5
        assert await contents(ledger, "7") == {2: "said"}


@pytest.mark.parametrize("has_key", [False, True])
@on_a_loop
async def test_a_message_its_edit_and_the_delete_may_share_a_call(
    stores: StoresBackend, has_key: bool
) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await room(ledger)
        await append(ledger, post("7", "carol", "once", key="k"))
        said = post("7", "carol", "secret")
        at = place(said, 4)
        # With a repeated key in the call every key is looked up.
        beside = [post("7", "carol", "once", key="k")] if has_key else []
        outcomes = await append(
            ledger,
            said,
            edit(at, "carol", "secret too"),
            *beside,
            react(at, "bob"),
            edit(at, "alice", "secret three", version=2),
            delete(at, "carol"),
            delete(at, "alice"),
            post("7", "bob", "after"),
        )
        assert [seq for seq in seqs(outcomes) if seq != 3] == [4, 5, 6, 7, 8, 8, 9]
        assert await contents(ledger, "7") == {
            2: "said",
            3: "once",
            4: "",
            5: "",
            7: "",
            9: "after",
        }
        page = await ledger.page("7", after=3, before=5, limit=1, newest=False)
        assert page.messages[0].is_deleted and page.messages[0].reactions == []


@on_a_loop
async def test_an_edit_and_the_delete_of_an_older_message_may_share_a_call(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        outcomes = await ledger.append(
            [edit(at, "bob", "secret"), delete(at, "bob"), edit(at, "bob", "no"), react(at, "bob")]
        )
        unknown = ErrorCode.NO_SUCH_MESSAGE
        assert codes(outcomes) == [None, None, unknown, unknown]
        assert await contents(ledger, "7") == {2: "", 3: ""}


@on_a_loop
async def test_a_delete_takes_nothing_else_with_it(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        one, two = direct("alice", "bob", "one"), direct("alice", "bob", "two")
        at = await room(ledger)
        await append(ledger, one, two, edit(place(two, 2), "alice", "2"), edit(at, "bob", "edited"))
        await append(ledger, react(place(two, 2), "bob"), delete(place(one, 1), "alice"))
        assert await contents(ledger, CHAT) == {1: "", 2: "two", 3: "2"}
        assert await contents(ledger, "7") == {2: "said", 3: "edited"}
        page = await ledger.page(CHAT, after=1, before=None, limit=10, newest=False)
        assert page.messages[0].reactions == [("👍", "bob")]


@on_a_loop
async def test_a_post_that_is_repeated_after_its_delete_stays_deleted(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        said = direct("alice", "bob", "once", key="k")
        await append(ledger, said, delete(place(said, 1), "alice"))
        (repeat,) = await append(ledger, direct("alice", "bob", "once", key="k"))
        assert (repeat.seq, repeat.nonce, repeat.duplicate) == (1, said.nonce, True)
        assert await contents(ledger, CHAT) == {1: ""}


@on_a_loop
async def test_deletes_are_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        at = await room(ledger)
        await append(ledger, edit(at, "bob", "edited"), delete(at, "bob"))
    async with stores.open() as (_, _, ledger):
        assert await contents(ledger, "7") == {2: "", 3: ""}
        (again,) = await append(ledger, delete(at, "alice"))
        assert (again.seq, again.duplicate) == (4, True)
