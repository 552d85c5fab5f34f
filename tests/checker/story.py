"""A history as the checks read it: by connection, by conversation, by post."""

import bisect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from protocol import pushes, requests
from protocol.model import ChatSummary, GroupSummary, HistoryMessage
from protocol.pushes import Reply, Success
from protocol.requests import Request
from tests.checker import history
from tests.checker.history import AnyRecord

EventFrame = (
    pushes.OneToOneChat
    | pushes.GroupChat
    | pushes.GroupCreated
    | pushes.GroupMemberJoined
    | pushes.GroupMemberLeft
    | pushes.GroupUpdated
    | pushes.RoleChanged
    | pushes.MessageEdited
    | pushes.MessageDeleted
    | pushes.Reaction
)
Page = pushes.OneToOneChatHistory | pushes.GroupChatHistory
PostRequest = requests.OneToOneChat | requests.GroupChat


def place_of(frame: object) -> str:
    """The conversation that a frame names; "" for none."""
    return getattr(frame, "chat_id", None) or getattr(frame, "group_id", None) or ""


class Heard(NamedTuple):
    """An event that a connection was told of."""

    record: int
    frame: EventFrame

    @property
    def seq(self) -> int:
        return self.frame.seq


class Answer(NamedTuple):
    record: int
    reply: Reply


class Interval(NamedTuple):
    """A stay of a user in a conversation; its own coming and going are part of it."""

    first: int
    last: int | None

    def has(self, seq: int) -> bool:
        return self.first <= seq and (self.last is None or seq <= self.last)


class Life(NamedTuple):
    """Of a node, between two kills."""

    node: int
    number: int


class Loss(NamedTuple):
    """Of a service, from one record to another; None for one that is not found again."""

    lost: int
    found: int | None


class Line:
    """One connection."""

    def __init__(self, began: int, connecting: history.Connecting) -> None:
        self.began = began
        self.number = connecting.connection
        self.device = connecting.device
        self.user = connecting.user
        self.resumes = connecting.resumes
        self.node = connecting.node
        self.connected: int | None = None
        self.log_id: str | None = None
        self.ended: int | None = None
        self.code = 0
        """With which it was closed."""
        self.overdue: list[tuple[int, list[int]]] = []
        self.asked: dict[int, Request] = {}
        self.answers: dict[int, Answer] = {}
        self.strays: list[Answer] = []
        """Replies that answer nothing, or something once more."""
        self.told: dict[str, list[Heard]] = {}
        self.receipts: list[tuple[int, pushes.Receipt]] = []
        self.resyncs: list[tuple[int, pushes.Resync]] = []
        self.own: dict[str, dict[int, int]] = {}
        """Numbers of the events that it caused itself, with the records of their acks."""
        self.settled: tuple[int, dict[str, int]] | None = None

    def resumed(self, conversation: str) -> list[tuple[int, int]]:
        """The records of its RESUMEs that named the conversation, with the positions."""
        return [
            (record, request.positions[conversation])
            for record, request in self.asked.items()
            if isinstance(request, requests.Resume) and conversation in request.positions
        ]

    def served(self, record: int, conversation: str) -> bool:
        """Whether this RESUME was answered, and not refused for the conversation."""
        answer = self.answers.get(record)
        return (
            answer is not None
            and isinstance(answer.reply, Success)
            and conversation not in (answer.reply.errors or {})
        )


class Post:
    """A post, however often it was sent."""

    def __init__(self, user: str, request: PostRequest) -> None:
        self.user = user
        self.request = request
        self.conversation = (
            request.group_id
            if isinstance(request, requests.GroupChat)
            else "-".join(sorted((user, request.to), key=str.encode))
        )
        self.asked: list[int] = []
        self.acks: list[tuple[int, Success]] = []


