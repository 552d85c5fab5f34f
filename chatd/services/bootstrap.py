"""INIT_DATA: what a client needs to draw its first screen, in one reply."""

from chatd.auth import Principal
from chatd.delivery.render import history_message
from chatd.services.accounts import Accounts
from chatd.services.presence import Presence, Seen
from chatd.services.receipts import Receipts
from chatd.stores.conversation_store import ConversationKind, ConversationStore, Summary
from protocol import limits
from protocol.model import ChatSummary, GroupSummary, PresenceStatus, User
from protocol.pushes import InitData as InitDataReply
from protocol.requests import InitData


class Bootstrap:
    def __init__(
        self,
        accounts: Accounts,
        conversations: ConversationStore,
        presence: Presence,
        receipts: Receipts,
    ) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._presence = presence
        self._receipts = receipts

    async def init_data(self, principal: Principal, request: InitData) -> InitDataReply:
        """The caller and its most recent conversations."""
        username = principal.username
        most = limits.INIT_DATA_CONVERSATIONS
        summaries = await self._conversations.summaries(
            username, limit=most + 1, unread_cap=limits.UNREAD_CAP
        )
        has_more = len(summaries) > most
        summaries = summaries[:most]
        peers = [summary.peer for summary in summaries if summary.peer is not None]
        seen = await self._presence.look_for(principal, peers) if peers else {}
        return InitDataReply(
            ref=request.ref,
            user=await self._accounts.profile(username) or User(username=username),
            chats=[
                await self._chat(username, summary, summary.peer, seen[summary.peer])
                for summary in summaries
                if summary.peer is not None
            ],
            groups=[
                self._group(username, summary)
                for summary in summaries
                if summary.membership.kind is ConversationKind.GROUP
            ],
            has_more=has_more,
        )

    async def _chat(self, username: str, summary: Summary, peer: str, seen: Seen) -> ChatSummary:
        profile = await self._accounts.profile(peer)
        membership = summary.membership
        return ChatSummary(
            chat_id=membership.conversation_id,
            peer=peer,
            display_name=None if profile is None else profile.display_name,
            is_online=seen.status is PresenceStatus.ONLINE,
            last_seen=seen.last_seen,
            last_seq=summary.head,
            delivered_seq=self._receipts.known(
                membership.conversation_id, username, membership.delivered
            ),
            read_seq=membership.read,
            unread=unread(summary),
            last_message=None
            if summary.last_message is None
            else history_message(summary.last_message),
        )

    def _group(self, username: str, summary: Summary) -> GroupSummary:
        membership = summary.membership
        return GroupSummary(
            group_id=membership.conversation_id,
            name=summary.name or "",
            topic=summary.topic,
            avatar_url=summary.avatar_url,
            role=membership.role,
            member_count=summary.member_count,
            last_seq=summary.head,
            delivered_seq=self._receipts.known(
                membership.conversation_id, username, membership.delivered
            ),
            read_seq=membership.read,
            unread=unread(summary),
            last_message=None
            if summary.last_message is None
            else history_message(summary.last_message),
        )


def unread(summary: Summary) -> int | str:
    """The count as clients are told it."""
    return f"{limits.UNREAD_CAP}+" if summary.unread > limits.UNREAD_CAP else summary.unread
