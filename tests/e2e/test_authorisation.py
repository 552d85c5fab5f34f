"""Who may send what: every request of the protocol by users of every standing, in one table."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, get_args

import pytest

from protocol import pushes, requests
from protocol.errors import ErrorCode
from protocol.requests import Request
from testclients.errors import RequestFailed
from tests.e2e.cast import STANDINGS, Actor, Cast, Standing, cast
from tests.e2e.frames import replaced
from tests.e2e.town import Town, everything
from tests.support.loop import run
from tests.support.node import Node

OK: Final = None
ALREADY: Final = ErrorCode.ALREADY_A_MEMBER
BLOCKED: Final = ErrorCode.BLOCKED
FORBIDDEN: Final = ErrorCode.FORBIDDEN
LAST_ADMIN: Final = ErrorCode.LAST_ADMIN
NOT_IN: Final = ErrorCode.NOT_A_MEMBER

Make = Callable[[Cast, Actor], Request]


class Row(NamedTuple):
    name: str
    make: Make
    expected: tuple[ErrorCode | None, ...]
    """In the order of STANDINGS: stranger, ex-member, blocked, member, admin."""


EVERYBODY: Final = (OK, OK, OK, OK, OK)
NOBODY: Final = (NOT_IN,) * 5
MEMBERS: Final = (NOT_IN, NOT_IN, OK, OK, OK)
MEMBERS_NOT_BLOCKED: Final = (NOT_IN, NOT_IN, BLOCKED, OK, OK)
ALL_NOT_BLOCKED: Final = (OK, OK, BLOCKED, OK, OK)
ADMINS: Final = (NOT_IN, NOT_IN, FORBIDDEN, FORBIDDEN, OK)


def in_group(kind: Callable[..., Request], **fields: Any) -> Make:
    return lambda cast, actor: kind(group_id=cast.group.id, **fields)


def in_open_group(kind: Callable[..., Request], **fields: Any) -> Make:
    return lambda cast, actor: kind(group_id=cast.open_group.id, **fields)


def in_chat(kind: Callable[..., Request], **fields: Any) -> Make:
    return lambda cast, actor: kind(chat_id=actor.direct.id, **fields)


def mixed_up(kind: Callable[..., Request], **fields: Any) -> Make:
    """The chat as if it were a group."""
    return lambda cast, actor: kind(group_id=actor.direct.id, **fields)


def to_peer(kind: Callable[..., Request], **fields: Any) -> Make:
    return lambda cast, actor: kind(to=actor.peer.name, **fields)


def of_message(kind: Callable[..., Request], which: str, **fields: Any) -> Make:
    """About a message: "own_in_group", or another of an actor's."""

    def make(cast: Cast, actor: Actor) -> Request:
        id = getattr(actor, which).id
        if which.endswith("group"):
            return kind(group_id=cast.group.id, id=id, **fields)
        return kind(chat_id=actor.direct.id, id=id, **fields)

    return make


