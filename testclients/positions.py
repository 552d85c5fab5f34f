"""What one connection has seen of each conversation: is anything missing, did anything repeat?"""

from collections.abc import Mapping
from typing import NamedTuple

from protocol.pushes import GroupMemberLeft, ServerFrame, Success


class Gap(NamedTuple):
    """The events `first` to `last`, both included, were passed over and have not come since."""

    conversation: str
    first: int
    last: int


class Place(NamedTuple):
    conversation: str
    seq: int


class Positions:
    """Fed with every frame of one connection, in the order of arrival.

    Promised by the server and checked here: the events of a conversation come in seq order, each
    once and without a gap. An event that this connection caused may be told by its ack alone, and
    an ack keeps no order with the events of others. The first event of a conversation starts it
    where `start` does not; acks that come before that are kept until then.
    """

    def __init__(self, start: Mapping[str, int] | None = None) -> None:
        self.last: dict[str, int] = dict(start or {})
        """By conversation: the highest number up to which everything has come or is in `gaps`."""
        self.late: list[Place] = []
        """Events that came after a higher one."""
        self.duplicates: list[Place] = []
        self._acked: dict[str, set[int]] = {}
        """By conversation: the acked numbers above `last`."""
        self._missing: dict[str, set[int]] = {}
        """By conversation: the numbers up to `last` that have not come."""

    @property
    def gaps(self) -> list[Gap]:
        """What is missing now. While a post awaits its ack, its number may be among it."""
        gaps: list[Gap] = []
        for conversation, missing in self._missing.items():
            for seq in sorted(missing):
                if gaps and gaps[-1].conversation == conversation and gaps[-1].last == seq - 1:
                    gaps[-1] = gaps[-1]._replace(last=seq)
                else:
                    gaps.append(Gap(conversation, seq, seq))
        return gaps

    @property
    def problems(self) -> list[Gap | Place]:
        """Everything that is against the promise; empty when all is well."""
        return [*self.gaps, *self.late, *self.duplicates]

    def note(self, frame: ServerFrame, user: str | None = None) -> None:
        """Take `frame` into account; frames that have no place in a conversation are ignored.

        `user` is whose connection it is. A conversation that this user leaves is forgotten: nothing
        of the time outside is owed. Without `user`, an own change of membership is a duplicate of
        its ack.
        """
        # Whatever has these fields is an event: a new kind of event needs no change here. A
        # receipt has a seq too, but no prev: it is no event.
        seq: int | None = getattr(frame, "seq", None)
        conversation: str | None = getattr(frame, "chat_id", None)
        if conversation is None:
            conversation = getattr(frame, "group_id", None)
        if seq is None or conversation is None or getattr(frame, "prev", None) is None:
            return
        if isinstance(frame, Success):
            self._ack(conversation, seq)
            return
        is_leaving = isinstance(frame, GroupMemberLeft) and frame.username == user
        if is_leaving and seq > self.last.get(conversation, 0):
            # Who is behind when it is removed is told at once, and owed nothing more.
            self.forget(conversation)
        self._event(conversation, seq, own=user is not None and getattr(frame, "by", None) == user)
        if is_leaving:
            self.forget(conversation)

    def forget(self, conversation: str) -> None:
        """The next event of the conversation starts it anew; what was missing stays in `gaps`."""
        self.last.pop(conversation, None)
        self._acked.pop(conversation, None)

    def _ack(self, conversation: str, seq: int) -> None:
        last = self.last.get(conversation)
        if last is None or seq > last:
            self._acked.setdefault(conversation, set()).add(seq)
            if last is not None:
                self._move(conversation, last)
        else:
            # Fills a gap, or else it is the answer to a repeated request.
            self._missing.get(conversation, set()).discard(seq)

    def _event(self, conversation: str, seq: int, own: bool) -> None:
        last = self.last.get(conversation)
        if last is None or seq > last:
            if last is not None and seq > last + 1:
                acked = self._acked.get(conversation, set())
                missing = self._missing.setdefault(conversation, set())
                missing.update(number for number in range(last + 1, seq) if number not in acked)
            self._move(conversation, seq)
        elif seq in self._missing.get(conversation, set()):
            self._missing[conversation].discard(seq)
            self.late.append(Place(conversation, seq))
        elif not own:  # a change of membership is told by its ack and by its event
            self.duplicates.append(Place(conversation, seq))

    def _move(self, conversation: str, last: int) -> None:
        """Everything up to `last` is settled, and so are the acked numbers right after it."""
        acked = self._acked.pop(conversation, set())
        while last + 1 in acked:
            last += 1
        self.last[conversation] = last
        above = {seq for seq in acked if seq > last}
        if above:
            self._acked[conversation] = above
