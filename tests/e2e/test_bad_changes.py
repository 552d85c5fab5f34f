"""What is wrong with RESUME, cursors, typing and changes: one ERROR that names it, and no event."""

import json
from typing import Any, Final

from protocol import requests
from protocol.errors import ErrorCode
from protocol.limits import CONTENT_BYTES
from protocol.pushes import Error
from tests.e2e import frames
from tests.e2e.frames import chat, club, history, post, refusal
from tests.e2e.rest import rest
from tests.e2e.test_accounts import check_problem
from tests.e2e.test_bad_input import check_answered
from tests.e2e.test_changes import both_kinds, message, scene
from tests.e2e.town import Town, everything
from tests.support.loop import run
from tests.support.node import Node

INVALID: Final = ErrorCode.INVALID_FIELD
WRONG_SEQS: Final[list[object]] = [-1, 1.5, "1", None, 2**53, [], True]
WRONG_PLACES: Final[list[object]] = [7, "", "a b", "x" * 66, "CLUB", []]
WRONG_IDS: Final[list[object]] = [7, None, "", "x" * 111, []]

ACK: Final[dict[str, Any]] = {"type": "ACK", "groupId": "1", "seq": 1}
READ: Final[dict[str, Any]] = {"type": "MARK_READ", "groupId": "1", "seq": 1}
TYPING: Final[dict[str, Any]] = {"type": "TYPING", "groupId": "1", "isTyping": True}
EDIT: Final[dict[str, Any]] = {"type": "EDIT_MESSAGE", "groupId": "1", "id": "x", "content": "x"}
DELETE: Final[dict[str, Any]] = {"type": "DELETE_MESSAGE", "groupId": "1", "id": "x"}
REACT: Final[dict[str, Any]] = {"type": "REACT", "groupId": "1", "id": "x", "emoji": "👍"}
RESUME: Final[dict[str, Any]] = {"type": "RESUME", "positions": {}}
IN_PLACE: Final = (ACK, READ, TYPING, EDIT, DELETE, REACT)

WRONG_FIELDS: Final[list[tuple[dict[str, Any], str, list[object]]]] = [
    *((request, "seq", WRONG_SEQS) for request in (ACK, READ)),
    *((request, name, WRONG_PLACES) for request in IN_PLACE for name in ("groupId", "chatId")),
    *((request, "id", WRONG_IDS) for request in (EDIT, DELETE, REACT)),
    (TYPING, "isTyping", [None, 1, "true"]),
    (EDIT, "content", [None, 7, "", []]),
    (EDIT, "version", [0, -1, 1.5, "1", 2**53]),
    (REACT, "emoji", [None, 7, "", "x" * 33]),
    (REACT, "remove", [None, 1, "true"]),
    (RESUME, "positions", [None, 7, [], "x"]),
    (RESUME, "positions", [{"1": seq} for seq in WRONG_SEQS]),
]
MISSING: Final = [
    *((request, "seq") for request in (ACK, READ)),
    *((request, "id") for request in (EDIT, DELETE, REACT)),
    (TYPING, "isTyping"),
    (EDIT, "content"),
    (REACT, "emoji"),
    (RESUME, "positions"),
]


def test_a_wrong_or_missing_field_is_named(node: Node) -> None:
    cases = [
        (request | {field: value}, field)
        for request, field, values in WRONG_FIELDS
        for value in values
    ]
    cases += [
        ({name: value for name, value in request.items() if name != field}, field)
        for request, field in MISSING
    ]

    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            for number, (request, field) in enumerate(cases):
                await ann.send_raw(json.dumps(request | {"ref": f"{number}"}))
                error = await ann.next_push(Error)
                assert (error.ref, error.code) == (f"{number}", INVALID), request
                assert f"`{field}" in error.msg, (request, error.msg)
                await ann.send(requests.Ping())  # not ten of them in a row
            assert len(cases) > 120

    run(main())


