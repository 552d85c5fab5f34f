"""What a connection may send when: state x request, as one table. Sans-I/O:
facts in, a verdict out.

All state of the protocol lives here; the table knows no socket. OPENING lasts from the handshake
until INFO was sent, CLOSING from the first reason to close until the socket is gone.
"""

from enum import Enum, auto
from typing import Final

from protocol import limits, requests
from protocol.errors import ErrorCode
from protocol.requests import Request


class Door(Enum):
    """Which socket the connection came in by."""

    CHAT = auto()
    PRESENCE = auto()


class State(Enum):
    OPENING = auto()
    READY = auto()
    CLOSING = auto()


class NotAllowed(Exception):
    """The request may not be sent now, or not on this socket."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code = code
        self.message = message


CHAT_REQUESTS: Final[frozenset[type]] = frozenset(
    {
        requests.OneToOneChat,
        requests.GroupChat,
        requests.GetOneToOneHistory,
        requests.GetGroupChatHistory,
        requests.NewOneToOneChat,
        requests.CreateGroup,
        requests.JoinGroup,
        requests.LeaveGroup,
        requests.InitData,
        requests.Resume,
        requests.Ack,
        requests.MarkRead,
        requests.Typing,
        requests.EditMessage,
        requests.DeleteMessage,
        requests.React,
        requests.SubscribePresence,
        requests.Ping,
        requests.Disconnect,
    }
)
PRESENCE_REQUESTS: Final[frozenset[type]] = frozenset(
    {requests.SubscribePresence, requests.Ping, requests.Disconnect}
)

NONE: Final[frozenset[type]] = frozenset()
ALLOWED: Final[dict[Door, dict[State, frozenset[type]]]] = {
    Door.CHAT: {State.OPENING: NONE, State.READY: CHAT_REQUESTS, State.CLOSING: NONE},
    Door.PRESENCE: {State.OPENING: NONE, State.READY: PRESENCE_REQUESTS, State.CLOSING: NONE},
}


class Session:
    """The protocol state of one connection."""

    __slots__ = ("_door", "_malformed", "allowed", "state")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._malformed = 0
        """Undecodable messages since the last request."""
        self.state = State.OPENING
        self.allowed = ALLOWED[door][State.OPENING]

    def opened(self) -> None:
        """INFO was sent."""
        if self.state is State.OPENING:
            self._move(State.READY)

    def closing(self) -> None:
        """Either side has begun to close."""
        self._move(State.CLOSING)

    def request(self, request: Request) -> None:
        """A request arrived.

        Raises:
            NotAllowed: it may not be sent in this state or on this socket.
        """
        self._malformed = 0
        kind = type(request)
        if kind not in self.allowed:
            if self.state is State.READY:
                raise NotAllowed(ErrorCode.UNKNOWN_TYPE, "this request belongs on the other socket")
            raise NotAllowed(
                ErrorCode.FORBIDDEN,
                f"no requests while the connection is {self.state.name.lower()}",
            )
        if kind is requests.Disconnect:
            self._move(State.CLOSING)

    def malformed(self) -> bool:
        """A message arrived that is no request. True when it is one too many and the
        connection must end."""
        self._malformed += 1
        return self._malformed >= limits.MALFORMED_IN_A_ROW

    def _move(self, state: State) -> None:
        self.state = state
        self.allowed = ALLOWED[self._door][state]
