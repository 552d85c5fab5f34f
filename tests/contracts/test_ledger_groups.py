"""Port Ledger: what admins do to groups: roles, names, who is put in and who is taken out."""

from chatd.events import EventKind, GroupUpdatedBody, RoleBody, decode_body
from chatd.stores.conversation_store import ConversationStore, Summary
from chatd.stores.ledger import Entry, Ledger, Outcome
from protocol.errors import ErrorCode
from protocol.model import Role
from tests.contracts.conftest import StoresBackend, on_every_ledger
from tests.support.builders import add_users, append, create, direct, join, leave, post
from tests.support.changes import add, change_role, codes, remove, seqs, update
from tests.support.running import on_a_loop

pytestmark = on_every_ledger

CHAT = "alice-bob"
USERS = ("alice", "bob", "carol", "dave")
ADMIN, MEMBER = Role.ADMIN, Role.MEMBER


async def roles(conversations: ConversationStore) -> dict[str, Role]:
    members = await conversations.members("7", after="", limit=100)
    return {member.username: member.role for member in members}


async def group(conversations: ConversationStore, username: str = "alice") -> Summary:
    summary = await conversations.summary("7", username)
    assert summary is not None
    return summary


async def refused(ledger: Ledger, *entries: Entry) -> list[ErrorCode | None]:
    """The codes of entries of which none may be stored."""
    before = await ledger.heads(["7"])
    outcomes = await ledger.append(entries)
    assert await ledger.heads(["7"]) == before
    return codes(outcomes)


# Roles.


@on_a_loop
async def test_an_admin_gives_roles(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob", "carol"]))
        outcomes = await append(
            ledger,
            change_role("7", "alice", "bob", ADMIN),
            change_role("7", "bob", "carol", ADMIN),
            change_role("7", "bob", "alice", MEMBER),
        )
        assert seqs(outcomes) == [2, 3, 4]
        assert await roles(conversations) == {"alice": MEMBER, "bob": ADMIN, "carol": ADMIN}
        events = await ledger.read("7", after=1, limit=10)
        assert {event.kind for event in events} == {EventKind.ROLE_CHANGED}
        assert [decode_body(event.kind, event.body) for event in events] == [
            RoleBody("bob", ADMIN),
            RoleBody("carol", ADMIN),
            RoleBody("alice", MEMBER),
        ]


@on_a_loop
async def test_only_admins_give_roles_and_only_to_members(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]), direct("alice", "bob"))
        found = await refused(
            ledger,
            change_role("7", "bob", "bob", ADMIN),
            change_role("7", "carol", "carol", ADMIN),
            change_role("7", "alice", "carol", ADMIN),
            change_role("8", "alice", "bob", ADMIN),
            change_role(CHAT, "alice", "alice", ADMIN),
        )
        assert found == [ErrorCode.FORBIDDEN, *[ErrorCode.NOT_A_MEMBER] * 4]
        assert await roles(conversations) == {"alice": ADMIN, "bob": MEMBER}


@on_a_loop
async def test_a_role_that_one_has_is_answered_as_a_duplicate(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]))
        outcomes = await append(
            ledger,
            change_role("7", "alice", "bob", MEMBER),
            change_role("7", "alice", "alice", ADMIN),
            change_role("7", "alice", "bob", ADMIN),
            change_role("7", "alice", "bob", ADMIN),
        )
        assert [outcome.duplicate for outcome in outcomes] == [True, True, False, True]
        assert await ledger.heads(["7"]) == {"7": 2}


@on_a_loop
async def test_a_group_keeps_an_admin(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob", "carol"]))
        found = await refused(
            ledger, change_role("7", "alice", "alice", MEMBER), leave("7", "alice")
        )
        assert found == [ErrorCode.LAST_ADMIN] * 2
        outcomes = await ledger.append(
            [
                change_role("7", "alice", "bob", ADMIN),
                change_role("7", "alice", "alice", MEMBER),
                change_role("7", "bob", "bob", MEMBER),
                change_role("7", "bob", "carol", ADMIN),
                leave("7", "bob"),
                leave("7", "carol"),
                leave("7", "alice"),
                leave("7", "carol"),
            ]
        )
        last = ErrorCode.LAST_ADMIN
        assert codes(outcomes) == [None, None, last, None, None, last, None, None]
        assert await roles(conversations) == {}


@on_a_loop
async def test_who_comes_into_an_empty_group_is_its_admin(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", is_open=True), leave("7", "alice"))
        await append(ledger, join("7", "bob"), join("7", "carol"))
        assert await roles(conversations) == {"bob": ADMIN, "carol": MEMBER}


# Names.


@on_a_loop
async def test_what_is_not_named_stays_as_it_is(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]))
        steps = [
            (update("7", "alice", topic="news"), ("group 7", "news", None)),
            (update("7", "alice", name="renamed"), ("renamed", "news", None)),
            (update("7", "alice", avatar_url="http://a/b"), ("renamed", "news", "http://a/b")),
            (update("7", "alice", topic="", name="again"), ("again", None, "http://a/b")),
            (update("7", "alice", avatar_url=""), ("again", None, None)),
        ]
        for seq, (entry, shown) in enumerate(steps, 2):
            (outcome,) = await append(ledger, entry)
            assert outcome.seq == seq
            now = await group(conversations, "bob")
            assert (now.name, now.topic, now.avatar_url) == shown
        event = (await ledger.read("7", after=4, limit=1))[0]
        assert event.kind is EventKind.GROUP_UPDATED
        assert decode_body(event.kind, event.body) == GroupUpdatedBody(name="again", topic="")


