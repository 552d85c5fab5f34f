"""A device of a user: what it knows, from what it is told, and how it comes and goes."""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from protocol import pushes, requests
from protocol.errors import ErrorCode
from protocol.pushes import Reply, ServerFrame, Success
from protocol.requests import Request
from tests.checker.connection import Connection, NotOpened, open_connection
from tests.checker.decisions import End
from tests.checker.history import History, Settled
from tests.checker.positions import Position

_RETRY_SECONDS: Final = 0.1
_KNOWN_MESSAGES: Final = 64
_POSTS_KEPT: Final = 50

Post = requests.OneToOneChat | requests.GroupChat


class Target(Protocol):
    """A node of the server under test; where it is may change."""

    @property
    def http_url(self) -> str: ...

    @property
    def chat_url(self) -> str: ...


class Place(NamedTuple):
    """A conversation, as a device sees it."""

    id: str
    peer: str | None = None
    """The other user of a direct conversation."""
    may_leave: bool = False
    is_admin: bool = False

    @property
    def names(self) -> dict[str, str]:
        """The field that names it in requests."""
        return {"group_id": self.id} if self.peer is None else {"chat_id": self.id}


class Known(NamedTuple):
    """A message that a device may change."""

    id: str
    author: str


class Device:
    def __init__(
        self,
        targets: Sequence[Target],
        history: History,
        user: str,
        name: str,
        token: str,
        *,
        is_narrow: bool = False,
    ) -> None:
        self.user = user
        self.name = name
        self.is_narrow = is_narrow
        self.places: list[Place] = []
        self.connection: Connection | None = None
        self.positions: dict[str, Position] = {}
        self.came_with: dict[str, int] = {}
        """The positions with which this connection resumed."""
        self.served: set[str] = set()
        """Conversations that an answered RESUME of this connection named."""
        self.pending: dict[str, Post] = {}
        """Posts without an ack, by clientMsgId."""
        self.acked: deque[Post] = deque(maxlen=_POSTS_KEPT)
        self.known: dict[str, deque[Known]] = {}
        self.versions: dict[str, int] = {}
        self.is_out: set[str] = set()
        """Groups that it has left."""
        self._targets = targets
        self._node = -1
        """To which it came last."""
        self._history = history
        self._token = token

    @property
    def is_here(self) -> bool:
        return self.connection is not None and not self.connection.is_over

    async def come(
        self, *, resumes: bool, node: float | None = None, until: asyncio.Event | None = None
    ) -> None:
        """Connect: to the node at this part of them all, or to the next after the one where it was
        last. When it is away, to the one after that, and so on for as long as all are and `until`
        is not set."""
        if node is not None:
            self._node = int(node * len(self._targets)) - 1
        while until is None or not until.is_set():
            self.came_with, self.served = {}, set()
            self._node = (self._node + 1) % len(self._targets)
            try:
                self.connection = await open_connection(
                    self._targets[self._node].chat_url,
                    self._token,
                    self._history,
                    device=self.name,
                    user=self.user,
                    node=self._node,
                    resumes=resumes,
                    is_narrow=self.is_narrow,
                    hear=self._hear,
                )
                return
            except NotOpened:
                await asyncio.sleep(_RETRY_SECONDS)

    async def go(self, end: End, *, deaf: float = 0.0) -> None:
        """As `Connection.end`."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            await connection.end(end, deaf=deaf)

    async def ask(self, request: Request, *, with_ref: bool = True) -> None:
        assert self.connection is not None
        await self.connection.ask(request, with_ref=with_ref)

    async def resume(self, conversations: Iterable[str]) -> None:
        """Say how far it has got in these."""
        positions = {name: self.position(name).reached for name in conversations}
        self.came_with = positions | self.came_with
        await self.ask(requests.Resume(positions=positions))

    async def resume_all(self) -> None:
        await self.resume([place.id for place in self.places])

    async def request(self, request: Request, seconds: float) -> Reply | None:
        """The answer; None when there is none within the time."""
        assert self.connection is not None
        return await self.connection.request(request, seconds)

    async def settle(self, patience: float, rest: float) -> None:
        """Ask for the heads, which may take `patience` seconds; then wait for answers, and for all
        that is owed up to the heads where RESUME asked for it: nobody has anything under way."""
        summary = await self.request(requests.InitData(), patience)
        connection = self.connection
        if not isinstance(summary, pushes.InitData) or connection is None:
            return
        heads = {chat.chat_id: chat.last_seq for chat in summary.chats}
        heads |= {group.group_id: group.last_seq for group in summary.groups}
        await connection.until(lambda: not connection.unanswered and self._has_all(heads), rest)
        self._history.add(
            Settled(at=self._history.now(), connection=connection.number, heads=heads)
        )

    def position(self, conversation: str) -> Position:
        return self.positions.setdefault(conversation, Position())

    def forget(self, kept: float) -> None:
        for position in self.positions.values():
            position.forget(kept)

    def drop(self, keys: Collection[str]) -> None:
        """Never send these posts again."""
        for key in keys:
            self.pending.pop(key, None)

    def _has_all(self, heads: Mapping[str, int]) -> bool:
        return all(
            self.position(name).reached >= head
            for name, head in heads.items()
            if name in self.served
        )

    def _hear(self, request: Request | None, frame: ServerFrame) -> None:
        match frame:
            case Success():
                self._hear_success(request, frame)
            case pushes.Error():
                self._hear_error(request, frame)
            case pushes.OneToOneChat():
                self._learn(frame.chat_id, frame.seq, Known(frame.id, frame.from_))
            case pushes.GroupChat():
                self._learn(frame.group_id, frame.seq, Known(frame.id, frame.from_))
            case pushes.MessageEdited():
                self.versions[frame.id] = frame.version
                self._learn(frame.chat_id or frame.group_id or "", frame.seq)
            case pushes.MessageDeleted() | pushes.Reaction():
                self._learn(frame.chat_id or frame.group_id or "", frame.seq)
            case pushes.GroupMemberJoined() | pushes.GroupMemberLeft():
                self._learn(frame.group_id, frame.seq)
                if frame.username == self.user:
                    is_in = isinstance(frame, pushes.GroupMemberJoined)
                    self._be_member(frame.group_id, frame.seq, is_in=is_in)
            case pushes.GroupCreated() | pushes.GroupUpdated() | pushes.RoleChanged():
                self._learn(frame.group_id, frame.seq)

    def _hear_success(self, request: Request | None, ack: Success) -> None:
        conversation = ack.chat_id or ack.group_id
        if isinstance(request, requests.Resume):
            self.served |= request.positions.keys() - (ack.errors or {}).keys()
        if conversation is None or ack.seq is None or ack.prev is None:
            return
        match request:
            case requests.OneToOneChat() | requests.GroupChat() if ack.id is not None:
                assert request.client_msg_id is not None
                if self.pending.pop(request.client_msg_id, None) is not None:
                    self.acked.append(request)
                self._learn(conversation, ack.seq, Known(ack.id, self.user))
            case requests.JoinGroup():
                self._be_member(conversation, ack.seq, is_in=True)
            case requests.LeaveGroup():
                self._be_member(conversation, ack.seq, is_in=False)
            case requests.EditMessage() if ack.version is not None:
                self.versions[request.id] = ack.version
                self._learn(conversation, ack.seq)
            case requests.OnMessage() if not ack.duplicate:
                # The ack of a repeat names an event that perhaps has not come yet.
                self._learn(conversation, ack.seq)
            case requests.CreateGroup():
                self._learn(conversation, ack.seq)

    def _hear_error(self, request: Request | None, error: pushes.Error) -> None:
        if isinstance(request, requests.OneToOneChat | requests.GroupChat) and not error.temporary:
            assert request.client_msg_id is not None
            self.pending.pop(request.client_msg_id, None)
        elif isinstance(request, requests.JoinGroup | requests.LeaveGroup):
            if error.code is ErrorCode.ALREADY_A_MEMBER:
                self.is_out.discard(request.group_id)
            elif error.code is ErrorCode.NOT_A_MEMBER:
                self.is_out.add(request.group_id)

    def _learn(self, conversation: str, seq: int, message: Known | None = None) -> None:
        self.position(conversation).note(seq)
        if message is not None:
            known = self.known.setdefault(conversation, deque(maxlen=_KNOWN_MESSAGES))
            known.append(message)

    def _be_member(self, conversation: str, seq: int, *, is_in: bool) -> None:
        # What is between an earlier stay in the group and this one is not for the user.
        self.position(conversation).begin(seq)
        if is_in:
            self.is_out.discard(conversation)
        else:
            self.is_out.add(conversation)
