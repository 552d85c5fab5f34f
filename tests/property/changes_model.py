"""What a ledger should answer to changes of a group or a chat, from plain dicts."""

from chatd.events import (
    DeleteBody,
    EditBody,
    EventKind,
    GroupUpdatedBody,
    MemberBody,
    MessageBody,
    ReactionBody,
    RoleBody,
)
from chatd.ids import Place
from chatd.stores.ledger import Entry, Outcome
from protocol.errors import ErrorCode
from protocol.model import Role


class Said:
    """A message with what became of it."""

    def __init__(self, nonce: int, author: str, content: str) -> None:
        self.nonce = nonce
        self.author = author
        self.content = content
        self.version = 1
        self.deleted_seq: int | None = None
        self.reactions: dict[tuple[str, str], int] = {}
        """By emoji and user, the event that added it."""


class Conversation:
    """The members with their roles, the messages, and how many events there were."""

    def __init__(self, conversation_id: str, roles: dict[str, Role], head: int) -> None:
        self.conversation_id = conversation_id
        self.is_group = "-" not in conversation_id
        self.roles = roles
        self.floors = dict.fromkeys(roles, 0)
        """What each member may read is above it."""
        self.name: str | None = None
        self.head = head
        self.messages: dict[int, Said] = {}
        self.gone: set[str] = set()
        """What deleted messages and their edits said."""
        self.said_in: dict[int, list[str]] = {}
        """All that each message ever said."""

    def place(self, pick: int) -> Place:
        """Some event of the conversation, or the one after the last: not all are messages."""
        seq = 1 + pick % (self.head + 1)
        said = self.messages.get(seq)
        return Place(self.conversation_id, seq, 1 if said is None else said.nonce)

    def expect(self, entry: Entry) -> Outcome:
        """What the entry should be answered; what it changes is changed."""
        code = self._refusal(entry)
        if code is not None:
            return Outcome(code)
        first = self._first(entry)
        if first is not None:
            return Outcome(seq=first, duplicate=True)
        self.head += 1
        return Outcome(seq=self.head, version=self._change(entry))

    def _refusal(self, entry: Entry) -> ErrorCode | None:
        sender, body, roles = entry.sender, entry.body, self.roles
        if entry.kind is EventKind.MEMBER_JOINED:
            assert isinstance(body, MemberBody)
            if not self.is_group:
                return ErrorCode.NOT_A_MEMBER
            if body.username == sender:
                return ErrorCode.ALREADY_A_MEMBER if sender in roles else None
        if sender not in roles:
            return ErrorCode.NOT_A_MEMBER
        match body:
            case EditBody() | DeleteBody() | ReactionBody():
                return self._message_refusal(entry)
            case MessageBody():
                return None
        if not self.is_group:
            return ErrorCode.NOT_A_MEMBER
        is_own = isinstance(body, MemberBody) and body.username == sender
        if not is_own and roles[sender] is not Role.ADMIN:
            return ErrorCode.FORBIDDEN
        return self._admin_refusal(entry)

    def _admin_refusal(self, entry: Entry) -> ErrorCode | None:
        body, roles = entry.body, self.roles
        if isinstance(body, GroupUpdatedBody):
            return None
        assert isinstance(body, MemberBody | RoleBody)
        if entry.kind is EventKind.MEMBER_JOINED:
            return ErrorCode.ALREADY_A_MEMBER if body.username in roles else None
        if body.username not in roles:
            return ErrorCode.NOT_A_MEMBER
        is_last = [one for one, role in roles.items() if role is Role.ADMIN] == [body.username]
        if isinstance(body, RoleBody):
            return ErrorCode.LAST_ADMIN if is_last and body.role is Role.MEMBER else None
        return ErrorCode.LAST_ADMIN if is_last and len(roles) > 1 else None

    def _message_refusal(self, entry: Entry) -> ErrorCode | None:
        assert entry.target is not None
        said = self.messages.get(entry.target.seq)
        if said is None or entry.target.seq <= self.floors[entry.sender]:
            return ErrorCode.NO_SUCH_MESSAGE
        is_delete = isinstance(entry.body, DeleteBody)
        if said.deleted_seq is not None and not is_delete:
            return ErrorCode.NO_SUCH_MESSAGE
        if isinstance(entry.body, ReactionBody):
            return None
        if entry.sender != said.author and self.roles[entry.sender] is not Role.ADMIN:
            return ErrorCode.FORBIDDEN
        if not is_delete and entry.version not in (None, said.version):
            return ErrorCode.VERSION_CONFLICT
        return None

    def _first(self, entry: Entry) -> int | None:
        """The number of what is there already."""
        body = entry.body
        if isinstance(body, RoleBody):
            return self.head if self.roles[body.username] is body.role else None
        if not isinstance(body, DeleteBody | ReactionBody):
            return None
        assert entry.target is not None
        said = self.messages[entry.target.seq]
        if isinstance(body, DeleteBody):
            return said.deleted_seq
        there = said.reactions.get((body.emoji, entry.sender))
        return (entry.target.seq if there is None else None) if body.remove else there

    def _change(self, entry: Entry) -> int:
        """Make the change of the event that is the head now; the version of an edit."""
        body, seq = entry.body, self.head
        match body:
            case MessageBody():
                self.messages[seq] = Said(entry.nonce, entry.sender, body.content)
                self.said_in[seq] = [body.content]
            case MemberBody() if entry.kind is EventKind.MEMBER_JOINED:
                self.roles[body.username] = Role.MEMBER if self.roles else Role.ADMIN
                self.floors[body.username] = seq - 1
            case MemberBody():
                del self.roles[body.username]
            case RoleBody():
                self.roles[body.username] = body.role
            case GroupUpdatedBody():
                self.name = body.name
            case EditBody() | DeleteBody() | ReactionBody():
                assert entry.target is not None
                return self._change_message(entry.target.seq, entry)
        return 0

    def _change_message(self, seq: int, entry: Entry) -> int:
        said, body = self.messages[seq], entry.body
        match body:
            case EditBody():
                said.version += 1
                said.content = body.content
                self.said_in[seq].append(body.content)
                return said.version
            case DeleteBody():
                said.deleted_seq = self.head
                said.content = ""
                said.reactions = {}
                self.gone.update(self.said_in[seq])
            case ReactionBody():
                if body.remove:
                    del said.reactions[body.emoji, entry.sender]
                else:
                    said.reactions[body.emoji, entry.sender] = self.head
        return 0
