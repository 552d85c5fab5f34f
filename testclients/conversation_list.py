"""Every conversation of a user, read page by page although some move to the front meanwhile. Pure.

Pages come newest first. A conversation with a new event moves to the front: if no page has named it
by then, none that follows will. So the front is read again, down to a conversation that is where
the first page had it: whatever has moved since stands above it. That may take pages too, so it goes
on until one page is enough. Limit: ROUNDS; who has escaped them all is found on the next connect.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from testclients.http import ConversationPage, ListedConversation

ROUNDS: Final = 10

Ask = Callable[[str | None], Awaitable[ConversationPage]]
"""Gives the page at a cursor, the first one at None."""


async def every_conversation(ask: Ask) -> list[ListedConversation]:
    """Each once, as it was found first; raises what `ask` does."""
    found: dict[str, ListedConversation] = {}
    heads: dict[str, int] = {}
    """By conversation, as the first page of the round before had them."""
    for _ in range(ROUNDS):
        page = first = await ask(None)
        while True:
            for listed in page.conversations:
                found.setdefault(listed.id, listed)
            is_in_place = any(heads.get(one.id) == one.last_seq for one in page.conversations)
            if is_in_place or page.next is None:
                break
            page = await ask(page.next)
        if page is first:
            break
        heads = {listed.id: listed.last_seq for listed in first.conversations}
    return list(found.values())
