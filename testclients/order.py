"""Events in the order of their numbers, each once, whatever the order in which they come. Pure.

A conversation is a Line: everything up to `last` was handed out, what came early waits. A line of
a conversation that was not known before begins at 0 for a chat, whose first event everybody may
read, and for a group with the event that made the user a member.

Limit: so many events wait, of all lines together (MAX_WAITING). One more is not kept, and
`is_full` says that only a new connection brings it.
"""

from collections.abc import Iterable
from typing import Final

from protocol.pushes import GroupCreated, GroupMemberJoined, GroupMemberLeft
from testclients.events import Event, where_of

MAX_WAITING: Final = 1_000


class Line:
    __slots__ = ("is_member", "last", "resuming", "waiting")

    def __init__(self, last: int, *, is_member: bool) -> None:
        self.last = last
        self.is_member = is_member
        """Or may be about to become one: then an event that says so begins the line anew."""
        self.resuming = False
        """The server was asked, on a connection on which it has sent nothing of it yet."""
        self.waiting: dict[int, Event] = {}
        """Above `last`, by number."""


class Order:
    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self.user = ""
        """Whose joining and leaving begins and ends a line."""
        self.is_full = False
        self._max_waiting = max_waiting
        self._waiting = 0
        self._lines: dict[str, Line] = {}

    @property
    def positions(self) -> dict[str, int]:
        """By conversation of the user, the number up to which everything was handed out."""
        return {id: line.last for id, line in self._lines.items() if line.is_member}

    def is_member(self, conversation: str) -> bool:
        line = self._lines.get(conversation)
        return line is not None and line.is_member

    def connected(self, user: str) -> None:
        """A new connection: what waits comes again on it."""
        self.user = user
        self.is_full = False
        for line in self._lines.values():
            line.resuming = False
            self._drop(line)

    def forget(self) -> None:
        """The positions mean nothing any more."""
        self._lines.clear()
        self._waiting = 0
        self.is_full = False

    def begin(self, conversation: str, last: int) -> None:
        """The user has a conversation; its line begins after `last` unless it is there."""
        line = self._lines.get(conversation)
        if line is None:
            self._lines[conversation] = Line(last, is_member=True)
        else:
            line.is_member = True

    def resuming(self, conversations: Iterable[str]) -> None:
        """RESUME names these, and nothing of them was sent on this connection before."""
        for conversation in conversations:
            self._lines[conversation].resuming = True

    def rewind(self, conversation: str) -> bool:
        """RESYNC from the first event on. False: it is none that answers a RESUME, so that only
        a queue was cleared, and what it held comes by itself."""
        line = self._lines.get(conversation)
        if line is None or not line.resuming or line.last == 0:
            return False
        line.last = 0
        self._drop(line)
        return True

    def resumed(self, conversation: str) -> list[Event]:
        """The RESUME was answered: the events that are due now.

        The server has sent all there is for this user. What is missing before the first that waits
        is of a time in which the user was not there.
        """
        line = self._lines.get(conversation)
        if line is None or not line.resuming:
            return []
        line.resuming = False
        return self._settle(line)

    def refused(self, conversation: str) -> list[Event]:
        """The user is not in it any more: the events that are due now, the last ones."""
        line = self._lines.get(conversation)
        if line is None:
            return []
        line.resuming = False
        due = self._settle(line)
        while line.waiting:
            due += self._settle(line)
        line.is_member = False
        return due

    def take(self, event: Event) -> list[Event]:
        """The events that are due now that this one has come, in the order of their numbers."""
        where = where_of(event)
        assert where is not None, "an event is of a conversation"
        line = self._lines.get(where.id)
        if line is None:
            line = self._lines[where.id] = Line(0, is_member=where.chat_id is not None)
        if event.seq <= line.last or event.seq in line.waiting:
            return []
        due: list[Event] = []
        if self._waiting >= self._max_waiting and not self._is_next(line, event):
            if not line.resuming:
                self.is_full = True
                return []
            # Its events come in order, so it is not one that comes late which is missing.
            due = self._settle(line)
        line.waiting[event.seq] = event
        self._waiting += 1
        return due + self._due(line)

    def gap(self, conversation: str) -> int | None:
        """How many events wait for one that is missing; None when none does.

        While a RESUME is being answered nothing is missing yet.
        """
        line = self._lines.get(conversation)
        if line is None or line.resuming or not line.waiting:
            return None
        return len(line.waiting)

    def last(self, conversation: str) -> int:
        """Everything up to this number was handed out."""
        line = self._lines.get(conversation)
        return 0 if line is None else line.last

    def _due(self, line: Line) -> list[Event]:
        due: list[Event] = []
        while line.waiting:
            event = line.waiting.pop(line.last + 1, None)
            if event is None:
                if line.is_member or not self._enter(line):
                    break
                continue
            self._waiting -= 1
            line.last += 1
            line.is_member = not (
                isinstance(event, GroupMemberLeft) and event.username == self.user
            )
            due.append(event)
        return due

    def _enter(self, line: Line) -> bool:
        """Begin the line with the event that makes the user a member, if it waits."""
        for seq in sorted(line.waiting):
            if self._makes_member(line.waiting[seq]):
                self._skip_to(line, seq)
                return True
        return False

    def _settle(self, line: Line) -> list[Event]:
        if line.waiting:
            self._skip_to(line, min(line.waiting))
        return self._due(line)

    def _skip_to(self, line: Line, seq: int) -> None:
        for early in [number for number in line.waiting if number < seq]:
            del line.waiting[early]
            self._waiting -= 1
        line.last = seq - 1

    def _is_next(self, line: Line, event: Event) -> bool:
        return event.seq == line.last + 1 or (not line.is_member and self._makes_member(event))

    def _makes_member(self, event: Event) -> bool:
        return isinstance(event, GroupCreated) or (
            isinstance(event, GroupMemberJoined) and event.username == self.user
        )

    def _drop(self, line: Line) -> None:
        self._waiting -= len(line.waiting)
        line.waiting.clear()
