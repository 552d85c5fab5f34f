"""What a user may read of a conversation: the store says; while it cannot be asked, what this node
knows of the users who are connected to it, which events have kept up to date."""

from typing import NamedTuple

from chatd import ids
from chatd.delivery.hub import Hub
from chatd.errors import BackendError
from chatd.stores.conversation_store import ConversationKind, ConversationStore


class Standing(NamedTuple):
    is_direct: bool
    floor: int
    """The user may read events above this number."""
    head: int | None
    """The conversation's last number; None when the store could not be asked."""
    since: int | None
    """Tells one membership from the next; None when the store could not be asked."""

    def ended_before(self, later: "Standing | None") -> bool:
        """Whether the membership is over, where `later` is what was found afterwards."""
        return later is None or (
            self.since is not None and later.since is not None and later.since != self.since
        )


class Standings:
    def __init__(self, conversations: ConversationStore, hub: Hub) -> None:
        self._conversations = conversations
        self._hub = hub

    async def of(self, conversation_id: str, username: str) -> Standing | None:
        """None for one who is no member.

        Raises:
            BackendError: the store failed, and the user is not in the conversation as far as this
                node knows.
        """
        try:
            membership = await self._conversations.membership(conversation_id, username)
        except BackendError:
            known = self._known(conversation_id, username)
            if known is None:
                raise
            return known
        if membership is None:
            return None
        is_direct = membership.kind is ConversationKind.DIRECT
        return Standing(is_direct, membership.floor, membership.head, membership.joined_seq)

    def peer(self, conversation_id: str, username: str) -> str | None:
        """The other user of a direct conversation that the user hears here."""
        known = self._known(conversation_id, username)
        if known is None or not known.is_direct:
            return None
        # No parsing: the id is that of two users, of whom one is known.
        other = conversation_id.removeprefix(f"{username}-").removesuffix(f"-{username}")
        return other if ids.direct_id(username, other) == conversation_id else None

    def _known(self, conversation_id: str, username: str) -> Standing | None:
        user = self._hub.users.get(username)
        room = None if user is None else user.rooms.get(conversation_id)
        if user is None or room is None or room.released is None:
            return None
        floor = user.floors.get(conversation_id, 0)
        return Standing(room.is_direct, floor, None, None)