r: Final = requests
ROWS: Final[dict[type, list[Row]]] = {
    r.OneToOneChat: [Row("to the peer", to_peer(r.OneToOneChat, content="x"), ALL_NOT_BLOCKED)],
    r.GroupChat: [
        Row("in the group", in_group(r.GroupChat, content="x"), MEMBERS),
        Row("in the chat", mixed_up(r.GroupChat, content="x"), NOBODY),
    ],
    r.GetOneToOneHistory: [
        Row("of the chat", in_chat(r.GetOneToOneHistory), MEMBERS),
        Row("with the peer", to_peer(r.GetOneToOneHistory), EVERYBODY),
        Row("group", lambda cast, _: r.GetOneToOneHistory(chat_id=cast.group.id), NOBODY),
    ],
    r.GetGroupChatHistory: [
        Row("of the group", in_group(r.GetGroupChatHistory), MEMBERS),
        Row("of the open group", in_open_group(r.GetGroupChatHistory), MEMBERS),
        Row("of the chat", mixed_up(r.GetGroupChatHistory), NOBODY),
    ],
    r.NewOneToOneChat: [Row("with the peer", to_peer(r.NewOneToOneChat), ALL_NOT_BLOCKED)],
    r.CreateGroup: [
        Row(
            "with the peer",
            lambda _, actor: r.CreateGroup(name="new", members=[actor.peer.name]),
            ALL_NOT_BLOCKED,
        ),
    ],
    r.JoinGroup: [
        Row("a closed group", in_group(r.JoinGroup), (NOT_IN, NOT_IN, *(ALREADY,) * 3)),
        Row("an open group", in_open_group(r.JoinGroup), (OK, OK, *(ALREADY,) * 3)),
        Row("a chat", mixed_up(r.JoinGroup), NOBODY),
    ],
    r.LeaveGroup: [
        Row("the group", in_group(r.LeaveGroup), (NOT_IN, NOT_IN, OK, OK, LAST_ADMIN)),
        Row("a chat", mixed_up(r.LeaveGroup), NOBODY),
    ],
    r.InitData: [Row("one's own", lambda *_: r.InitData(), EVERYBODY)],
    r.Resume: [
        Row("the group", lambda cast, _: r.Resume(positions={cast.group.id: 0}), MEMBERS),
        Row("the chat", lambda _, actor: r.Resume(positions={actor.direct.id: 0}), MEMBERS),
    ],
    r.Ack: [
        Row("in the group", in_group(r.Ack, seq=1), MEMBERS),
        Row("in the chat", in_chat(r.Ack, seq=1), MEMBERS),
        Row("mixed up", mixed_up(r.Ack, seq=1), NOBODY),
    ],
    r.MarkRead: [
        Row("in the group", in_group(r.MarkRead, seq=1), MEMBERS),
        Row("in the chat", in_chat(r.MarkRead, seq=1), MEMBERS),
        Row("mixed up", mixed_up(r.MarkRead, seq=1), NOBODY),
    ],
    r.Typing: [
        Row("in the group", in_group(r.Typing, is_typing=True), MEMBERS),
        Row("in the chat", in_chat(r.Typing, is_typing=True), MEMBERS_NOT_BLOCKED),
    ],
    r.EditMessage: [
        Row("own, group", of_message(r.EditMessage, "own_in_group", content="x"), MEMBERS),
        Row("other's, group", of_message(r.EditMessage, "others_in_group", content="x"), ADMINS),
        Row(
            "own, chat",
            of_message(r.EditMessage, "own_in_chat", content="x"),
            MEMBERS_NOT_BLOCKED,
        ),
        Row(
            "other's, chat",
            of_message(r.EditMessage, "others_in_chat", content="x"),
            (NOT_IN, NOT_IN, BLOCKED, FORBIDDEN, FORBIDDEN),
        ),
    ],
    r.DeleteMessage: [
        Row("other's, group", of_message(r.DeleteMessage, "others_in_group"), ADMINS),
        Row("own, group", of_message(r.DeleteMessage, "own_in_group"), MEMBERS),
        Row(
            "other's, chat",
            of_message(r.DeleteMessage, "others_in_chat"),
            (NOT_IN, NOT_IN, FORBIDDEN, FORBIDDEN, FORBIDDEN),
        ),
        Row("own, chat", of_message(r.DeleteMessage, "own_in_chat"), MEMBERS),
    ],
    r.React: [
        Row("in the group", of_message(r.React, "others_in_group", emoji="👍"), MEMBERS),
        Row("in the chat", of_message(r.React, "others_in_chat", emoji="👍"), MEMBERS_NOT_BLOCKED),
    ],
    r.SubscribePresence: [
        Row("peer", lambda _, actor: r.SubscribePresence(users=[actor.peer.name]), EVERYBODY),
    ],
    r.Ping: [Row("to the server", lambda *_: r.Ping(), EVERYBODY)],
    r.Disconnect: [Row("from the server", lambda *_: r.Disconnect(), EVERYBODY)],
}


