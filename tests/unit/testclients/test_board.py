"""What a person is shown of what happens."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.model import HistoryMessage, PresenceStatus
from protocol.pushes import (
    DeliveryReceipt,
    GroupUpdated,
    MessageEdited,
    OneToOneChatHistory,
    PresenceUpdate,
    ReadReceipt,
    Typing,
)
from testclients.board import Board
from testclients.connection_state import ConnectionState, Phase
from testclients.conversations import Direct
from testclients.errors import ConnectionLost, RequestFailed
from testclients.notices import Rewound
from testclients.outbox import Entry, EntryState
from tests.support.running import on_a_loop
from tests.unit.testclients.scripted import ALICE, CHAT, message

LOST = ConnectionLost(1006, "")


class PaperScreen:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.in_front = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        pass

    def show(self, text: str) -> None:
        self.lines.append(text)

    def status(self, text: str) -> None:
        self.in_front = text

    def watch_typing(self, typed: Callable[[str], None]) -> None:
        pass

    async def read(self, prompt: str) -> str | None:
        return None

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


def page(*messages: HistoryMessage, head: int) -> OneToOneChatHistory:
    return OneToOneChatHistory(
        chat_id=CHAT,
        messages=list(messages),
        has_more=False,
        head_seq=head,
        is_online=False,
        last_seen=None,
        peer_delivered_seq=0,
        peer_read_seq=0,
    )


def said(seq: int, from_: str, content: str) -> HistoryMessage:
    return HistoryMessage(
        id=f"m{seq}", seq=seq, prev=seq - 1, from_=from_, content=content, sent_at=0, version=1
    )


@pytest.fixture
def screen() -> PaperScreen:
    return PaperScreen()


@pytest.fixture
def board(screen: PaperScreen) -> Board:
    """With the chat with bob open, in which alice has written last."""
    board = Board(screen, ALICE, lambda: 0, json=False)
    board.connection(ConnectionState(Phase.ONLINE))
    board.open(Direct("bob"), page(said(1, "bob", "one"), said(2, ALICE, "two"), head=2))
    screen.take()
    return board


def edited(seq: int, id: str, content: str, chat_id: str = CHAT) -> MessageEdited:
    return MessageEdited(
        chat_id=chat_id,
        id=id,
        from_="bob",
        at=0,
        seq=seq,
        prev=seq - 1,
        content=content,
        version=2,
    )


def test_a_change_is_shown_with_what_it_was(board: Board, screen: PaperScreen) -> None:
    board.happen(edited(3, "m1", "uno"))
    board.happen(edited(4, "m1", "eins"))
    assert screen.take() == ["* bob edited “one”: uno", "* bob edited “uno”: eins"]
    board.happen(edited(9, "m1", "x", chat_id="alice-carol"))
    assert screen.take() == [], "changes elsewhere are seen there"


def test_a_state_that_misses_something_is_fetched_again(board: Board) -> None:
    board.happen(edited(9, "m1", "x"))
    assert board.fold is None
    assert board.newest(lambda message: True) is None
    board.load(page(said(1, "bob", "x"), head=9))
    newest = board.newest(lambda message: True)
    assert newest is not None and newest.content == "x"
    board.happen(Rewound(CHAT))
    assert board.fold is None


def test_who_types_stands_in_front(board: Board, screen: PaperScreen) -> None:
    board.happen(Typing(chat_id=CHAT, username="bob", is_typing=True))
    assert screen.in_front == "bob is typing"
    board.happen(Typing(chat_id="alice-carol", username="carol", is_typing=True))
    assert screen.in_front == "bob is typing"
    board.happen(Typing(chat_id=CHAT, username="bob", is_typing=False))
    assert (screen.in_front, screen.take()) == ("", [])
    board.happen(Typing(chat_id=CHAT, username="bob", is_typing=True))
    board.happen(message(3))
    assert screen.in_front == "", "that is what was typed"
    board.happen(Typing(chat_id=CHAT, username="bob", is_typing=True))
    board.connection(ConnectionState(Phase.WAITING, 5, 1, LOST))
    assert screen.in_front == "offline, next try in 5 s"
    board.connection(ConnectionState(Phase.ONLINE))
    assert screen.in_front == ""


def test_only_the_first_look_at_the_last_own_message_is_news(
    board: Board, screen: PaperScreen
) -> None:
    board.happen(ReadReceipt(chat_id=CHAT, username="bob", seq=1))
    board.happen(ReadReceipt(chat_id=CHAT, username=ALICE, seq=2))
    board.happen(ReadReceipt(chat_id="alice-carol", username="carol", seq=2))
    board.happen(DeliveryReceipt(chat_id=CHAT, username="bob", seq=2))
    assert screen.take() == []
    board.happen(ReadReceipt(chat_id=CHAT, username="bob", seq=2))
    board.happen(message(3))
    board.happen(ReadReceipt(chat_id=CHAT, username="bob", seq=3))
    lines = screen.take()
    assert lines[0] == "* seen by bob" and len(lines) == 2


def test_presence_is_shown_when_it_changes(board: Board, screen: PaperScreen) -> None:
    for _ in range(2):
        board.happen(PresenceUpdate(username="bob", status=PresenceStatus.ONLINE, last_seen=None))
    assert screen.take() == ["* bob is online"]
    assert board.describe(Direct("bob")) == "bob (online)"


def test_a_lost_connection_is_told_once_and_counted_down(board: Board, screen: PaperScreen) -> None:
    for seconds in (3.0, 2.0, 1.0):
        board.connection(ConnectionState(Phase.WAITING, seconds, 1, LOST))
        assert screen.in_front == f"offline, next try in {seconds:g} s"
    board.connection(ConnectionState(Phase.CONNECTING, tries=1))
    assert screen.in_front == "connecting"
    board.connection(ConnectionState(Phase.WAITING, 2, 2, LOST))
    board.connection(ConnectionState(Phase.CONNECTING, tries=2))
    board.connection(ConnectionState(Phase.ONLINE))
    assert screen.take() == [
        "* connection lost: 1006 cut off; offline, next try in 3 s",
        "* connection lost: 1006 cut off; offline, next try in 2 s",
        "* connected again",
    ]


@on_a_loop
async def test_what_waits_to_be_sent_is_shown_while_it_waits() -> None:
    screen = PaperScreen()
    board = Board(screen, ALICE, lambda: 0, json=False)
    board.connection(ConnectionState(Phase.ONLINE))
    entry = Entry(requests.OneToOneChat(to="bob", content="hi", client_msg_id="c"))
    board.entry(entry)
    assert (screen.take(), screen.in_front) == ([], "")
    board.connection(ConnectionState(Phase.WAITING, 2, 1, LOST))
    assert screen.in_front == "offline, next try in 2 s, 1 to send"
    screen.take()
    board.entry(entry)
    assert screen.take() == ["* not sent yet: hi"]
    board.connection(ConnectionState(Phase.ONLINE))
    entry.move(EntryState.FAILED, RequestFailed(ErrorCode.BLOCKED, "no", False, None))
    board.entry(entry)
    assert screen.take()[-1] == "! not sent: hi (BLOCKED: no); /retry or /drop"
    board.connection(ConnectionState(Phase.WAITING, 2, 1, LOST))
    assert screen.in_front == "offline, next try in 2 s"


def test_a_group_s_new_name_is_used(board: Board, screen: PaperScreen) -> None:
    change: dict[str, Any] = {"group_id": "g", "by": "bob", "at": 0, "seq": 2, "prev": 1}
    board.happen(GroupUpdated(**change, name="pub"))
    board.happen(GroupUpdated(**change, topic="beer"))
    assert screen.take()[1] == "* bob set the topic beer (pub)"


def test_with_json_everything_is_shown_as_it_came(screen: PaperScreen) -> None:
    board = Board(screen, ALICE, lambda: 0, json=True)
    board.happen(Typing(chat_id=CHAT, username="bob", is_typing=True))
    assert screen.take() == [
        '{"type":"TYPING","chatId":"alice-bob","username":"bob","isTyping":true}'
    ]
