"""Pages of messages, by cursor."""

from typing import Final, NamedTuple

from chatd import ids
from chatd.auth import Principal
from chatd.delivery.render import history_message
from chatd.errors import invalid_field, no_such_user, not_a_member
from chatd.events import MESSAGES, Event
from chatd.services.accounts import Accounts
from chatd.services.presence import Presence
from chatd.services.receipts import Receipts
from chatd.stores.conversation_store import ConversationKind, ConversationStore, Membership, Peer
from chatd.stores.ledger import Ledger
from protocol.limits import HISTORY_PAGE
from protocol.model import HistoryMessage, PresenceStatus
from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from protocol.requests import GetGroupChatHistory, GetOneToOneHistory, History

_READS_A_PAGE: Final = 4
"""After so many reads a page that is not empty is answered short."""


class _Page(NamedTuple):
    messages: list[HistoryMessage]
    has_more: bool
    head: int


class Histories:
    def __init__(
        self,
        accounts: Accounts,
        conversations: ConversationStore,
        ledger: Ledger,
        presence: Presence,
        receipts: Receipts,
    ) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._ledger = ledger
        self._presence = presence
        self._receipts = receipts

    async def direct(
        self, principal: Principal, request: GetOneToOneHistory
    ) -> OneToOneChatHistory:
        """A page of the direct conversation with `to`, or of `chatId`.

        Raises:
            ChatError: INVALID_FIELD, NO_SUCH_USER, NOT_A_MEMBER.
        """
        _check(request)
        conversation_id, peer = await self._peer(principal, request)
        membership = await self._conversations.membership(conversation_id, principal.username)
        # Two users who have not written yet have an empty history, not an error.
        page = _Page([], False, 0) if membership is None else await self._page(membership, request)
        seen = (await self._presence.look_for(principal, [peer.username]))[peer.username]
        return OneToOneChatHistory(
            ref=request.ref,
            chat_id=conversation_id,
            messages=page.messages,
            has_more=page.has_more,
            head_seq=page.head,
            is_online=seen.status is PresenceStatus.ONLINE,
            last_seen=seen.last_seen,
            peer_delivered_seq=self._receipts.known(conversation_id, peer.username, peer.delivered),
            peer_read_seq=peer.read,
        )

    async def group(self, principal: Principal, request: GetGroupChatHistory) -> GroupChatHistory:
        """A page of a group's messages, from the event on that the caller may read.

        Raises:
            ChatError: INVALID_FIELD, NOT_A_MEMBER.
        """
        _check(request)
        membership = await self._conversations.membership(request.group_id, principal.username)
        if membership is None or membership.kind is not ConversationKind.GROUP:
            raise not_a_member()
        page = await self._page(membership, request)
        return GroupChatHistory(
            ref=request.ref,
            group_id=request.group_id,
            messages=page.messages,
            has_more=page.has_more,
            head_seq=page.head,
        )

    async def _peer(self, principal: Principal, request: GetOneToOneHistory) -> tuple[str, Peer]:
        """The conversation that is asked for, and who else is in it."""
        username = principal.username
        if request.to is None:
            if request.chat_id is None:
                raise invalid_field("to", "`to` or `chatId` is required")
            # The id of a direct conversation is never parsed: the store knows who else is in it.
            peer = await self._conversations.peer(request.chat_id, username)
            if peer is None:
                raise not_a_member()
            return request.chat_id, peer
        if request.to == username:
            raise invalid_field("to", "there is no chat with oneself")
        conversation_id = ids.direct_id(username, request.to)
        if request.chat_id is not None and request.chat_id != conversation_id:
            raise invalid_field("chatId", f"the chat with {request.to} is {conversation_id}")
        peer = await self._conversations.peer(conversation_id, username)
        if peer is None:
            if not await self._accounts.exists(request.to):
                raise no_such_user(request.to)
            peer = Peer(request.to, 0, 0)
        return conversation_id, peer

    async def _page(self, membership: Membership, request: History) -> _Page:
        conversation_id = membership.conversation_id
        head = (await self._ledger.heads([conversation_id])).get(conversation_id, 0)
        upwards = request.after is not None
        low = max(membership.floor, request.after or 0)
        high = head + 1 if request.before is None else min(request.before, head + 1)
        found: list[Event] = []
        has_more = True
        # Joins and leaves are numbered too: a stretch of them is read past, so that a page that has
        # more always holds a message to go on from.
        reads = 0
        while has_more and len(found) < request.limit and (not found or reads < _READS_A_PAGE):
            events = await self._ledger.read(
                conversation_id,
                after=low,
                before=high,
                limit=HISTORY_PAGE if reads else request.limit,
                newest=not upwards,
            )
            if not events:
                has_more = False
                break
            reads += 1
            messages = [event for event in events if event.kind in MESSAGES]
            found = found + messages if upwards else messages + found
            low, high = (events[-1].seq, high) if upwards else (low, events[0].seq)
            has_more = high - low > 1
        if len(found) > request.limit:
            has_more = True
            found = found[: request.limit] if upwards else found[-request.limit :]
        return _Page([history_message(event) for event in found], has_more, head)


def _check(request: History) -> None:
    if request.before is not None and request.after is not None:
        raise invalid_field("before", "`before` and `after` cannot both be given")
