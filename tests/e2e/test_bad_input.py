"""What is wrong with a message is said in one ERROR; nothing is stored, the connection stays."""

import json
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect

from protocol import requests
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.limits import CONTENT_BYTES, FRAME_BYTES
from protocol.pushes import Error, OneToOneChat, Pong
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e.town import Town, contents, everything
from tests.edge.raw import BINARY, CONT, TEXT, RawClient, frame
from tests.support.loop import run
from tests.support.node import Node

MALFORMED = ErrorCode.MALFORMED_FRAME
INVALID = ErrorCode.INVALID_FIELD


async def check_answered(client: ChatClient, message: str | bytes) -> Error:
    """The message is answered with an ERROR and nothing else, and PING is answered after it."""
    await client.send_raw(message)
    error = await client.next_push(Error)
    assert not error.temporary and error.msg
    assert isinstance(await client.ping(), Pong)
    assert await everything(client) == []
    return error


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("", MALFORMED, id="nothing"),
        pytest.param(" ", MALFORMED, id="a blank"),
        pytest.param("hello", MALFORMED, id="no JSON"),
        pytest.param("{", MALFORMED, id="half an object"),
        pytest.param('{"type": "PING"} {"type": "PING"}', MALFORMED, id="two objects"),
        pytest.param('[{"type": "PING"}]', MALFORMED, id="a list"),
        pytest.param('"PING"', MALFORMED, id="a string"),
        pytest.param("null", MALFORMED, id="null"),
        pytest.param("17", MALFORMED, id="a number"),
        pytest.param("[" * 60_000, MALFORMED, id="nested"),
        pytest.param('{"type": "PING", "x": ' + '{"a":' * 20_000, MALFORMED, id="nested aside"),
        pytest.param("{}", INVALID, id="no type"),
        pytest.param('{"type": 7}', INVALID, id="type is a number"),
        pytest.param('{"type": null}', INVALID, id="type is null"),
        pytest.param('{"type": "DANCE"}', ErrorCode.UNKNOWN_TYPE, id="unknown"),
        pytest.param('{"type": "ping"}', ErrorCode.UNKNOWN_TYPE, id="small letters"),
        pytest.param('{"type": "SUCCESS"}', ErrorCode.UNKNOWN_TYPE, id="a reply"),
        pytest.param('{"type": "INFO"}', ErrorCode.UNKNOWN_TYPE, id="a push"),
        pytest.param(b'{"type": "PING"}', MALFORMED, id="binary"),
        pytest.param(b"", MALFORMED, id="empty binary"),
        pytest.param(b"\xff\xfe", MALFORMED, id="binary that is no text"),
    ],
)
def test_what_is_no_request(message: str | bytes, code: ErrorCode, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            assert (await check_answered(ann, message)).code is code

    run(main())


DIRECT: Final[dict[str, Any]] = {"type": "ONE_TO_ONE_CHAT", "to": "ben", "content": "x"}
GROUP: Final[dict[str, Any]] = {"type": "GROUP_CHAT", "groupId": "1", "content": "x"}
HISTORY: Final[dict[str, Any]] = {"type": "GET_ONE_TO_ONE_HISTORY", "to": "ben"}
CREATE: Final[dict[str, Any]] = {"type": "CREATE_GROUP", "name": "club"}
JOIN: Final[dict[str, Any]] = {"type": "JOIN_GROUP", "groupId": "1"}
WATCH: Final[dict[str, Any]] = {"type": "SUBSCRIBE_PRESENCE", "users": []}

WRONG_FIELDS: Final[list[tuple[dict[str, Any], str, list[object]]]] = [
    (DIRECT, "to", [7, None, "", "ab", "Ben", "ben/", "ben\n", [], "x" * 33]),
    (DIRECT, "content", [None, 7, "", [], {}]),
    (DIRECT, "chatId", [7, "", "a b", "x" * 66]),
    (DIRECT, "clientMsgId", [7, "", "x" * 65, "a\nb", "a\0b"]),
    (DIRECT, "replyTo", [7, "", "x" * 111, "no id", "AAAAAAAA1.other"]),
    (DIRECT, "mentions", [7, "ben", [7], ["Ben"], ["ben"] * 51]),
    (DIRECT, "ttlSeconds", [0, -1, 604_801, 1.5, "60", 60, 1, 604_800]),
    (DIRECT, "from", [7, []]),
    (DIRECT, "ref", [7, "x" * 65]),
    (GROUP, "groupId", [7, "", "a b", "x" * 66, "GROUP"]),
    (GROUP, "ttlSeconds", [60, "60"]),
    (HISTORY, "before", [-1, 1.5, "7", 2**53]),
    (HISTORY, "after", [-1, 1.5, "7", 2**53]),
    (HISTORY, "limit", [0, -1, 201, None, "50"]),
    (CREATE, "name", [None, 7, "", "x" * 101]),
    (CREATE, "members", [None, 7, ["B"], [7]]),
    (CREATE, "open", [None, 1, "true"]),
    (CREATE, "history", [None, "none", "JOINED"]),
    (JOIN, "groupId", [None, 7, "a b"]),
    (JOIN, "invite", [7, "x" * 65]),
    (WATCH, "users", [None, "ben", [7], ["B"]]),
]


@pytest.mark.parametrize(
    ("request_", "field", "value"),
    [
        pytest.param(request, field, value, id=f"{request['type']} {field} {value!s:.10}")
        for request, field, values in WRONG_FIELDS
        for value in values
    ],
)
def test_a_wrong_field_is_named(
    request_: dict[str, Any], field: str, value: object, shared: "Shared"
) -> None:
    error = shared.ask(json.dumps({"ref": "r"} | request_ | {field: value}))
    assert error.code is INVALID
    assert error.msg.startswith(f"`{field}"), error.msg
    assert error.ref == (None if field == "ref" else "r")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (DIRECT, "to"),
        (DIRECT, "content"),
        (GROUP, "groupId"),
        (GROUP, "content"),
        (HISTORY, "to"),
        (CREATE, "name"),
        (JOIN, "groupId"),
        (WATCH, "users"),
    ],
)
def test_a_missing_field_is_named(request_: dict[str, Any], field: str, shared: "Shared") -> None:
    left = {name: value for name, value in request_.items() if name != field}
    error = shared.ask(json.dumps(left | {"ref": "r"}))
    assert (error.code, error.ref) == (INVALID, "r")
    assert f"`{field}`" in error.msg