@on_a_loop
async def test_only_admins_rename(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]), direct("alice", "bob"))
        found = await refused(
            ledger,
            update("7", "bob", name="his"),
            update("7", "carol", name="hers"),
            update("8", "alice", name="none"),
            update(CHAT, "alice", name="chat"),
        )
        assert found == [ErrorCode.FORBIDDEN, *[ErrorCode.NOT_A_MEMBER] * 3]
        assert (await group(conversations)).name == "group 7"


# Who is put in.


@on_a_loop
async def test_an_admin_puts_somebody_in(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice"), post("7", "alice"))
        outcomes = await append(ledger, add("7", "alice", "bob"), post("7", "bob"))
        assert seqs(outcomes) == [3, 4]
        bob = await conversations.membership("7", "bob")
        assert bob is not None
        assert (bob.role, bob.joined_seq, bob.floor) == (MEMBER, 3, 2)
        assert (await group(conversations)).member_count == 2
        event = (await ledger.read("7", after=2, limit=1))[0]
        assert (event.kind, event.sender) == (EventKind.MEMBER_JOINED, "alice")


@on_a_loop
async def test_only_admins_put_somebody_in_and_only_who_is_there(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"], is_open=True), direct("alice", "bob"))
        found = await refused(
            ledger,
            add("7", "bob", "carol"),
            add("7", "carol", "dave"),
            add("7", "alice", "nobody"),
            add("7", "alice", "bob"),
            join("7", "alice"),
            add(CHAT, "alice", "carol"),
            add("8", "alice", "carol"),
        )
        assert found == [
            ErrorCode.FORBIDDEN,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NO_SUCH_USER,
            ErrorCode.ALREADY_A_MEMBER,
            ErrorCode.ALREADY_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
        ]
        assert await roles(conversations) == {"alice": ADMIN, "bob": MEMBER}


# Who is taken out.


@on_a_loop
async def test_an_admin_takes_somebody_out(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob", "carol"]), post("7", "bob"))
        outcomes = await ledger.append(
            [remove("7", "alice", "bob"), post("7", "bob"), post("7", "carol")]
        )
        assert codes(outcomes) == [None, ErrorCode.NOT_A_MEMBER, None]
        assert seqs(outcomes) == [3, 0, 4]
        assert await conversations.membership("7", "bob") is None
        assert (await group(conversations)).member_count == 2
        event = (await ledger.read("7", after=2, limit=1))[0]
        assert (event.kind, event.sender) == (EventKind.MEMBER_LEFT, "alice")


@on_a_loop
async def test_only_admins_take_somebody_out(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob", "carol"]), direct("alice", "bob"))
        found = await refused(
            ledger,
            remove("7", "bob", "carol"),
            remove("7", "bob", "alice"),
            remove("7", "dave", "carol"),
            remove("7", "alice", "dave"),
            remove("7", "alice", "nobody"),
            remove("7", "alice", "alice"),
            remove(CHAT, "alice", "bob"),
        )
        assert found == [
            ErrorCode.FORBIDDEN,
            ErrorCode.FORBIDDEN,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.LAST_ADMIN,
            ErrorCode.NOT_A_MEMBER,
        ]
        assert len(await roles(conversations)) == 3


@on_a_loop
async def test_one_admin_takes_another_out(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]), change_role("7", "alice", "bob", ADMIN))
        outcomes = await ledger.append(
            [remove("7", "bob", "alice"), remove("7", "alice", "bob"), leave("7", "bob")]
        )
        assert codes(outcomes) == [None, ErrorCode.NOT_A_MEMBER, None]
        assert await roles(conversations) == {}


@on_a_loop
async def test_changes_of_a_group_may_build_on_each_other_in_a_call(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        outcomes: list[Outcome] = await ledger.append(
            [
                create("7", "alice"),
                add("7", "alice", "bob"),
                change_role("7", "alice", "bob", ADMIN),
                add("7", "bob", "carol"),
                remove("7", "bob", "alice"),
                update("7", "alice", name="hers"),
                update("7", "bob", name="his"),
                change_role("7", "carol", "carol", ADMIN),
                change_role("7", "bob", "carol", ADMIN),
                leave("7", "bob"),
            ]
        )
        assert codes(outcomes) == [
            None,
            None,
            None,
            None,
            None,
            ErrorCode.NOT_A_MEMBER,
            None,
            ErrorCode.FORBIDDEN,
            None,
            None,
        ]
        assert await ledger.heads(["7"]) == {"7": 8}
        assert await roles(conversations) == {"carol": ADMIN}
    async with stores.open() as (_, conversations, ledger):
        now = await group(conversations, "carol")
        assert (now.name, now.member_count, now.membership.role) == ("his", 1, ADMIN)
