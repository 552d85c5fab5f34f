"""The state of one conversation: made of history pages, kept up by events. No I/O, no clock.

State plus events equals fetched state: who applies every event in the order of its number has
exactly what a later fetch of the same messages shows. Limits: MAX_MESSAGES, then the oldest are
let go; a message's reactions and a group's members are bounded by the server.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

import msgspec

from protocol import pushes
from protocol.model import GroupSummary, HistoryMessage, Role
from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from testclients.errors import ClientError
from testclients.events import Event, Where, where_of

MAX_MESSAGES: Final = 10_000


class MissedEvents(ClientError):
    """The event cannot be applied: those after `head` are missing before it."""

    def __init__(self, head: int, seq: int) -> None:
        self.head = head
        self.seq = seq

    def __str__(self) -> str:
        return f"the events {self.head + 1} to {self.seq - 1} are missing"


class Fold:
    """What is loaded of a conversation, as it is at `head`."""

    def __init__(self, head: int = 0, *, max_messages: int = MAX_MESSAGES) -> None:
        """An empty state: of a conversation from its first event on, or of one from `head` on."""
        self.head = head
        """The last event that is contained."""
        self.messages: dict[int, HistoryMessage] = {}
        """By seq, ascending."""
        self.name: str | None = None
        """Of a group; None while it is not known."""
        self.topic: str | None = None
        self.avatar_url: str | None = None
        self.members: dict[str, Role] | None = None
        """Of a group; None while they are not known, which events from the middle on do not
        change."""
        self._max_messages = max_messages
        self._seqs: dict[str, int] = {}
        """By id of a message."""
        self._fetched_at: dict[int, int] = {}
        """By seq of a message that a page showed as it was after `head`: the page's head. Older
        events are in it."""

    @classmethod
    def of_pages(
        cls,
        pages: Sequence[OneToOneChatHistory | GroupChatHistory],
        *,
        group: GroupSummary | None = None,
        members: Mapping[str, Role] | None = None,
        max_messages: int = MAX_MESSAGES,
    ) -> Self:
        """From pages of the history, in any order; together they must leave nothing out.

        The state is as of the earliest of them: every event after that one's head is still to be
        applied, and changes nothing where a later page has it already. `group` and `members` are
        to be as of that moment too.
        """
        state = cls(min((page.head_seq for page in pages), default=0), max_messages=max_messages)
        for page in pages:
            state.add_page(page)
        if group is not None:
            state.name, state.topic = group.name, group.topic
            state.avatar_url = group.avatar_url
        if members is not None:
            state.members = dict(members)
        return state

    def add_page(self, page: OneToOneChatHistory | GroupChatHistory) -> None:
        """Take in a page of any messages, fetched at `head` or later.

        Raises:
            MissedEvents: it was fetched before; events that are to be applied to it are gone.
        """
        if page.head_seq < self.head:
            raise MissedEvents(page.head_seq, self.head + 1)
        for message in page.messages:
            if page.head_seq >= self._fetched_at.get(message.seq, 0):
                self.messages[message.seq] = message
                self._seqs[message.id] = message.seq
                if page.head_seq > self.head:
                    self._fetched_at[message.seq] = page.head_seq
        self.messages = dict(sorted(self.messages.items()))
        self._let_go()

    def find(self, id: str) -> HistoryMessage | None:
        """A message that is loaded, by its id."""
        seq = self._seqs.get(id)
        return None if seq is None else self.messages[seq]

    def apply(self, event: Event) -> None:
        """Take in the next event; one that is contained already changes nothing.

        Raises:
            MissedEvents: it is not the next.
        """
        if event.seq <= self.head:
            return
        if event.seq > self.head + 1:
            raise MissedEvents(self.head, event.seq)
        self.head = event.seq
        match event:
            case pushes.OneToOneChat() | pushes.GroupChat():
                self._post(event)
            case pushes.MessageEdited() | pushes.MessageDeleted() | pushes.Reaction():
                self._change(event)
            case pushes.GroupUpdated():
                self._update(event)
            case _:
                self._move_members(event)
        self._fetched_at.pop(event.seq, None)

    def apply_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.apply(event)

    def _post(self, event: pushes.OneToOneChat | pushes.GroupChat) -> None:
        if event.seq in self.messages:
            return  # a later page has it, with what became of it
        where = where_of(event) or Where()
        self.messages[event.seq] = HistoryMessage(
            id=event.id,
            seq=event.seq,
            prev=event.prev,
            chat_id=where.chat_id,
            group_id=where.group_id,
            from_=event.from_,
            to=event.to if isinstance(event, pushes.OneToOneChat) else None,
            content=event.content,
            sent_at=event.sent_at,
            client_msg_id=event.client_msg_id,
            reply_to=event.reply_to,
            mentions=event.mentions,
            version=1,
        )
        self._seqs[event.id] = event.seq
        self._let_go()

    def _change(
        self, event: pushes.MessageEdited | pushes.MessageDeleted | pushes.Reaction
    ) -> None:
        seq = self._seqs.get(event.id)
        if seq is None or event.seq <= self._fetched_at.get(seq, 0):
            return  # it is not loaded, or it was fetched with this change in it
        message = self.messages[seq]
        match event:
            case pushes.MessageEdited():
                message = msgspec.structs.replace(
                    message,
                    content=event.content,
                    version=event.version,
                    edited_at=event.at,
                    edited_by=None if event.from_ == message.from_ else event.from_,
                )
            case pushes.MessageDeleted():
                message = msgspec.structs.replace(
                    message, content="", mentions=None, reactions=None, deleted=True
                )
            case pushes.Reaction():
                message = msgspec.structs.replace(message, reactions=_reacted(message, event))
        self.messages[seq] = message

    def _update(self, event: pushes.GroupUpdated) -> None:
        if event.name is not None:
            self.name = event.name
        if event.topic is not None:
            self.topic = event.topic or None
        if event.avatar_url is not None:
            self.avatar_url = event.avatar_url or None

    def _move_members(
        self,
        event: pushes.GroupCreated
        | pushes.GroupMemberJoined
        | pushes.GroupMemberLeft
        | pushes.RoleChanged,
    ) -> None:
        match event:
            case pushes.GroupCreated():
                self.name = event.name
                self.members = {
                    name: Role.ADMIN if name == event.by else Role.MEMBER for name in event.members
                }
            case _ if self.members is None:
                pass
            case pushes.GroupMemberJoined():
                # Who comes into a group that everybody has left becomes its admin.
                self.members[event.username] = Role.MEMBER if self.members else Role.ADMIN
            case pushes.GroupMemberLeft():
                self.members.pop(event.username, None)
            case pushes.RoleChanged():
                self.members[event.username] = event.role

    def _let_go(self) -> None:
        while len(self.messages) > self._max_messages:
            seq = next(iter(self.messages))
            del self._seqs[self.messages.pop(seq).id]
            self._fetched_at.pop(seq, None)


def _reacted(message: HistoryMessage, event: pushes.Reaction) -> dict[str, list[str]] | None:
    """The reactions of a message after one was added or taken back."""
    reactions = dict(message.reactions or {})
    users = [name for name in reactions.pop(event.emoji, []) if name != event.from_]
    if not event.remove:
        users.append(event.from_)
    if users:
        reactions[event.emoji] = users
    return reactions or None