class Story:
    def __init__(self, records: Sequence[AnyRecord]) -> None:
        self.lines: dict[int, Line] = {}
        self.posts: dict[tuple[str, str], Post] = {}
        """By user and clientMsgId."""
        self.edits: dict[tuple[str, str], set[str]] = {}
        """By user and message, the contents that it asked for."""
        self.readers: dict[str, Line] = {}
        """The connection that read a conversation at the end."""
        self.garbled: list[tuple[int, str]] = []
        self.shut_out: list[tuple[int, Line, str]] = []
        self._kills: dict[int, list[int]] = {}
        """By node."""
        self._losses: dict[str, list[Loss]] = {}
        """By service, in their order."""
        self._by_user: dict[str, list[Line]] = {}
        for number, record in enumerate(records):
            self._take(number, record)
        self.nodes = {line.node for line in self.lines.values()}
        self.log: dict[str, dict[int, EventFrame]] = {
            conversation: {heard.seq: heard.frame for heard in line.told.get(conversation, ())}
            for conversation, line in self.readers.items()
        }
        self.heads = {name: max(log, default=0) for name, log in self.log.items()}
        self.stored: dict[str, list[HistoryMessage]] = {
            conversation: [message for page in pages(line, conversation) for message in page]
            for conversation, line in self.readers.items()
        }
        self.messages = {
            (conversation, message.seq): message
            for conversation, messages in self.stored.items()
            for message in messages
        }
        """What is stored, by conversation and number."""
        self.deleted: dict[str, dict[int, int]] = {}
        """By message, the first record by which each node told of its end."""
        self.first_record: dict[str, int] = {}
        """By conversation, the first record of an event of it."""
        self.members: dict[str, dict[str, list[Interval]]] = {
            conversation: _members(log) for conversation, log in self.log.items()
        }
        self._find_firsts()

    @property
    def conversations(self) -> set[str]:
        """All of which anybody was told or got an ack."""
        return set(self.first_record)

    def lines_of(self, user: str) -> list[Line]:
        return self._by_user.get(user, [])

    def intervals(self, conversation: str, user: str) -> list[Interval]:
        return self.members.get(conversation, {}).get(user, [])

    def always_in(self, conversation: str, user: str) -> bool:
        """Whether the user is in it from its beginning to its end."""
        return self.intervals(conversation, user) == [Interval(1, None)]

    def life(self, line: Line) -> Life:
        """Which life of which node a connection was made in."""
        made = line.connected or line.began
        return Life(line.node, bisect.bisect(self._kills.get(line.node, ()), made))

    def was_lost(self, service: str, first: int, last: int) -> bool:
        """Whether the service was gone at any time from one record to another."""
        return any(
            loss.lost <= last and (loss.found is None or loss.found >= first)
            for loss in self._losses.get(service, ())
        )

    def _take(self, number: int, record: AnyRecord) -> None:
        match record:
            case history.Connecting():
                line = self.lines[record.connection] = Line(number, record)
                self._by_user.setdefault(line.user, []).append(line)
            case history.Killed():
                self._kills.setdefault(record.node, []).append(number)
            case history.Restarted():
                pass
            case history.Lost():
                self._losses.setdefault(record.service, []).append(Loss(number, None))
            case history.Found():
                last = self._losses[record.service][-1]
                self._losses[record.service][-1] = last._replace(found=number)
            case history.Garbled():
                self.garbled.append((number, record.problem))
            case history.ShutOut():
                self.shut_out.append((number, self.lines[record.connection], record.problem))
            case history.Audited():
                line = self.lines[record.connection]
                self.readers |= {name: line for name in record.conversations}
            case _:
                self._take_of_line(number, record, self.lines[record.connection])

    def _take_of_line(
        self,
        number: int,
        record: history.Connected
        | history.Asked
        | history.Answered
        | history.Told
        | history.Overdue
        | history.Ended
        | history.Settled,
        line: Line,
    ) -> None:
        match record:
            case history.Connected():
                line.connected, line.log_id = number, record.log_id
            case history.Ended():
                line.ended, line.code = number, record.code
            case history.Overdue():
                line.overdue.append((number, record.asked))
            case history.Settled():
                line.settled = number, record.heads
            case history.Asked():
                line.asked[number] = record.request
                self._take_request(number, record.request, line)
            case history.Answered():
                self._take_answer(number, record, line)
            case history.Told():
                match record.frame:
                    case pushes.Receipt() as receipt:
                        line.receipts.append((number, receipt))
                    case pushes.Resync() as resync:
                        line.resyncs.append((number, resync))
                    case frame if isinstance(frame, EventFrame):
                        line.told.setdefault(place_of(frame), []).append(Heard(number, frame))

    def _take_request(self, number: int, request: Request, line: Line) -> None:
        match request:
            case requests.OneToOneChat() | requests.GroupChat() if request.client_msg_id:
                key = (line.user, request.client_msg_id)
                post = self.posts.get(key)
                if post is None:
                    post = self.posts[key] = Post(line.user, request)
                post.asked.append(number)
            case requests.EditMessage():
                self.edits.setdefault((line.user, request.id), set()).add(request.content)

    def _take_answer(self, number: int, record: history.Answered, line: Line) -> None:
        reply = record.reply
        request = None if record.asked is None else line.asked.get(record.asked)
        if request is None or record.asked is None or record.asked in line.answers:
            line.strays.append(Answer(number, reply))
            return
        line.answers[record.asked] = Answer(number, reply)
        if not isinstance(reply, Success):
            return
        if isinstance(request, PostRequest) and request.client_msg_id:
            self.posts[line.user, request.client_msg_id].acks.append((number, reply))
        if reply.seq is not None and reply.prev is not None and not reply.duplicate:
            line.own.setdefault(place_of(reply), {})[reply.seq] = number

    def _find_firsts(self) -> None:
        for line in self.lines.values():
            for conversation, told in line.told.items():
                self._note_first(conversation, told[0].record)
                for record, frame in told:
                    if isinstance(frame, pushes.MessageDeleted):
                        self._note_deleted(frame.id, line.node, record)
            for conversation, own in line.own.items():
                self._note_first(conversation, min(own.values()))
            for asked, answer in line.answers.items():
                request = line.asked[asked]
                reply = answer.reply
                if isinstance(request, requests.DeleteMessage) and isinstance(reply, Success):
                    if reply.duplicate and len(self.nodes) > 1:
                        # The node that deleted it may have been another.
                        self.deleted.setdefault(request.id, {})
                    else:
                        self._note_deleted(request.id, line.node, answer.record)

    def _note_first(self, conversation: str, record: int) -> None:
        self.first_record[conversation] = min(record, self.first_record.get(conversation, record))

    def _note_deleted(self, message: str, node: int, record: int) -> None:
        told = self.deleted.setdefault(message, {})
        told[node] = min(record, told.get(node, record))


