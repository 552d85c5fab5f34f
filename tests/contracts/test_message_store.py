"""Port MessageStore: whatever is put, in whatever order and however often, comes out as it was
committed."""

import itertools
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.events import (
    EditBody,
    Event,
    EventKind,
    Message,
    MessageBody,
    decode_body,
)
from chatd.stores.message_store import MessageStore, Put
from protocol.limits import CONTENT_BYTES
from tests.contracts.conftest import MessagesBackend
from tests.support import loop
from tests.support.puts import Talk, became
from tests.support.running import on_a_loop

BORDER: Final = 5_000
"""Where a store may divide a conversation."""


async def events(store: MessageStore, talk: Talk) -> list[Event]:
    before = talk.head + 1
    return await store.read(talk.conversation_id, after=0, before=before, limit=1_000)


async def messages(store: MessageStore, talk: Talk, *, newest: bool = False) -> list[Message]:
    return await store.messages(
        talk.conversation_id, after=0, before=talk.head + 1, limit=1_000, newest=newest
    )


async def check(store: MessageStore, talk: Talk) -> None:
    """The store has the whole conversation."""
    expected_events, expected_messages = became(talk.puts)
    assert await events(store, talk) == expected_events
    assert await messages(store, talk) == expected_messages
    assert await messages(store, talk, newest=True) == expected_messages
    posts = await store.posts(talk.conversation_id, after=0, before=talk.head + 1, limit=1_000)
    assert posts == [
        (message.posted.seq, message.posted.sender)
        for message in reversed(expected_messages)
        if not message.is_deleted
    ]


def contents(found: Sequence[Event]) -> dict[int, str]:
    """What each says, by its number; those that are nothing said are left out."""
    bodies = {event.seq: decode_body(event.kind, event.body) for event in found}
    return {
        seq: body.content
        for seq, body in bodies.items()
        if isinstance(body, MessageBody | EditBody)
    }


def busy_talk(*, is_direct: bool = False, first: int = 1) -> Talk:
    """Some of everything."""
    talk = Talk(is_direct=is_direct, first=first)
    one, two = talk.post("one", key="k1"), talk.post("two")
    talk.join()
    talk.edit(one, "one more")
    talk.react(one, "🎉", by=1)
    talk.react(two, "👍")
    three = talk.post("three", key="k3")
    talk.edit(three, "three edited")
    talk.react(one, "👍")
    talk.react(one, "🎉", by=1, remove=True)
    talk.edit(one, "one at last")
    talk.edit(three, "three edited again")
    talk.react(three)
    talk.delete(three)
    talk.react(one, "🎉", by=1)
    talk.delete(two)
    talk.post("four")
    return talk


@pytest.mark.parametrize("is_direct", [False, True])
@on_a_loop
async def test_what_was_put_comes_out(messages_backend: MessagesBackend, is_direct: bool) -> None:
    talk = busy_talk(is_direct=is_direct)
    async with messages_backend.open() as store:
        await store.put(talk.puts)
        await check(store, talk)


@on_a_loop
async def test_what_was_put_is_there_for_others(messages_backend: MessagesBackend) -> None:
    talk = busy_talk()
    async with messages_backend.open() as store, messages_backend.open() as other:
        await store.put(talk.puts)
        await check(other, talk)


@on_a_loop
async def test_a_put_may_be_repeated(messages_backend: MessagesBackend) -> None:
    talk = busy_talk()
    async with messages_backend.open() as store:
        await store.put(talk.puts)
        await store.put(talk.puts)
        await store.put([*talk.puts[3:], *talk.puts[:8]])
        await check(store, talk)


@on_a_loop
async def test_one_by_one_backwards(messages_backend: MessagesBackend) -> None:
    talk = busy_talk()
    async with messages_backend.open() as store:
        for put in reversed(talk.puts):
            await store.put([put])
        await check(store, talk)


@on_a_loop
async def test_nothing_can_be_put(messages_backend: MessagesBackend) -> None:
    async with messages_backend.open() as store:
        await store.put([])


@pytest.mark.slow
@on_a_loop
async def test_many_conversations_in_one_put(messages_backend: MessagesBackend) -> None:
    talks = [busy_talk(is_direct=n % 2 == 0) for n in range(30)]
    async with messages_backend.open() as store:
        mixed = itertools.zip_longest(*(talk.puts for talk in talks))
        await store.put([put for puts in mixed for put in puts if put is not None])
        for talk in talks:
            await check(store, talk)


