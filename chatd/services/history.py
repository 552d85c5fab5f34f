"""Pages of messages, by cursor, with what became of the messages.

The same page that several ask for at once is read once. Limit: `PAGE_BYTES` of bodies on a page
that has more than one message; at the limit the page is short, and has more.
"""

from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

from chatd import ids
from chatd.auth import Principal
from chatd.delivery.render import history_message
from chatd.errors import BackendError, invalid_field, no_such_user, not_a_member
from chatd.events import Message
from chatd.fabric.name_filter import NameFilter, of_user
from chatd.services.accounts import Accounts
from chatd.services.presence import Presence, Seen
from chatd.services.receipts import Receipts
from chatd.services.shared_reads import SharedReads
from chatd.services.standing import Standing, Standings
from chatd.services.tails import Tails
from chatd.stores import ledger as ledgers
from chatd.stores.conversation_store import ConversationStore, Peer
from protocol.model import HistoryMessage, PresenceStatus
from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from protocol.requests import GetGroupChatHistory, GetOneToOneHistory, History

PAGE_BYTES: Final = 512 * 1024


class _Page(NamedTuple):
    messages: list[HistoryMessage]
    has_more: bool
    head: int


class Histories:
    def __init__(
        self,
        accounts: Accounts,
        conversations: ConversationStore,
        ledger: ledgers.Ledger,
        presence: Presence,
        receipts: Receipts,
        standings: Standings,
        tails: Tails | None,
        names: NameFilter,
    ) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._ledger = ledger
        self._presence = presence
        self._receipts = receipts
        self._standings = standings
        self._tails = tails
        self._names = names
        self._reads: SharedReads[ledgers.Page] = SharedReads()

    async def direct(
        self, principal: Principal, request: GetOneToOneHistory
    ) -> OneToOneChatHistory:
        """A page of the direct conversation with `to`, or of `chatId`.

        Raises:
            ChatError: INVALID_FIELD, NO_SUCH_USER, NOT_A_MEMBER.
        """
        _check(request)
        conversation_id, peer = await self._peer(principal, request)
        standing = await self._standings.of(conversation_id, principal.username)
        # Two users who have not written yet have an empty history, not an error.
        page = (
            _Page([], False, 0)
            if standing is None
            else await self._page(conversation_id, standing, request)
        )
        seen = await self._seen(principal, peer.username)
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
        if await self._names.is_absent(request.group_id):
            raise not_a_member()
        standing = await self._standings.of(request.group_id, principal.username)
        if standing is None or standing.is_direct:
            raise not_a_member()
        page = await self._page(request.group_id, standing, request)
        # Who left and came back meanwhile may not see what was said in between.
        now = await self._standings.of(request.group_id, principal.username)
        if standing.ended_before(now):
            raise not_a_member()
        return GroupChatHistory(
            ref=request.ref,
            group_id=request.group_id,
            messages=page.messages,
            has_more=page.has_more,
            head_seq=page.head,
        )

    async def _seen(self, principal: Principal, username: str) -> Seen:
        try:
            return (await self._presence.look_for(principal, [username]))[username]
        except BackendError:
            return Seen(PresenceStatus.UNKNOWN, None)

    async def _peer(self, principal: Principal, request: GetOneToOneHistory) -> tuple[str, Peer]:
        """The conversation that is asked for, and who else is in it."""
        username = principal.username
        if request.to is None:
            if request.chat_id is None:
                raise invalid_field("to", "`to` or `chatId` is required")
            # The id of a direct conversation is never parsed: the store knows who else is in it.
            try:
                peer = await self._conversations.peer(request.chat_id, username)
            except BackendError:
                known = self._standings.peer(request.chat_id, username)
                if known is None:
                    raise
                return request.chat_id, Peer(known, 0, 0)
            if peer is None:
                raise not_a_member()
            return request.chat_id, peer
        if request.to == username:
            raise invalid_field("to", "there is no chat with oneself")
        conversation_id = ids.direct_id(username, request.to)
        if request.chat_id is not None and request.chat_id != conversation_id:
            raise invalid_field("chatId", f"the chat with {request.to} is {conversation_id}")
        if await self._names.is_absent(of_user(request.to)):
            raise no_such_user(request.to)
        try:
            peer = await self._conversations.peer(conversation_id, username)
        except BackendError:
            # The messages may be had nevertheless; the cursors are told as 0.
            return conversation_id, Peer(request.to, 0, 0)
        if peer is None:
            if not await self._accounts.exists(request.to):
                raise no_such_user(request.to)
            peer = Peer(request.to, 0, 0)
        return conversation_id, peer

    async def _page(self, conversation_id: str, standing: Standing, request: History) -> _Page:
        stored = await self._stored(conversation_id, standing, request)
        messages = _fitting(stored.messages, newest=request.after is None)
        has_more = stored.has_more or len(messages) < len(stored.messages)
        return _Page([history_message(message) for message in messages], has_more, stored.head)

    async def _stored(
        self, conversation_id: str, standing: Standing, request: History
    ) -> ledgers.Page:
        head, limit = standing.head, request.limit
        after = max(standing.floor, request.after or 0)
        is_newest = request.after is None

        def read() -> Coroutine[Any, Any, ledgers.Page]:
            if head is not None and is_newest and request.before is None and self._tails:
                return self._tails.page(conversation_id, floor=after, limit=limit, head=head)
            return self._ledger.page(
                conversation_id,
                after=after,
                before=request.before,
                limit=limit,
                newest=is_newest,
            )

        if head is None:
            return await read()
        # With the head in it: whoever has an ack finds its message.
        key = (conversation_id, after, request.before, limit, is_newest, head)
        return await self._reads.read(key, read)


def _fitting(messages: list[Message], *, newest: bool) -> list[Message]:
    """As many of the messages as a page may hold, from the end that was asked for; at
    least one."""
    size = 0
    for count, message in enumerate(reversed(messages) if newest else messages):
        size += len(message.posted.body) + (0 if message.edit is None else len(message.edit.body))
        if size > PAGE_BYTES and count:
            return messages[-count:] if newest else messages[:count]
    return messages


def _check(request: History) -> None:
    if request.before is not None and request.after is not None:
        raise invalid_field("before", "`before` and `after` cannot both be given")
