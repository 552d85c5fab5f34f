"""The newest pages of hot conversations, kept where every node finds them.

A page is kept with the head that it was read at, and is good for as long as that is the head: every
change of a message is an event. So nothing is ever told to forget it. Limits: `TAIL_BYTES` of a
page, larger ones are not kept; `KEPT_SECONDS`.
"""

from typing import Final

import msgspec

from chatd.fabric.cache import Cache
from chatd.metrics import Metrics
from chatd.stores.ledger import Ledger, Page

TAIL: Final = 50
"""Messages of a page that is kept: what histories ask for unless told otherwise."""
TAIL_BYTES: Final = 64 * 1024
KEPT_SECONDS: Final = 60.0
_KEY: Final = "tail:"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Page).decode


class Tails:
    def __init__(self, cache: Cache, ledger: Ledger, metrics: Metrics) -> None:
        self._cache = cache
        self._ledger = ledger
        self._metrics = metrics

    async def page(self, conversation_id: str, *, floor: int, limit: int, head: int) -> Page:
        """The newest messages above `floor`, at most `limit`; `head` is the conversation's
        last number now.

        Raises:
            BackendError: the store failed.
        """
        kept = await self._kept(conversation_id, head) if limit <= TAIL else None
        if kept is not None:
            self._metrics.tails_found += 1
            return _cut(kept, floor, limit)
        if limit > TAIL or (floor and head - floor < TAIL):
            # Larger than what is kept, or there is little that this user may read.
            return await self._ledger.page(
                conversation_id, after=floor, before=None, limit=limit, newest=True
            )
        self._metrics.tails_missed += 1
        page = await self._ledger.page(
            conversation_id, after=0, before=None, limit=TAIL, newest=True
        )
        await self._keep(conversation_id, page)
        return _cut(page, floor, limit)

    async def _kept(self, conversation_id: str, head: int) -> Page | None:
        value = await self._cache.get(_KEY + conversation_id)
        if value is None:
            return None
        try:
            page = _decode(value)
        except msgspec.DecodeError:
            # Another version's.
            return None
        return page if page.head >= head else None

    async def _keep(self, conversation_id: str, page: Page) -> None:
        value = _encode(page)
        if len(value) <= TAIL_BYTES:
            await self._cache.put(_KEY + conversation_id, value, KEPT_SECONDS)


def _cut(page: Page, floor: int, limit: int) -> Page:
    visible = [message for message in page.messages if message.posted.seq > floor]
    has_more = len(visible) > limit or (page.has_more and len(visible) == len(page.messages))
    return Page(visible[-limit:], has_more, page.head)
