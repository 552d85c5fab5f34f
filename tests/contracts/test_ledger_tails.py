"""Port Ledger: what a list of conversations shows of the messages of each."""

from chatd.events import MessageBody, decode_body
from chatd.stores.ledger import LAST_MESSAGE_WITHIN, Ledger, Tail, Wanted
from tests.contracts.conftest import StoresBackend, on_every_ledger
from tests.support.builders import add_users, append, create, direct, join, post
from tests.support.changes import delete, edit, place, react
from tests.support.running import on_a_loop

pytestmark = on_every_ledger

CHAT = "alice-bob"


async def tail(
    ledger: Ledger,
    username: str,
    conversation_id: str = "7",
    *,
    head: int,
    floor: int = 0,
    read: int = 0,
    unread_cap: int = 10,
) -> Tail:
    wanted = Wanted(conversation_id, head, floor, read, unread_cap)
    (found,) = await ledger.tails(username, [wanted])
    return found


def last_seq(found: Tail) -> int | None:
    return None if found.last_message is None else found.last_message.posted.seq


@on_a_loop
async def test_unread_are_messages_of_others_after_the_read_cursor(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger,
            create("7", "alice", ["bob"], is_open=True),
            post("7", "alice"),
            post("7", "bob"),
            join("7", "carol"),
            post("7", "alice"),
            post("7", "carol"),
        )
        for read, expected in ((0, 3), (1, 3), (2, 2), (4, 2), (5, 1), (6, 0), (9, 0)):
            assert (await tail(ledger, "bob", head=6, read=read)).unread == expected
        assert (await tail(ledger, "alice", head=6)).unread == 2
        assert (await tail(ledger, "nobody", head=6)).unread == 4


@on_a_loop
async def test_nothing_is_unread_that_one_may_not_read(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, *(direct("alice", "bob") for _ in range(6)))
        for floor in (0, 2, 4, 6):
            found = await tail(ledger, "bob", CHAT, head=6, floor=floor, read=2)
            assert found.unread == 6 - max(floor, 2)


@on_a_loop
async def test_unread_is_counted_up_to_one_above_the_cap(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, *(direct("alice", "bob") for _ in range(10)))
        await append(ledger, *(direct("bob", "alice") for _ in range(9)))
        for cap in (0, 1, 3, 8, 9, 10, 11, 99):
            found = await tail(ledger, "bob", CHAT, head=19, unread_cap=cap)
            assert found.unread == min(10, cap + 1)


@on_a_loop
async def test_what_was_deleted_is_not_unread(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        said = [direct("alice", "bob", f"{n}") for n in range(1, 5)]
        await append(ledger, *said)
        await append(ledger, *(delete(place(said[n - 1], n), "alice") for n in (1, 4)))
        assert (await tail(ledger, "bob", CHAT, head=6)).unread == 2
        assert (await tail(ledger, "bob", CHAT, head=6, read=2)).unread == 1
        assert (await tail(ledger, "bob", CHAT, head=6, unread_cap=1)).unread == 2


@on_a_loop
async def test_a_tail_is_of_the_moment_of_its_head(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        said = [direct("alice", "bob", f"{n}") for n in range(1, 5)]
        await append(ledger, *said)
        await append(ledger, *(delete(place(said[n - 1], n), "alice") for n in (1, 4, 2)))
        await append(ledger, direct("bob", "alice"), direct("alice", "bob"))
        # Deleted by 5 is the first, by 6 the fourth, by 7 the second; 8 and 9 are posts.
        unread = [0, 1, 2, 3, 4, 3, 2, 1, 1, 2]
        last = [None, 1, 2, 3, 4, 4, 4, 4, 8, 9]
        found = [await tail(ledger, "bob", CHAT, head=head) for head in range(10)]
        assert [one.unread for one in found] == unread
        assert [last_seq(one) for one in found] == last


@on_a_loop
async def test_the_last_message_is_the_newest_that_one_may_read(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob", "carol")
        newest = post("7", "alice", "newest")
        await append(
            ledger,
            create("7", "alice", ["bob"], is_open=True),
            post("7", "alice", "first"),
            newest,
            join("7", "carol"),
        )
        found = await tail(ledger, "bob", head=4, read=4)
        assert found.unread == 0 and found.last_message is not None
        posted = found.last_message.posted
        body = decode_body(posted.kind, posted.body)
        assert isinstance(body, MessageBody)
        assert (posted.conversation_id, posted.seq, posted.nonce) == ("7", 3, newest.nonce)
        assert (posted.sender, body.content) == ("alice", "newest")
        assert last_seq(await tail(ledger, "carol", head=4, floor=3)) is None
        assert last_seq(await tail(ledger, "carol", head=4, floor=2)) == 3
        assert last_seq(await tail(ledger, "bob", head=2)) == 2
        assert last_seq(await tail(ledger, "bob", head=1)) is None


@on_a_loop
async def test_the_last_message_is_told_with_what_became_of_it(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        said = direct("alice", "bob", "one")
        at = place(said, 1)
        await append(ledger, said, edit(at, "alice", "two"), react(at, "bob"))
        found = await tail(ledger, "bob", CHAT, head=3)
        page = await ledger.page(CHAT, after=0, before=None, limit=1, newest=True)
        assert found == Tail(1, page.messages[0])
        assert found.last_message is not None
        assert (found.last_message.version, found.last_message.reactions) == (2, [("👍", "bob")])
        await append(ledger, delete(at, "alice"))
        found = await tail(ledger, "bob", CHAT, head=4)
        assert found.unread == 0
        assert found.last_message is not None and found.last_message.is_deleted


@on_a_loop
async def test_the_last_message_is_looked_for_among_so_many_events(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        said = direct("alice", "bob")
        at = place(said, 1)
        await append(ledger, said)
        await append(ledger, *(edit(at, "alice", f"{n}") for n in range(LAST_MESSAGE_WITHIN)))
        for head, expected in ((LAST_MESSAGE_WITHIN, 1), (LAST_MESSAGE_WITHIN + 1, None)):
            found = await tail(ledger, "bob", CHAT, head=head)
            assert (found.unread, last_seq(found)) == (1, expected)


@on_a_loop
async def test_tails_are_in_the_order_of_what_was_wanted(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger,
            direct("alice", "bob"),
            create("7", "alice", ["bob"]),
            *(direct("carol", "bob") for _ in range(3)),
            post("7", "alice"),
            post("7", "bob"),
        )
        wanted = [
            Wanted("bob-carol", 3, 0, 0, 1),
            Wanted("7", 3, 0, 0, 10),
            Wanted("nowhere", 0, 0, 0, 10),
            Wanted(CHAT, 1, 0, 1, 10),
            Wanted("7", 2, 0, 1, 10),
            Wanted("bob-carol", 3, 0, 1, 10),
        ]
        found = await ledger.tails("bob", wanted)
        assert [one.unread for one in found] == [2, 1, 0, 0, 1, 2]
        assert [last_seq(one) for one in found] == [3, 3, None, 1, 2, 3]
        assert await ledger.tails("bob", []) == []
