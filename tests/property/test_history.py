"""Histories: pages, put together, are the whole, whatever their size and direction."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.stores.ledger import Entry
from protocol.model import HistoryVisibility
from protocol.pushes import GroupChatHistory
from protocol.requests import GetGroupChatHistory
from tests.support.builders import Core, core, create, join, leave, post, principal

# What happens to a group: a message, or bob's coming and going, which no history shows.
happenings = st.lists(st.sampled_from(["post", "post", "move"]), max_size=30)


class Reading:
    """A core that lives as long as the module, and a loop to use it on."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._core = core(folder, "alice", "bob", "carol")
        self._group_ids = itertools.count(1)
        self.here: Core = runner.run(self._core.__aenter__())

    def close(self) -> None:
        self._runner.run(self._core.__aexit__(None, None, None))

    def pages(
        self,
        happened: list[str],
        limits: list[int],
        *,
        upwards: bool,
        carol_joins_at: int,
        history: HistoryVisibility,
    ) -> tuple[list[int], list[list[int]]]:
        """The numbers that carol may read, and the pages that she gets, in the order of asking."""
        return self._runner.run(self._pages(happened, limits, upwards, carol_joins_at, history))

    async def _pages(
        self,
        happened: list[str],
        limits: list[int],
        upwards: bool,
        carol_joins_at: int,
        history: HistoryVisibility,
    ) -> tuple[list[int], list[list[int]]]:
        group_id = f"{next(self._group_ids)}"
        entries: list[Entry] = [create(group_id, "alice", is_open=True, history=history)]
        bob_is_in = False
        for at, what in enumerate(happened):
            if at == carol_joins_at:
                entries.append(join(group_id, "carol"))
            if what == "post":
                entries.append(post(group_id, "alice", f"{at}"))
            else:
                entries.append((leave if bob_is_in else join)(group_id, "bob"))
                bob_is_in = not bob_is_in
        if carol_joins_at >= len(happened):
            entries.append(join(group_id, "carol"))
        await self.here.submit(*entries)
        membership = await self.here.store.membership(group_id, "carol")
        assert membership is not None
        messages = [
            seq
            for seq, entry in enumerate(entries, 1)
            if hasattr(entry.body, "content") and seq > membership.floor
        ]
        return messages, await self._walk(group_id, limits, upwards, len(entries))

    async def _walk(
        self, group_id: str, limits: list[int], upwards: bool, head: int
    ) -> list[list[int]]:
        pages: list[list[int]] = []
        cursor: int | None = 0 if upwards else None
        sizes = itertools.cycle(limits)
        while True:
            limit = next(sizes)
            page = await self._page(group_id, cursor, limit, upwards)
            seqs = [message.seq for message in page.messages]
            assert page.head_seq == head
            assert len(seqs) <= limit
            pages.append(seqs)
            if not page.has_more:
                return pages
            assert seqs, "a page that has more holds a message to go on from"
            cursor = seqs[-1] if upwards else seqs[0]

    async def _page(
        self, group_id: str, cursor: int | None, limit: int, upwards: bool
    ) -> GroupChatHistory:
        request = (
            GetGroupChatHistory(group_id=group_id, after=cursor, limit=limit)
            if upwards
            else GetGroupChatHistory(group_id=group_id, before=cursor, limit=limit)
        )
        return await self.here.histories.group(principal("carol"), request)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        made = Reading(tmp_path_factory.mktemp("data"), runner)
        stack.callback(made.close)
        yield made


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    happened=happenings,
    limits=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    upwards=st.booleans(),
    carol_joins_at=st.integers(0, 30),
    history=st.sampled_from(HistoryVisibility),
)
def test_pages_put_together_are_the_whole(
    reading: Reading,
    happened: list[str],
    limits: list[int],
    upwards: bool,
    carol_joins_at: int,
    history: HistoryVisibility,
) -> None:
    messages, pages = reading.pages(
        happened, limits, upwards=upwards, carol_joins_at=carol_joins_at, history=history
    )
    ascending = pages if upwards else pages[::-1]
    assert [seq for page in ascending for seq in page] == messages
