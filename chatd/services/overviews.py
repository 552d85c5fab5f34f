"""Conversations as a user's list shows them: what the store knows of each, with the tail of
its log."""

from typing import NamedTuple

from chatd.stores.conversation_store import ConversationStore, Membership, Summary
from chatd.stores.ledger import Ledger, Tail, Wanted
from protocol import limits


class Overview(NamedTuple):
    """A conversation of one moment: its head."""

    summary: Summary
    tail: Tail

    @property
    def membership(self) -> Membership:
        return self.summary.membership

    @property
    def unread(self) -> int | str:
        """The count as clients are told it."""
        unread = self.tail.unread
        return f"{limits.UNREAD_CAP}+" if unread > limits.UNREAD_CAP else unread


class Overviews:
    """May raise BackendError."""

    def __init__(self, store: ConversationStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    async def newest(
        self, username: str, *, limit: int, after: tuple[int, str] | None = None
    ) -> list[Overview]:
        """The user's conversations, as `ConversationStore.summaries`."""
        summaries = await self._store.summaries(username, limit=limit, after=after)
        return await self._with_tails(username, summaries)

    async def one(self, conversation_id: str, username: str) -> Overview | None:
        """One of the user's conversations; None when it is not there or the user is not in it."""
        summary = await self._store.summary(conversation_id, username)
        if summary is None:
            return None
        (overview,) = await self._with_tails(username, [summary])
        return overview

    async def _with_tails(self, username: str, summaries: list[Summary]) -> list[Overview]:
        if not summaries:
            return []
        tails = await self._ledger.tails(
            username, [_wanted(summary, summary.membership) for summary in summaries]
        )
        return [Overview(*both) for both in zip(summaries, tails, strict=True)]


def _wanted(summary: Summary, membership: Membership) -> Wanted:
    return Wanted(
        membership.conversation_id,
        summary.head,
        membership.floor,
        membership.read,
        limits.UNREAD_CAP,
    )