def test_exactly_one_of_chat_and_group_says_where(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            group, direct = await club(ann, ben), chat(ann, ben)
            posted = {place: await post(ann, place, "hello") for place in (group, direct)}
            await everything(ben)
            for place, other in ((group, direct), (direct, group)):
                fields = {"id": posted[place].id}
                for where in (
                    {},
                    {"groupId": None},
                    {"chatId": None, "groupId": None},
                    {"chatId": direct.id, "groupId": group.id},
                    {"chatId": place.id, "groupId": place.id},
                ):
                    for request in IN_PLACE:
                        bare = {name: request[name] for name in request if name != "groupId"}
                        message = bare | (fields if "id" in bare else {}) | where
                        error = await check_answered(ann, json.dumps(message))
                        assert error.code is INVALID, message
                        assert "`chatId`" in error.msg and "`groupId`" in error.msg
                # The right message in the other conversation is not there.
                where_, id = other._asdict(), posted[place].id
                for change in (
                    requests.EditMessage(**where_, id=id, content="x"),
                    requests.DeleteMessage(**where_, id=id),
                    requests.React(**where_, id=id, emoji="👍"),
                ):
                    assert await refusal(ann, change) is ErrorCode.NO_SUCH_MESSAGE
            for place in (group, direct):
                assert (await history(ben, place)).head_seq == posted[place].seq
            assert await everything(ben) == []

    run(main())


@both_kinds
def test_one_emoji_and_nothing_else_is_a_reaction(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, ann, _, phone, _, reader):
            posted = await post(phone, place, "hello")
            await everything(reader)
            for text in ("a", "1", " ", "👍👍", "👍 ", " 👍", "👍a", ":)", ":thumbsup:", "\u200d",
                         "ü", "<b>", "👍\n", "\0", "#", "❤️❤️", "🇩🇪🇫🇷"):  # fmt: skip
                for remove in (False, True):
                    request = requests.React(
                        **place._asdict(), id=posted.id, emoji=text, remove=remove
                    )
                    assert await refusal(phone, request, "`emoji`") is INVALID, text
            assert await everything(reader) == []
            emojis = ["👍", "👍🏽", "❤️", "🇩🇪", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "🫠", "🙂‍↕️"]
            for emoji in emojis:
                await frames.react(phone, place, posted.id, emoji)
            shown = (await message(reader, place, posted.id)).reactions
            assert shown == {emoji: [ann.name] for emoji in emojis}

    run(main())


@both_kinds
def test_the_content_of_an_edit_is_that_of_a_message(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, _, _, phone, _, reader):
            posted = await post(phone, place, "hello")
            await everything(reader)
            request = requests.EditMessage(**place._asdict(), id=posted.id, content="")
            assert await refusal(phone, request, "`content`") is INVALID
            for text, size in (("x", 1), ("ü", 2), ("€", 3), ("\U0001f44b", 4)):
                most = text * (CONTENT_BYTES // size)
                most += "x" * (CONTENT_BYTES - len(most.encode()))
                long = frames.replaced(request, content=most + "x")
                words = r"`content`.*16385.*16384"
                assert await refusal(phone, long, words) is ErrorCode.TOO_LARGE
                await frames.edit(phone, place, posted.id, most)
                assert (await message(reader, place, posted.id)).content == most
            for text in ("\0", "\n", "\u2028", "  "):
                await frames.edit(phone, place, posted.id, text)
                assert (await message(reader, place, posted.id)).content == text
            assert (await message(reader, place, posted.id)).version == 9

    run(main())


def test_what_is_no_body_over_http(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            place = await club(await town.connect(ann))
            for method, path in (
                ("PATCH", f"/api/conversations/{place.id}"),
                ("POST", f"/api/conversations/{place.id}/members"),
                ("PATCH", f"/api/conversations/{place.id}/members/{ann.name}"),
                ("POST", "/api/blocks"),
                ("POST", "/api/users/me/password"),
            ):
                for body, status, code in (
                    (b"{", 400, "MALFORMED_FRAME"),
                    (b"\xff", 400, "MALFORMED_FRAME"),
                    (b" " * 70_000, 413, "TOO_LARGE"),
                    ([], 422, "INVALID_FIELD"),
                    (7, 422, "INVALID_FIELD"),
                ):
                    check_problem(await rest(town, method, path, ann, body), status, code)
            assert (await rest(town, "GET", "/api/conversations/a/b", ann)).status == 404
            assert (await rest(town, "PUT", "/api/blocks", ann)).status == 405

    run(main())
