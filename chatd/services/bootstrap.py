"""INIT_DATA: what a client needs to draw its first screen, in one reply."""

from chatd.auth import Principal
from chatd.delivery.render import history_message
from chatd.services.accounts import Accounts
from chatd.services.overviews import Overview, Overviews
from chatd.services.presence import Presence, Seen
from chatd.services.receipts import Receipts
from chatd.stores.conversation_store import ConversationKind
from protocol import limits
from protocol.model import ChatSummary, GroupSummary, PresenceStatus, User
from protocol.pushes import InitData as InitDataReply
from protocol.requests import InitData


class Bootstrap:
    def __init__(
        self,
        accounts: Accounts,
        overviews: Overviews,
        presence: Presence,
        receipts: Receipts,
    ) -> None:
        self._accounts = accounts
        self._overviews = overviews
        self._presence = presence
        self._receipts = receipts

    async def init_data(self, principal: Principal, request: InitData) -> InitDataReply:
        """The caller and its most recent conversations."""
        username = principal.username
        most = limits.INIT_DATA_CONVERSATIONS
        found = await self._overviews.newest(username, limit=most + 1)
        overviews = found[:most]
        peers = [one.summary.peer for one in overviews if one.summary.peer is not None]
        seen = await self._presence.look_for(principal, peers) if peers else {}
        return InitDataReply(
            ref=request.ref,
            user=await self._accounts.profile(username) or User(username=username),
            chats=[
                await self._chat(username, one, one.summary.peer, seen[one.summary.peer])
                for one in overviews
                if one.summary.peer is not None
            ],
            groups=[
                self._group(username, one)
                for one in overviews
                if one.membership.kind is ConversationKind.GROUP
            ],
            has_more=len(found) > most,
        )

    async def _chat(self, username: str, overview: Overview, peer: str, seen: Seen) -> ChatSummary:
        profile = await self._accounts.profile(peer)
        membership, last = overview.membership, overview.tail.last_message
        return ChatSummary(
            chat_id=membership.conversation_id,
            peer=peer,
            display_name=None if profile is None else profile.display_name,
            is_online=seen.status is PresenceStatus.ONLINE,
            last_seen=seen.last_seen,
            last_seq=overview.summary.head,
            delivered_seq=self._receipts.known(
                membership.conversation_id, username, membership.delivered
            ),
            read_seq=membership.read,
            unread=overview.unread,
            last_message=None if last is None else history_message(last),
        )

    def _group(self, username: str, overview: Overview) -> GroupSummary:
        summary, membership = overview.summary, overview.membership
        last = overview.tail.last_message
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
            unread=overview.unread,
            last_message=None if last is None else history_message(last),
        )