def pages(line: Line, conversation: str) -> Iterator[list[HistoryMessage]]:
    """The pages of a conversation's history that a connection was given."""
    for answer in line.answers.values():
        if isinstance(answer.reply, Page) and place_of(answer.reply) == conversation:
            yield answer.reply.messages


def summaries(reply: pushes.InitData) -> list[ChatSummary | GroupSummary]:
    """Every conversation of an INIT_DATA."""
    return [*reply.chats, *reply.groups]


def as_stored(frame: EventFrame) -> EventFrame:
    """The frame without what depends on when and to whom it was told."""
    if isinstance(frame, pushes.OneToOneChat | pushes.GroupChat):
        return msgspec.structs.replace(frame, offline=False, content="", mentions=None)
    if isinstance(frame, pushes.MessageEdited):
        return msgspec.structs.replace(frame, offline=False, content="")
    return msgspec.structs.replace(frame, offline=False)


def _members(log: dict[int, EventFrame]) -> dict[str, list[Interval]]:
    found: dict[str, list[Interval]] = {}
    for seq, frame in sorted(log.items()):
        match frame:
            case pushes.OneToOneChat() if not found:
                found = {frame.from_: [Interval(1, None)], frame.to: [Interval(1, None)]}
            case pushes.GroupCreated():
                found |= {member: [Interval(seq, None)] for member in frame.members}
            case pushes.GroupMemberJoined():
                found.setdefault(frame.username, []).append(Interval(seq, None))
            case pushes.GroupMemberLeft():
                stays = found.setdefault(frame.username, [Interval(1, None)])
                stays[-1] = Interval(stays[-1].first, seq)
    return found
