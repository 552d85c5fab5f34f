"""What a person is shown of what happens: messages, changes, the connection, who types."""

from collections.abc import Callable, Sequence

from protocol.model import HistoryMessage, PresenceStatus
from protocol.pushes import (
    DeliveryReceipt,
    GroupChat,
    GroupChatHistory,
    GroupCreated,
    GroupUpdated,
    MessageDeleted,
    MessageEdited,
    OneToOneChat,
    OneToOneChatHistory,
    PresenceUpdate,
    Reaction,
    ReadReceipt,
    ServerFrame,
    Typing,
)
from testclients import render
from testclients.connection_state import ConnectionState, Phase
from testclients.conversations import Conversation, Direct
from testclients.events import Event, Where, where_of
from testclients.fold import Fold, MissedEvents
from testclients.notices import Happening, Notice
from testclients.outbox import Entry, EntryState
from testclients.screen import Screen


class Board:
    def __init__(self, screen: Screen, user: str, now_ms: Callable[[], int], *, json: bool) -> None:
        """With `json` the server's frames are shown as they came."""
        self.view = render.View(user, find=self._find)
        self.presence: dict[str, PresenceStatus] = {}
        """What was last shown, so that only changes are."""
        self.where: Where | None = None
        """The conversation that is open."""
        self.fold: Fold | None = None
        """Its state; None when it has to be fetched again."""
        self._screen = screen
        self._now_ms = now_ms
        self._json = json
        self._state = ConnectionState(Phase.CONNECTING)
        self._was_lost = False
        self._typing: dict[str, None] = {}
        """Who types in the open conversation."""
        self._waiting: set[str] = set()
        """The posts that are not stored yet, by clientMsgId."""
        self._seen: dict[str, int] = {}
        """By user, the own message that it was last shown to have seen."""

    def open(
        self, conversation: Conversation, page: OneToOneChatHistory | GroupChatHistory
    ) -> None:
        """From now on this is the conversation that is looked at."""
        self.view.here = conversation
        self.load(page)
        self._typing.clear()
        self._seen.clear()
        self._show_status()
        self._screen.show(f"--- {self.describe(conversation)} ---")
        self.past(page.messages)

    def close(self) -> None:
        self.view.here = self.where = self.fold = None
        self._typing.clear()
        self._show_status()

    def load(self, page: OneToOneChatHistory | GroupChatHistory) -> Fold:
        """Take a page for the state of the open conversation."""
        self.where = where_of(page)
        self.fold = Fold.of_pages([page])
        return self.fold

    def past(self, messages: Sequence[HistoryMessage]) -> None:
        for message in messages:
            self._screen.show(render.past(message, self._now_ms(), self.view))

    def happen(self, happening: Happening) -> None:
        """Show what has happened, if it is for people, and remember it."""
        if isinstance(happening, Notice):
            self.fold = None
            self._screen.show(render.notice(happening, self.view))
            return
        if self._json or self._is_news(happening):
            self._screen.show(self._line(happening))
        if isinstance(happening, Event) and where_of(happening) == self.where:
            self._apply(happening)

    def connection(self, state: ConnectionState) -> None:
        """How it stands with the connection now."""
        before, self._state = self._state, state
        if state.phase is Phase.WAITING and before.phase is not Phase.WAITING:
            self._was_lost = True
            words = render.connection(state)
            self._screen.show(f"* {render.plain(str(state.cause))}; {words}")
        elif state.phase is Phase.ONLINE and self._was_lost:
            self._was_lost = False
            self._screen.show("* connected again")
        if state.phase is not Phase.ONLINE:
            self._typing.clear()
        self._show_status()

    def entry(self, entry: Entry) -> None:
        """How it stands with a message that is to be sent."""
        if entry.state is EntryState.SENDING:
            self._waiting.add(entry.client_msg_id)
        else:
            self._waiting.discard(entry.client_msg_id)
        is_offline = self._state.phase is not Phase.ONLINE
        if entry.state is EntryState.FAILED or (entry.state is EntryState.SENDING and is_offline):
            self._screen.show(render.entry(entry))
        self._show_status()

    def describe(self, conversation: Conversation) -> str:
        name = render.title(conversation)
        if not isinstance(conversation, Direct):
            return f"{name} (group {render.plain(conversation.group_id)})"
        status = self.presence.get(conversation.peer, PresenceStatus.UNKNOWN)
        return name if status is PresenceStatus.UNKNOWN else f"{name} ({status.lower()})"

    def _line(self, frame: ServerFrame) -> str:
        if self._json:
            return render.as_json(frame)
        return render.push(frame, self._now_ms(), self.view)

    def _is_news(self, frame: ServerFrame) -> bool:
        """Whether a frame is worth a line; what it says besides is remembered."""
        match frame:
            case PresenceUpdate():
                is_new = self.presence.get(frame.username) is not frame.status
                self.presence[frame.username] = frame.status
                return is_new
            case Typing():
                self._note_typing(frame)
                return False
            case DeliveryReceipt():
                return False
            case ReadReceipt():
                return self._is_first_look(frame)
            case MessageEdited() | MessageDeleted() | Reaction():
                return where_of(frame) == self.where
            case GroupCreated() | GroupUpdated():
                if frame.name is not None:
                    self.view.group_names[frame.group_id] = frame.name
            case OneToOneChat() | GroupChat() if self._typing.pop(frame.from_, True) is None:
                self._show_status()
        return True

    def _note_typing(self, frame: Typing) -> None:
        if where_of(frame) != self.where:
            return
        self._typing.pop(frame.username, None)
        if frame.is_typing:
            self._typing[frame.username] = None
        self._show_status()

    def _is_first_look(self, frame: ReadReceipt) -> bool:
        """Whether another has seen the newest own message here for the first time."""
        if where_of(frame) != self.where or frame.username == self.view.user:
            return False
        own = self.newest(lambda message: message.from_ == self.view.user)
        if own is None or not self._seen.get(frame.username, 0) < own.seq <= frame.seq:
            return False
        self._seen[frame.username] = own.seq
        return True

    def newest(self, wanted: Callable[[HistoryMessage], bool]) -> HistoryMessage | None:
        """The newest message of the open conversation that is one of these and not deleted."""
        messages = [] if self.fold is None else reversed(self.fold.messages.values())
        return next((one for one in messages if not one.deleted and wanted(one)), None)

    def _apply(self, event: Event) -> None:
        if self.fold is not None:
            try:
                self.fold.apply(event)
            except MissedEvents:
                # The page was fetched while this was on its way.
                self.fold = None

    def _find(self, id: str) -> HistoryMessage | None:
        return None if self.fold is None else self.fold.find(id)

    def _show_status(self) -> None:
        parts = [render.connection(self._state)]
        if self._waiting and self._state.phase is not Phase.ONLINE:
            parts.append(f"{len(self._waiting)} to send")
        if self._typing:
            names = ", ".join(map(render.plain, self._typing))
            parts.append(f"{names} {'is' if len(self._typing) == 1 else 'are'} typing")
        self._screen.status(", ".join(filter(None, parts)))