@on_a_loop
async def test_a_change_before_its_message(messages_backend: MessagesBackend) -> None:
    talk = Talk()
    at = talk.post("said")
    talk.edit(at, "edited")
    talk.react(at)
    said, *later = talk.puts
    async with messages_backend.open() as store:
        await store.put(later)
        # What is not there is missing, and its changes are events like others.
        assert [event.seq for event in await events(store, talk)] == [2, 3]
        assert await messages(store, talk) == await messages(store, talk, newest=True) == []
        found = await store.posts(talk.conversation_id, after=0, before=talk.head + 1, limit=9)
        assert found == []
        await store.put([said])
        await check(store, talk)


@on_a_loop
async def test_what_has_not_come_takes_no_place_on_a_page(
    messages_backend: MessagesBackend,
) -> None:
    talk = Talk()
    for at in [talk.post(f"{n}") for n in range(5)]:
        talk.react(at)
    last = talk.post("last")
    here, before = talk.conversation_id, talk.head + 1
    async with messages_backend.open() as store:
        await store.put(talk.puts[5:])
        found = await store.read(here, after=0, before=before, limit=2)
        assert [event.seq for event in found] == [6, 7]
        for newest in (False, True):
            page = await store.messages(here, after=0, before=before, limit=2, newest=newest)
            assert [message.posted.seq for message in page] == [last.seq]


@pytest.mark.parametrize("late", [{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}], ids=str)
@on_a_loop
async def test_what_comes_after_its_delete_says_nothing(
    messages_backend: MessagesBackend, late: set[int]
) -> None:
    """The message, its first edit, its last: each may be put after the delete."""
    talk = Talk(is_direct=True)
    at = talk.post("secret", key="k")
    talk.edit(at, "edited secret")
    talk.edit(at, "last secret")
    talk.delete(at)
    async with messages_backend.open() as store:
        await store.put([put for n, put in enumerate(talk.puts) if n not in late])
        there = [event.seq for event in await events(store, talk)]
        assert there == [n + 1 for n in range(4) if n not in late]
        assert contents(await events(store, talk)) == dict.fromkeys(there[:-1], "")
        for n in sorted(late, reverse=True):
            await store.put([talk.puts[n]])
        await check(store, talk)
        (message,) = await messages(store, talk)
        assert message.is_deleted and message.edit is not None
        assert contents([message.posted, message.edit]) == {1: "", 3: ""}


@on_a_loop
async def test_what_is_left_of_a_deleted_message(messages_backend: MessagesBackend) -> None:
    talk = Talk(is_direct=True)
    talk.delete(talk.post("secret", key="k"))
    async with messages_backend.open() as store:
        for puts in (talk.puts[1:], talk.puts):
            await store.put(puts)
        (message,) = await messages(store, talk)
        body = decode_body(message.posted.kind, message.posted.body)
        assert body == MessageBody(content="", to=talk.names[1], client_msg_id="k")
        assert (message.posted.sender, message.version) == (talk.names[0], 1)


@on_a_loop
async def test_a_message_that_was_blank_already_may_be_put_again(
    messages_backend: MessagesBackend,
) -> None:
    """As the ledger has it after the delete."""
    talk = Talk(is_direct=True)
    at = talk.post("secret", key="k")
    talk.edit(at, "edited secret")
    talk.delete(at)
    blank = [
        Put(event, put.target, put.emoji, put.remove)
        for event, put in zip(became(talk.puts)[0], talk.puts, strict=True)
    ]
    async with messages_backend.open() as store:
        for puts in (blank, talk.puts, blank):
            await store.put(puts)
            await check(store, talk)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
@on_a_loop
async def test_the_last_word_on_a_reaction_counts(
    messages_backend: MessagesBackend, order: tuple[int, ...]
) -> None:
    talk = Talk()
    at = talk.post()
    talk.react(at, "🎉")
    talk.react(at, "🎉", remove=True)
    talk.react(at, "👍", by=1)
    talk.react(at, "🎉")
    said, *reactions = talk.puts
    async with messages_backend.open() as store:
        await store.put([said])
        for n in order:
            await store.put([reactions[n]])
        (message,) = await messages(store, talk)
        alice, bob = talk.names
        assert message.reactions == [("👍", bob), ("🎉", alice)]


