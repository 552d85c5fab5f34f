"""Every name of the store into a filter, a little at a time.

The loop is held up for about a millisecond at once; a million names take about 20 seconds, and half
of a core.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from chatd.fabric.name_filter import of_user
from chatd.fabric.name_layers import Layers
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.user_store import UserStore

PAGE: Final = 1_000
_SLICE: Final = 100
_PAUSE_SECONDS: Final = 0.01


async def add_all(
    layers: Layers,
    users: UserStore,
    conversations: ConversationStore,
    page_done: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Add the names of all accounts and groups that were committed before the call.

    Raises:
        BackendError: the store failed.
    """
    async for names in _pages(users, conversations):
        for start in range(0, len(names), _SLICE):
            for name in names[start : start + _SLICE]:
                layers.add(name)
            await asyncio.sleep(0)
        if page_done is not None:
            await page_done()
        if len(names) == PAGE:
            await asyncio.sleep(_PAUSE_SECONDS)


async def _pages(users: UserStore, conversations: ConversationStore) -> AsyncIterator[list[str]]:
    after, page = "", await users.usernames("", PAGE)
    while page:
        yield [of_user(username) for username in page]
        after = page[-1]
        page = await users.usernames(after, PAGE) if len(page) == PAGE else []
    page = await conversations.group_ids("", PAGE)
    while page:
        yield page
        after = page[-1]
        page = await conversations.group_ids(after, PAGE) if len(page) == PAGE else []