async def outcome(actor: Actor, request: Request) -> ErrorCode | None:
    """Why a request is refused; None when it is granted."""
    client = actor.client
    if isinstance(request, requests.Disconnect):
        assert await client.disconnect() == 1000
        return OK
    if isinstance(request, requests.Typing):
        client.take_all()
        await client.send(request)
        errors = [one for one in await everything(client) if isinstance(one, pushes.Error)]
        return errors[0].code if errors else OK
    try:
        reply = await client.request(request)
    except RequestFailed as error:
        return error.code
    if isinstance(request, requests.Resume):
        assert isinstance(reply, pushes.Success)
        (place,) = request.positions
        return (reply.errors or {}).get(place)
    return OK


def test_every_request_has_a_row() -> None:
    assert ROWS.keys() == set(get_args(Request))
    for rows in ROWS.values():
        assert rows
        assert all(len(row.expected) == len(STANDINGS) for row in rows)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_who_may(kind: type, node: Node) -> None:
    async def main() -> None:
        async with cast(node) as people:
            for row in ROWS[kind]:
                found = {
                    standing: await outcome(actor, row.make(people, actor))
                    for standing, actor in people.actors.items()
                }
                assert found == dict(zip(STANDINGS, row.expected, strict=True)), row.name

    run(main())


def test_nobody_sends_in_the_name_of_another(node: Node) -> None:
    async def main() -> None:
        async with cast(node) as people:
            actor, admin = people.actors[Standing.MEMBER], people.actors[Standing.ADMIN]
            # There is nobody else whom DISCONNECT could disconnect.
            for rows in (ROWS[kind] for kind in ROWS if kind is not requests.Disconnect):
                for row in rows:
                    for name in (admin.who.name, ""):
                        request = replaced(row.make(people, actor), ref="forged", from_=name)
                        await actor.client.send(request)
                        error = await actor.client.next_push(pushes.Error)
                        assert (error.ref, error.code) == ("forged", FORBIDDEN), request
            request = requests.GroupChat(
                group_id=people.group.id, from_=actor.who.name, content="in my own name"
            )
            assert await outcome(actor, request) is OK

    run(main())


def test_what_one_is_not_in_looks_like_what_is_not_there(node: Node) -> None:
    async def main() -> None:
        async with cast(node) as people:
            stranger = people.actors[Standing.STRANGER]
            tried = 0
            for kind, rows in ROWS.items():
                for row in rows:
                    if row.expected[0] is not NOT_IN or kind is requests.Resume:
                        continue
                    words = set()
                    for foreign in (True, False):
                        request = row.make(people, stranger)
                        if not foreign:
                            request = elsewhere(request)
                        await stranger.client.send(replaced(request, ref="r"))
                        error = await stranger.client.next_push(pushes.Error)
                        words.add((error.code, error.msg))
                    assert len(words) == 1, f"{kind.__name__} {row.name}: {words}"
                    tried += 1
            assert tried > 20

    def elsewhere(request: Request) -> Request:
        """The same about a conversation that does not exist."""
        fields: dict[str, str] = {}
        for name, other in (("chat_id", "nobody.a-nobody.b"), ("group_id", "1234567")):
            if getattr(request, name, None) is not None:
                fields[name] = other
                if isinstance(request, requests.OnMessage):
                    fields["id"] = f"AAAAAAAA1.{other}"
        return replaced(request, **fields)

    run(main())


def test_on_the_presence_door_conversations_are_unknown(node: Node) -> None:
    async def main() -> None:
        async with cast(node) as people, Town(node) as town:
            actor = people.actors[Standing.ADMIN]
            client = await town.connect(actor.who, presence=True)
            known = {requests.SubscribePresence, requests.Ping, requests.Disconnect}
            for kind in ROWS.keys() - known:
                for row in ROWS[kind]:
                    with pytest.raises(RequestFailed) as refused:
                        await client.request(row.make(people, actor))
                    assert refused.value.code is ErrorCode.UNKNOWN_TYPE

    run(main())
