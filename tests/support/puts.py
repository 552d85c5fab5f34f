"""Events on their way to the message store, and what it must make of them."""

import uuid
from collections.abc import Sequence

import msgspec

from chatd.events import Event, EventKind, Message, blanked
from chatd.ids import Place
from chatd.stores.ledger import Entry
from chatd.stores.message_store import Put
from tests.support import changes
from tests.support.builders import NOW_MS, direct, join, post

_MESSAGES = (EventKind.DIRECT_MESSAGE, EventKind.GROUP_MESSAGE)


class Talk:
    """A conversation of its own, whose events get the next numbers as a ledger gives them."""

    def __init__(self, *, first: int = 1, is_direct: bool = False) -> None:
        self.names = [f"{name}{uuid.uuid4().hex[:8]}" for name in ("alice", "bob")]
        self.conversation_id = "-".join(self.names) if is_direct else uuid.uuid4().hex
        self.puts: list[Put] = []
        self._is_direct = is_direct
        self._next = first
        self._versions: dict[int, int] = {}

    def post(self, content: str = "hello", *, key: str | None = None) -> Place:
        """What a user says; the first one, to a direct conversation."""
        alice, bob = self.names
        if self._is_direct:
            entry = direct(alice, bob, content, key=key)
        else:
            entry = post(self.conversation_id, alice, content, key=key)
        put = self._add(entry)
        self._versions[put.event.seq] = 1
        return Place(self.conversation_id, put.event.seq, put.event.nonce)

    def join(self) -> None:
        """Something that is no message."""
        self._add(join(self.conversation_id, self.names[1]))

    def edit(self, at: Place, content: str = "edited") -> None:
        self._versions[at.seq] += 1
        entry = changes.edit(at, self.names[0], content)
        self._add(entry, target=at.seq, version=self._versions[at.seq])

    def delete(self, at: Place) -> None:
        self._add(changes.delete(at, self.names[0]), target=at.seq)

    def react(self, at: Place, emoji: str = "👍", *, by: int = 0, remove: bool = False) -> None:
        entry = changes.react(at, self.names[by], emoji, remove=remove)
        self._add(entry, target=at.seq, emoji=emoji, remove=remove)

    @property
    def head(self) -> int:
        return self._next - 1

    def _add(
        self,
        entry: Entry,
        *,
        target: int | None = None,
        version: int = 0,
        emoji: str | None = None,
        remove: bool = False,
    ) -> Put:
        event = Event(
            self.conversation_id,
            self._next,
            entry.nonce,
            entry.kind,
            entry.sender,
            entry.sealed,
            NOW_MS + self._next,
            version,
        )
        self._next += 1
        put = Put(event, target, emoji, remove)
        self.puts.append(put)
        return put


def became(puts: Sequence[Put]) -> tuple[list[Event], list[Message]]:
    """The events and the messages of a conversation whose puts are in order."""
    events: dict[int, Event] = {}
    messages: dict[int, Message] = {}
    edits: dict[int, list[int]] = {}
    for put in puts:
        event = put.event
        events[event.seq] = event
        if put.target is None:
            if event.kind in _MESSAGES:
                messages[event.seq] = Message(event)
            continue
        message = messages[put.target]
        if event.kind is EventKind.MESSAGE_EDITED:
            edits.setdefault(put.target, []).append(event.seq)
            message = msgspec.structs.replace(message, version=event.version, edit=event)
        elif event.kind is EventKind.REACTION:
            reaction = put.emoji or "", event.sender
            left = [there for there in message.reactions if there != reaction]
            message = msgspec.structs.replace(
                message, reactions=left if put.remove else [*left, reaction]
            )
        else:
            for seq in (put.target, *edits.get(put.target, ())):
                events[seq] = _blank(events[seq])
            edit = None if message.edit is None else _blank(message.edit)
            posted = events[put.target]
            message = Message(posted, message.version, edit, is_deleted=True)
        messages[put.target] = message
    return list(events.values()), list(messages.values())


def _blank(event: Event) -> Event:
    return msgspec.structs.replace(event, body=blanked(event.kind, event.body))
