"""Posts that wait for their acks: kept through lost connections, sent again, each stored once.

Every post gets a random clientMsgId, and goes out under it until it is acked: to send it again is
harmless for the 24 hours for which the server keeps the id. The posts of one conversation go out
one after the other, each after the ack of the one before, so that they keep their order whatever
is refused; those of different conversations go side by side, at most WINDOW at once. A temporary
refusal stops all of them for a while. Limit: MAX_ENTRIES, failed ones counted, then OutboxFull.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final

import msgspec

from protocol import encode, pushes, requests
from protocol.limits import FRAME_BYTES
from protocol.pushes import GroupChat, OneToOneChat, Reply, Success
from testclients.backoff import Backoff
from testclients.errors import ClientError, OutboxFull, RequestFailed, TooLarge
from testclients.timer import Handle, Timer

MAX_ENTRIES: Final = 1_000
WINDOW: Final = 16

Post = requests.OneToOneChat | requests.GroupChat


class EntryState(Enum):
    SENDING = auto()
    """Or it waits for its turn, or for a connection."""
    SENT = auto()
    """It is stored: `seq` and `id` are set. It has left the outbox."""
    FAILED = auto()
    """It stays until it is tried again or deleted; `error` says why."""


class Entry:
    """A post on its way. Not made by callers."""

    def __init__(self, frame: Post) -> None:
        assert frame.client_msg_id is not None
        self.frame = frame
        self.client_msg_id = frame.client_msg_id
        self.state = EntryState.SENDING
        self.error: ClientError | None = None
        self.id: str | None = None
        self.seq: int | None = None
        self.sent_at: int | None = None
        self.was_sent = False
        """It has been given to a connection, so that it may be stored already."""
        self._done = asyncio.Event()

    @property
    def content(self) -> str:
        return self.frame.content

    async def settled(self) -> None:
        """Wait until the post is stored.

        Raises:
            ClientError: it failed; it may be tried again.
        """
        await self._done.wait()
        if self.error is not None:
            raise self.error

    def move(self, state: EntryState, error: ClientError | None = None) -> None:
        """For the outbox."""
        self.state = state
        self.error = error
        if state is EntryState.SENDING:
            self._done.clear()
        else:
            self._done.set()


class Outbox:
    def __init__(
        self,
        timer: Timer,
        random: Callable[[], float],
        *,
        max_entries: int = MAX_ENTRIES,
        on_change: Callable[[Entry], None] | None = None,
    ) -> None:
        """`on_change` is told of every new state of an entry, the first one too."""
        self.wake: Callable[[], None] = lambda: None
        """Called when there may be something to send."""
        self._timer = timer
        self._backoff = Backoff(random, tries=None)
        self._max_entries = max_entries
        self._on_change = on_change
        self._entries: dict[str, Entry] = {}
        """By clientMsgId, oldest first."""
        self._in_flight: dict[str, str] = {}
        """By clientMsgId, the conversation that waits for the ack."""
        self._pause: Handle | None = None
        """Set while a temporary refusal is waited out."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Those that are not stored, as far as is known, oldest first."""
        return iter(list(self._entries.values()))

    def add(self, frame: Post) -> Entry:
        """Take a post in; one without a clientMsgId gets one.

        Raises:
            OutboxFull
            TooLarge: the server would close the connection on it.
        """
        if len(self._entries) >= self._max_entries:
            raise OutboxFull(self._max_entries)
        if frame.client_msg_id is None:
            frame = msgspec.structs.replace(frame, client_msg_id=uuid.uuid4().hex)
        size = len(encode(frame)) + 100  # with the ref, and room for what escapes
        if size > FRAME_BYTES:
            raise TooLarge(size, FRAME_BYTES)
        entry = Entry(frame)
        if entry.client_msg_id in self._entries:
            raise ValueError(f"the clientMsgId {entry.client_msg_id!r} is in use")
        self._entries[entry.client_msg_id] = entry
        self._tell(entry)
        self.wake()
        return entry

    def retry(self, entry: Entry) -> None:
        """Try a failed entry again, under its old clientMsgId, after those that wait."""
        if entry.state is not EntryState.FAILED or entry.client_msg_id not in self._entries:
            raise ValueError("only a failed post can be tried again")
        del self._entries[entry.client_msg_id]
        self._entries[entry.client_msg_id] = entry
        entry.move(EntryState.SENDING)
        self._tell(entry)
        self.wake()

    def delete(self, entry: Entry) -> None:
        """Give up an entry that failed, or that was never sent."""
        if entry.state is EntryState.SENT or (entry.state is EntryState.SENDING and entry.was_sent):
            raise ValueError("the post is stored, or may be: delete the message instead")
        self._entries.pop(entry.client_msg_id, None)
        if entry.state is EntryState.SENDING:
            entry.move(EntryState.FAILED, ClientError("deleted before it was sent"))

    def next_due(self) -> Entry | None:
        """An entry to send now; it counts as in flight from here on."""
        if self._pause is not None or len(self._in_flight) >= WINDOW:
            return None
        held = set(self._in_flight.values())
        for entry in self._entries.values():
            conversation = _conversation(entry.frame)
            if entry.state is not EntryState.SENDING or conversation in held:
                continue
            self._in_flight[entry.client_msg_id] = conversation
            entry.was_sent = True
            return entry
        return None

    def answered(self, entry: Entry, reply: Reply) -> None:
        """The server has answered the post of an entry."""
        self._in_flight.pop(entry.client_msg_id, None)
        if isinstance(reply, Success):
            self._backoff.reset()
            self._stored(entry, reply.id, reply.seq, reply.sent_at)
        elif isinstance(reply, pushes.Error) and reply.temporary:
            self._wait(reply.retry_after_ms)
        elif isinstance(reply, pushes.Error):
            error = RequestFailed(reply.code, reply.msg, reply.temporary, reply.retry_after_ms)
            self._fail(entry, error)
        self.wake()

    def arrived(self, event: OneToOneChat | GroupChat) -> None:
        """An own message was pushed: its ack may have been lost."""
        entry = self._entries.get(event.client_msg_id or "")
        if entry is not None:
            self._in_flight.pop(entry.client_msg_id, None)
            self._stored(entry, event.id, event.seq, event.sent_at)
            self.wake()

    def disconnected(self) -> None:
        """What is in flight goes out again on the next connection."""
        self._in_flight.clear()
        self._resume()

    def give_up(self, error: ClientError) -> None:
        """There will be no connection: whatever waits has failed. Some of it may be stored."""
        self.disconnected()
        for entry in self:
            if entry.state is EntryState.SENDING:
                self._fail(entry, error)

    def _stored(self, entry: Entry, id: str | None, seq: int | None, sent_at: int | None) -> None:
        if self._entries.pop(entry.client_msg_id, None) is None:
            return
        entry.id, entry.seq, entry.sent_at = id, seq, sent_at
        entry.move(EntryState.SENT)
        self._tell(entry)

    def _fail(self, entry: Entry, error: ClientError) -> None:
        entry.move(EntryState.FAILED, error)
        self._tell(entry)

    def _wait(self, wait_ms: int | None) -> None:
        """Send nothing for as long as the server says, or for longer each time."""
        seconds = self._backoff.next() if wait_ms is None else wait_ms / 1000
        assert seconds is not None, "without a limit of tries"
        self._resume()
        self._pause = self._timer.call_later(seconds, self._over)

    def _over(self) -> None:
        self._pause = None
        self.wake()

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _tell(self, entry: Entry) -> None:
        if self._on_change is not None:
            self._on_change(entry)


def _conversation(frame: Post) -> str:
    # A user's name is no group's id, but both are words of the same alphabet.
    return f"to {frame.to}" if isinstance(frame, requests.OneToOneChat) else frame.group_id