@pytest.mark.parametrize("is_late", [False, True])
@on_a_loop
async def test_a_reaction_that_was_taken_back_is_gone(
    messages_backend: MessagesBackend, is_late: bool
) -> None:
    talk = Talk()
    at = talk.post()
    talk.react(at)
    talk.react(at, by=1)
    talk.react(at, remove=True)
    async with messages_backend.open() as store:
        for put in reversed(talk.puts) if is_late else talk.puts:
            await store.put([put])
        (message,) = await messages(store, talk)
        assert message.reactions == [("👍", talk.names[1])]


@on_a_loop
async def test_reactions_are_in_the_order_in_which_they_came(
    messages_backend: MessagesBackend,
) -> None:
    talk = Talk()
    at = talk.post()
    shown = ["😀", "🇩🇪", "👨‍👩‍👧‍👦", "❤️", "👍🏽", "😀"]
    for n, emoji in enumerate(shown):
        talk.react(at, emoji, by=n // 5)
    async with messages_backend.open() as store:
        await store.put(talk.puts)
        (message,) = await messages(store, talk)
        assert [emoji for emoji, _ in message.reactions] == shown


@pytest.mark.parametrize("first", [BORDER - 8, BORDER - 2, BORDER - 1, BORDER, BORDER + 1])
@on_a_loop
async def test_a_conversation_across_a_border(
    messages_backend: MessagesBackend, first: int
) -> None:
    talk = busy_talk(first=first)
    async with messages_backend.open() as store:
        for put in reversed(talk.puts):
            await store.put([put])
        await check(store, talk)


@pytest.mark.slow
@on_a_loop
async def test_ranges_exclude_their_ends_and_limits_keep_one_end(
    messages_backend: MessagesBackend,
) -> None:
    talk = Talk(first=BORDER - 5)
    for n in range(10):
        talk.post(f"{n}")
    here = talk.conversation_id
    numbers = [put.event.seq for put in talk.puts]
    ranges = itertools.product(
        [0, *numbers[::3], BORDER - 1, BORDER], [*numbers[::3], BORDER, 3 * BORDER], [1, 2, 9]
    )
    async with messages_backend.open() as store:
        await store.put(talk.puts)
        for after, before, limit in ranges:
            within = [seq for seq in numbers if after < seq < before]
            found = await store.read(here, after=after, before=before, limit=limit)
            assert [event.seq for event in found] == within[:limit]
            lowest, highest = [
                await store.messages(here, after=after, before=before, limit=limit, newest=newest)
                for newest in (False, True)
            ]
            assert [message.posted.seq for message in lowest] == within[:limit]
            assert [message.posted.seq for message in highest] == within[-limit:]
            posts = await store.posts(here, after=after, before=before, limit=limit)
            assert posts == [(seq, talk.names[0]) for seq in within[-limit:][::-1]]


@on_a_loop
async def test_pages_count_what_they_are_of(messages_backend: MessagesBackend) -> None:
    """A limit is of messages, or of those that were not deleted, however much is between."""
    talk = Talk(first=BORDER - 20)
    at = [talk.post(f"{n}") for n in range(10)]
    for n in range(10):
        talk.react(at[n])
    for n in range(3, 9):
        talk.delete(at[n])
    last = talk.post("last")
    here, before = talk.conversation_id, talk.head + 1
    numbers = [place.seq for place in at]
    async with messages_backend.open() as store:
        await store.put(talk.puts)
        page = await store.messages(here, after=0, before=before, limit=3, newest=True)
        assert [message.posted.seq for message in page] == [*numbers[-2:], last.seq]
        page = await store.messages(here, after=numbers[8], before=before, limit=2, newest=False)
        assert [message.posted.seq for message in page] == [numbers[9], last.seq]
        posts = await store.posts(here, after=0, before=before, limit=4)
        assert [seq for seq, _ in posts] == [last.seq, numbers[9], numbers[2], numbers[1]]
        posts = await store.posts(here, after=numbers[3], before=numbers[9], limit=4)
        assert posts == []


@on_a_loop
async def test_holes_are_left_out(messages_backend: MessagesBackend) -> None:
    talk = Talk(first=BORDER - 3)
    for n in range(6):
        talk.post(f"{n}")
    put = [talk.puts[n] for n in (0, 2, 5)]
    async with messages_backend.open() as store:
        await store.put(put)
        seqs = [one.event.seq for one in put]
        assert [event.seq for event in await events(store, talk)] == seqs
        assert [message.posted.seq for message in await messages(store, talk)] == seqs


@on_a_loop
async def test_a_conversation_that_is_not_there(messages_backend: MessagesBackend) -> None:
    async with messages_backend.open() as store:
        assert await store.read("nowhere", after=0, before=20_000, limit=9) == []
        for newest in (False, True):
            found = await store.messages("nowhere", after=3, before=9, limit=9, newest=newest)
            assert found == []
        assert await store.posts("nowhere", after=0, before=1, limit=9) == []


@on_a_loop
async def test_an_empty_range_has_nothing(messages_backend: MessagesBackend) -> None:
    talk = busy_talk()
    here = talk.conversation_id
    async with messages_backend.open() as store:
        await store.put(talk.puts)
        for after, before in ((1, 2), (5, 5), (9, 3), (-1, 1), (talk.head, talk.head + 9)):
            assert await store.read(here, after=after, before=before, limit=9) == []
            found = await store.messages(here, after=after, before=before, limit=9, newest=True)
            assert found == []
            assert await store.posts(here, after=after, before=before, limit=9) == []


@on_a_loop
async def test_large_bodies(messages_backend: MessagesBackend) -> None:
    talk = Talk(first=BORDER - 3)
    for n in range(6):
        at = talk.post(f"{n}" * CONTENT_BYTES)
        talk.edit(at, "ü" * (CONTENT_BYTES // 2))
    talk.delete(at)
    others = [Talk() for _ in range(12)]
    for n, other in enumerate(others):
        other.post("x" * (1_200 * n))
    async with messages_backend.open() as store:
        puts = [*talk.puts, *(put for other in others for put in other.puts)]
        await store.put(puts)
        for one in (talk, *others):
            await check(store, one)


@on_a_loop
async def test_hundreds_of_changes_of_a_message(messages_backend: MessagesBackend) -> None:
    talk = Talk()
    at = talk.post("secret")
    for n in range(300):
        talk.edit(at, f"secret {n}")
    talk.delete(at)
    async with messages_backend.open() as store:
        await store.put(talk.puts[150:])
        await store.put(talk.puts[:150])
        await check(store, talk)
        assert set(contents(await events(store, talk)).values()) == {""}


ACTIONS: Final = ("post", "join", "edit", "react", "take back", "delete")


@st.composite
def histories(draw: st.DrawFn) -> Talk:
    """A conversation as the rules of the ledger allow it."""
    talk = Talk(is_direct=draw(st.booleans()), first=draw(st.sampled_from([1, BORDER - 3])))
    there = [talk.post("first", key="k")]
    reactions: set[tuple[int, int, str]] = set()
    for action in draw(st.lists(st.sampled_from(ACTIONS), max_size=12)):
        if action == "post":
            there.append(talk.post(f"said {talk.head}"))
        elif action == "join":
            talk.join()
        elif there:
            at = draw(st.sampled_from(there))
            if action == "edit":
                talk.edit(at, f"edited {talk.head}")
            elif action == "delete":
                there.remove(at)
                talk.delete(at)
            else:
                by, emoji = draw(st.integers(0, 1)), draw(st.sampled_from(["👍", "🎉"]))
                reaction = at.seq, by, emoji
                if (reaction in reactions) == (action == "take back"):
                    reactions ^= {reaction}
                    talk.react(at, emoji, by=by, remove=action == "take back")
    return talk


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[Talk, list[list[Put]]]:
    """A conversation, and calls that put all of it at least once, in any order."""
    talk = draw(histories())
    again = draw(st.lists(st.sampled_from(talk.puts), max_size=4))
    order = draw(st.permutations([*talk.puts, *again]))
    ends = sorted(draw(st.sets(st.integers(1, len(order)), max_size=5)) | {len(order)})
    return talk, [order[start:end] for start, end in itertools.pairwise([0, *ends])]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(plan=shuffled())
def test_the_order_of_puts_makes_no_difference(
    messages_backend: MessagesBackend, plan: tuple[Talk, list[list[Put]]]
) -> None:
    talk, calls = plan

    async def main() -> None:
        async with messages_backend.open() as store:
            for call in calls:
                await store.put(call)
            await check(store, talk)

    loop.run(main())


def test_every_kind_of_event_was_put() -> None:
    """Or could be: those that are left come out like a join."""
    kinds = {put.event.kind for direct in (0, 1) for put in busy_talk(is_direct=bool(direct)).puts}
    as_a_join = {
        EventKind.GROUP_CREATED,
        EventKind.MEMBER_LEFT,
        EventKind.ROLE_CHANGED,
        EventKind.GROUP_UPDATED,
    }
    assert kinds | as_a_join == set(EventKind)
