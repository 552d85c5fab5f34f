"""chatd.services.tails"""

from pathlib import Path

from chatd.services.tails import KEPT_SECONDS, TAIL, TAIL_BYTES
from chatd.stores.ledger import Page
from tests.support.builders import Core, append, core, create, direct, post
from tests.support.running import on_a_loop

CHAT = "alice-bob"


async def page(
    here: Core, *, floor: int = 0, limit: int = TAIL, conversation_id: str = CHAT
) -> tuple[Page, bool]:
    """The newest page, and whether it was kept."""
    heads = await here.ledger.heads([conversation_id])
    found, head = here.metrics.tails_found, heads[conversation_id]
    got = await here.histories._tails.page(  # type: ignore[union-attr]
        conversation_id, floor=floor, limit=limit, head=head
    )
    return got, here.metrics.tails_found > found


def seqs(got: Page) -> list[int]:
    return [message.posted.seq for message in got.messages]


@on_a_loop
async def test_it_is_read_once_while_nothing_happens(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(3)))
        first, was_kept = await page(here)
        assert (seqs(first), first.has_more, first.head, was_kept) == ([1, 2, 3], False, 3, False)
        assert await page(here) == (first, True)


@on_a_loop
async def test_any_event_makes_it_be_read_again(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await append(here.ledger, direct("alice", "bob"))
        await page(here)
        await append(here.ledger, direct("bob", "alice"))
        got, was_kept = await page(here)
        assert (seqs(got), was_kept) == ([1, 2], False)


@on_a_loop
async def test_a_kept_page_is_cut_for_who_asks(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        posts = (post("7", "alice", f"{n}") for n in range(TAIL + 9))
        await append(here.ledger, create("7", "alice", ["bob"]), *posts)
        head = TAIL + 10
        await page(here, conversation_id="7")
        for floor, limit, expected, has_more in (
            (0, TAIL, range(head - TAIL + 1, head + 1), True),
            (0, 5, range(head - 4, head + 1), True),
            (head - 3, TAIL, range(head - 2, head + 1), False),
            (head - 3, 2, range(head - 1, head + 1), True),
            (head, TAIL, range(0), False),
        ):
            got, was_kept = await page(here, conversation_id="7", floor=floor, limit=limit)
            assert (seqs(got), got.has_more, was_kept) == (list(expected), has_more, True)
            alone = await here.ledger.page("7", after=floor, before=None, limit=limit, newest=True)
            assert got == alone, "as if it had not been kept"


@on_a_loop
async def test_what_is_large_or_asked_for_whole_is_not_kept(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await append(here.ledger, direct("alice", "bob", "x" * TAIL_BYTES))
        for limit in (TAIL, TAIL + 1, TAIL):
            got, was_kept = await page(here, limit=limit)
            assert (seqs(got), was_kept) == ([1], False)


@on_a_loop
async def test_it_is_kept_for_a_while_only(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await append(here.ledger, direct("alice", "bob"))
        await page(here)
        here.clock.advance(KEPT_SECONDS + 1)
        assert not (await page(here))[1]


@on_a_loop
async def test_what_another_version_kept_is_not_understood_and_read_again(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await append(here.ledger, direct("alice", "bob"))
        await here.cache.put(f"tail:{CHAT}", b"\x00something else", 60)
        got, was_kept = await page(here)
        assert (seqs(got), was_kept) == ([1], False)
        assert (await page(here))[1]