class Shared:
    """One user for many cases, each on a connection of its own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._who = run(Town(node).settle("ann"))

    def ask(self, message: str) -> Error:
        async def main() -> Error:
            async with Town(self._node) as town:
                return await check_answered(await town.connect(self._who), message)

        return run(main())


@pytest.fixture(scope="module")
def shared(node: Node) -> Shared:
    return Shared(node)


def test_nobody_writes_as_somebody_else(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.online("ann", "ben", "cat")
            made = await ann.create_group("club", [ben.user], open=True)
            group = made.group_id
            assert group is not None
            await everything(ben)
            forged: list[requests.Request] = [
                requests.OneToOneChat(from_=cat.user, to=ben.user, content="forged"),
                requests.OneToOneChat(from_="", to=ben.user, content="forged"),
                requests.GroupChat(from_=cat.user, group_id=group, content="forged"),
                requests.NewOneToOneChat(from_=cat.user, to=ben.user),
                requests.CreateGroup(from_=cat.user, name="forged", members=[ben.user]),
                requests.JoinGroup(from_=cat.user, group_id=group),
                requests.LeaveGroup(from_=ben.user, group_id=group),
                requests.GetOneToOneHistory(from_=ben.user, to=cat.user),
                requests.GetGroupChatHistory(from_=ben.user, group_id=group),
                requests.InitData(from_=ben.user),
                requests.SubscribePresence(from_=ben.user, users=[cat.user]),
            ]
            for request in forged:
                with pytest.raises(RequestFailed, match="`from`") as refused:
                    await ann.request(request)
                assert refused.value.code is ErrorCode.FORBIDDEN, request
            for client in (ann, ben, cat):
                assert await everything(client) == []
            assert (await ann.init_data()).chats == []
            assert (await ann.history_group(group)).head_seq == 1
            await ann.request(
                requests.OneToOneChat(from_=ann.user, to=ben.user, content="in one's own name")
            )

    run(main())


def test_what_the_store_refuses(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.online("ann", "ben", "cat")
            made = await ben.create_group("club")
            group = made.group_id
            assert group is not None
            refusals: list[tuple[requests.Request, ErrorCode, str]] = [
                (
                    requests.OneToOneChat(to="nobody.here", content="x"),
                    ErrorCode.NO_SUCH_USER,
                    "nobody.here",
                ),
                (requests.OneToOneChat(to=ann.user, content="x"), INVALID, "`to`"),
                (
                    requests.OneToOneChat(
                        to=ben.user, chat_id=f"{ben.user}-{cat.user}", content="x"
                    ),
                    INVALID,
                    "`chatId`",
                ),
                (requests.GroupChat(group_id=group, content="x"), ErrorCode.NOT_A_MEMBER, ""),
                (requests.GroupChat(group_id="1", content="x"), ErrorCode.NOT_A_MEMBER, ""),
            ]
            for request, code, words in refusals:
                with pytest.raises(RequestFailed) as refused:
                    await ann.request(request)
                assert (refused.value.code, refused.value.temporary) == (code, False)
                assert words in refused.value.msg
            assert await everything(ben) == []
            assert (await ann.init_data()).chats == []

    run(main())


@pytest.mark.parametrize(
    ("content", "size"),
    [("x", 1), ("ü", 2), ("€", 3), ("\U0001f44b", 4), ("\\", 1), ("\n", 1), ("\0", 1)],
)
def test_content_is_measured_in_bytes_of_utf_8(content: str, size: int, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            made = await ann.create_group("club", [ben.user])
            assert made.group_id is not None
            most = content * (CONTENT_BYTES // size)
            most += "x" * (CONTENT_BYTES - len(most.encode()))
            await ann.send_direct(ben.user, most)
            await ann.send_group(made.group_id, most)
            for send, to in ((ann.send_direct, ben.user), (ann.send_group, made.group_id)):
                with pytest.raises(RequestFailed, match=r"`content`.*16385.*16384") as refused:
                    await send(to, most + "x")
                assert refused.value.code is ErrorCode.TOO_LARGE
            assert contents(await everything(ben)) == [most, most]
            assert [one.content for one in (await ben.history_direct(ann.user)).messages] == [most]

    run(main())


def test_a_message_that_should_vanish_is_never_kept(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            made = await ann.create_group("club", [ben.user])
            assert made.group_id is not None
            await everything(ben)
            secrets: list[requests.Request] = [
                requests.OneToOneChat(to=ben.user, content="secret", ttl_seconds=60),
                requests.GroupChat(group_id=made.group_id, content="secret", ttl_seconds=60),
            ]
            for request in secrets:
                with pytest.raises(RequestFailed, match="ttlSeconds") as refused:
                    await ann.request(request)
                assert refused.value.code is INVALID
            assert await everything(ben) == []
            assert (await ann.history_direct(ben.user)).head_seq == 0
            assert (await ann.history_group(made.group_id)).messages == []

    run(main())


def test_unknown_fields_are_ignored(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            await ann.send_raw(
                json.dumps(
                    {"type": "ONE_TO_ONE_CHAT", "to": ben.user, "content": "hi", "seq": 99, "x": {}}
                )
            )
            push = await ben.next_push(OneToOneChat)
            assert (push.content, push.seq) == ("hi", 1)

    run(main())


def test_ten_messages_in_a_row_that_are_no_request_end_the_connection(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            for _ in range(3):
                for number in range(9):
                    await ann.send_raw(b"" if number % 2 else "{")
                # A request, granted or refused, begins the count anew.
                await ann.send(requests.OneToOneChat(to=ann.user, content="x"))
            await ann.ping()
            assert len([one for one in ann.take_all() if isinstance(one, Error)]) == 30
            for _ in range(10):
                await ann.send_raw("{")
            assert await ann.closed == CloseCode.PROTOCOL_ABUSE
            assert ann.close_reason == "protocol abuse"
            assert len([one for one in ann.take_all() if isinstance(one, Error)]) == 10

    run(main())


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(frame(TEXT, b"\xff"), id="one byte"),
        pytest.param(frame(TEXT, b'{"type": "PING", "ref": "\xc3"}'), id="half a character"),
        pytest.param(frame(TEXT, b'{"x": "\xed\xa0\x80"}'), id="half a pair"),
        pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"\x28"), id="in fragments"),
    ],
)
def test_text_that_is_not_utf_8_ends_the_connection(sent: bytes, node: Node) -> None:
    async def main() -> None:
        who = await Town(node).settle()
        async with await RawClient.connect(node.chat_port) as client:
            await client.open(headers={"Authorization": f"Bearer {who.token}"})
            await client.text()
            await client.send(sent, frame(TEXT, b'{"type": "PING"}'))
            assert await client.close_code() == CloseCode.NOT_UTF8

    run(main())


def test_a_character_may_be_cut_by_fragments(node: Node) -> None:
    async def main() -> None:
        who = await Town(node).settle()
        async with await RawClient.connect(node.chat_port) as client:
            await client.open(headers={"Authorization": f"Bearer {who.token}"})
            await client.text()
            ping = '{"type": "PING", "ref": "ü"}'.encode()
            await client.send(frame(TEXT, ping[:26], fin=False), frame(CONT, ping[26:]))
            assert json.loads(await client.text()) == {"type": "PONG", "ref": "ü"}
            await client.send(frame(BINARY, b"\xff", fin=False), frame(CONT, b"\xff"))
            assert json.loads(await client.text())["code"] == MALFORMED

    run(main())


def test_a_websocket_message_over_the_limit_ends_the_connection(node: Node) -> None:
    async def main() -> None:
        who = await Town(node).settle()
        headers = {"Authorization": f"Bearer {who.token}"}
        async with connect(
            node.chat_url, additional_headers=headers, compression=None, proxy=None
        ) as client:
            await client.recv()
            await client.send(json.dumps({"type": "PING", "x": ""}).ljust(FRAME_BYTES))
            assert json.loads(await client.recv()) == {"type": "PONG"}
            await client.send(json.dumps({"type": "PING", "x": ""}).ljust(FRAME_BYTES + 1))
            await client.wait_closed()
            assert client.close_code == CloseCode.TOO_BIG

    run(main())


def test_a_flood_of_requests_is_answered_in_order(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            sent: list[requests.Request] = []
            for number in range(400):
                ref = f"{number}"
                match number % 4:
                    case 0:
                        sent.append(requests.InitData(ref=ref))
                    case 1:
                        sent.append(requests.GetOneToOneHistory(ref=ref, to=ben.user))
                    case 2:
                        sent.append(requests.Ping(ref=ref))
                    case _:
                        sent.append(requests.NewOneToOneChat(ref=ref, to=ben.user))
            for request in sent:
                await ann.send(request)
            replies = [await ann.next_push() for _ in sent]
            assert [getattr(reply, "ref", None) for reply in replies] == [one.ref for one in sent]

    run(main())
