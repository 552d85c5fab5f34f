"""Opening direct conversations, and making, joining and leaving groups."""

from chatd import ids
from chatd.auth import Principal
from chatd.clock import Clock
from chatd.delivery.outbox import Outbox
from chatd.delivery.relay import Relay
from chatd.errors import ChatError, invalid_field, no_such_user
from chatd.events import AnyBody, EventKind, GroupCreatedBody, MemberBody
from chatd.fabric.name_filter import NameFilter, of_user
from chatd.services.gate import Gate
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.ledger import Done, Entry, Outcome
from chatd.stores.user_store import UserStore
from protocol import limits
from protocol.codec import encode
from protocol.errors import ErrorCode
from protocol.framing import text_message
from protocol.pushes import NewOneToOneChat as NewChatPush
from protocol.requests import CreateGroup, JoinGroup, LeaveGroup, NewOneToOneChat


class Conversations:
    def __init__(
        self,
        gate: Gate,
        store: ConversationStore,
        users: UserStore,
        relay: Relay,
        clock: Clock,
        names: NameFilter,
    ) -> None:
        self._gate = gate
        self._store = store
        self._users = users
        self._relay = relay
        self._clock = clock
        self._names = names
        self._nonces = ids.Nonces()
        self._group_ids = ids.GroupIds()

    async def open_direct(self, principal: Principal, request: NewOneToOneChat) -> str:
        """Make the direct conversation with a user, if it is not there; its id. The other is told.

        Raises:
            ChatError: INVALID_FIELD for oneself, NO_SUCH_USER, BLOCKED.
        """
        username = principal.username
        if request.to == username:
            raise invalid_field("to", "one cannot write to oneself")
        if await self._names.is_absent(of_user(request.to)):
            raise no_such_user(request.to)
        if await self._users.blocked_among(username, [request.to]):
            raise ChatError(ErrorCode.BLOCKED, "one of you has blocked the other")
        if not await self._store.open_direct(username, request.to, self._clock.now_ms()):
            self._names.asked_in_vain(request.to)
            raise no_such_user(request.to)
        conversation_id = ids.direct_id(username, request.to)
        push = NewChatPush(from_=username, chat_id=conversation_id)
        self._relay.push([request.to], text_message(encode(push)))
        return conversation_id

    def create_group(
        self, principal: Principal, request: CreateGroup, origin: Outbox | None, done: Done
    ) -> None:
        """Make a group of the caller, its admin, and the members; `done` gets the outcome.

        Raises:
            ChatError: TOO_LARGE, more members than one may name at once.
        """
        entry = self._made(principal, request)
        entry.origin, entry.done = origin, done
        self._gate.make_group(entry)

    async def append_group(self, principal: Principal, request: CreateGroup) -> Outcome:
        """As `create_group`, for a caller who waits for the outcome."""
        return await self._gate.append_group(self._made(principal, request))

    def join_group(
        self, principal: Principal, request: JoinGroup, origin: Outbox | None, done: Done
    ) -> None:
        """Join an open group; `done` gets the outcome.

        Raises:
            ChatError: INVITE_EXPIRED, the invite is not one that is valid.
        """
        if request.invite is not None:
            raise ChatError(
                ErrorCode.INVITE_EXPIRED, "the invite is used up, expired, revoked or unknown"
            )
        body = MemberBody(principal.username)
        self._submit(EventKind.MEMBER_JOINED, request.group_id, principal, body, origin, done)

    def leave_group(
        self, principal: Principal, request: LeaveGroup, origin: Outbox | None, done: Done
    ) -> None:
        """Leave a group; `done` gets the outcome."""
        body = MemberBody(principal.username)
        self._submit(EventKind.MEMBER_LEFT, request.group_id, principal, body, origin, done)

    def _made(self, principal: Principal, request: CreateGroup) -> Entry:
        if len(request.members) > limits.CREATE_GROUP_MEMBERS:
            raise ChatError(
                ErrorCode.TOO_LARGE,
                f"`members`: at most {limits.CREATE_GROUP_MEMBERS} can be named at once",
            )
        check_group_name(request.name)
        members = list(dict.fromkeys([principal.username, *request.members]))
        body = GroupCreatedBody(request.name, members, request.open, request.history)
        group_id = self._group_ids.new(self._clock.now_ms())
        return self._entry(EventKind.GROUP_CREATED, group_id, principal, body)

    def _submit(
        self,
        kind: EventKind,
        group_id: str,
        principal: Principal,
        body: AnyBody,
        origin: Outbox | None,
        done: Done,
    ) -> None:
        entry = self._entry(kind, group_id, principal, body)
        entry.origin, entry.done = origin, done
        self._gate.to_group(entry)

    def _entry(self, kind: EventKind, group_id: str, principal: Principal, body: AnyBody) -> Entry:
        now_ms = self._clock.now_ms()
        return Entry(group_id, kind, principal.username, body, self._nonces.new(), now_ms)


def check_group_name(name: str) -> None:
    """Raises ChatError, INVALID_FIELD: nobody could read the name."""
    if not name.strip() or not name.isprintable():
        raise invalid_field("name", "a group's name has visible characters, and no line breaks")
