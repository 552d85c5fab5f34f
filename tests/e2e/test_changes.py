"""Edits, reactions and replies: who may, what it makes of a message, and who is told of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import msgspec
import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.limits import REACTIONS
from protocol.model import HistoryMessage
from protocol.pushes import GroupChat, MessageEdited, OneToOneChat, Reaction, Success
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, ask, chat, club, edit, history, post, react, refusal
from tests.e2e.rest import change_role, done
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node

# One user for one reaction each would be slow; these are as many different ones.
EMOJIS: Final = [chr(code) for code in range(0x1F400, 0x1F400 + REACTIONS + 1)]


class Scene(NamedTuple):
    """Ann, who has two connections, and Ben in a conversation; Ann is the admin of a group."""

    place: Place
    ann: Resident
    ben: Resident
    phone: ChatClient
    laptop: ChatClient
    reader: ChatClient


@asynccontextmanager
async def scene(node: Node, kind: str) -> AsyncIterator[Scene]:
    async with Town(node) as town:
        ann, ben = await town.settle_all("ann", "ben")
        phone, laptop, reader = await town.connect_all(ann, ann, ben)
        if kind == "group":
            place = await club(phone, reader)
            await everything(laptop)
        else:
            place = chat(ann, ben)
        yield Scene(place, ann, ben, phone, laptop, reader)


async def message(client: ChatClient, place: Place, id: str) -> HistoryMessage:
    (found,) = (one for one in (await history(client, place)).messages if one.id == id)
    return found


both_kinds = pytest.mark.parametrize("kind", ["direct", "group"])


@both_kinds
def test_an_edit_is_acked_told_and_shown(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, ann, _, phone, laptop, reader):
            posted = await post(phone, place, "hallo")
            for client in (laptop, reader):
                await client.next_push(GroupChat if kind == "group" else OneToOneChat)
            for version, content in ((2, "hello"), (3, "hello!"), (4, "hello!")):
                reply = await edit(phone, place, posted.id, content, version - 1)
                seq = posted.seq + version - 1
                assert reply == Success(
                    ref=reply.ref,
                    **place._asdict(),
                    id=posted.id,
                    seq=seq,
                    prev=seq - 1,
                    sent_at=reply.sent_at,
                    version=version,
                )
                for client in (laptop, reader):
                    event = await client.next_push(MessageEdited)
                    assert event.at == reply.sent_at
                    assert event == MessageEdited(
                        **place._asdict(),
                        id=posted.id,
                        from_=ann.name,
                        at=event.at,
                        seq=seq,
                        prev=seq - 1,
                        content=content,
                        version=version,
                    )
                shown = await message(reader, place, posted.id)
                assert (shown.content, shown.version, shown.edited_at) == (
                    content,
                    version,
                    event.at,
                )
                assert (shown.seq, shown.edited_by, shown.deleted) == (posted.seq, None, False)
            assert await everything(phone) == []

    run(main())


@both_kinds
def test_an_edit_of_what_was_edited_meanwhile(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, _, _, phone, laptop, _):
            posted = await post(phone, place, "one")
            await edit(laptop, place, posted.id, "two", 1)
            request = requests.EditMessage(
                **place._asdict(), id=posted.id, content="three", version=1
            )
            for stale in (1, 3, 2**53 - 1):
                code = await refusal(phone, frames.replaced(request, version=stale), "2")
                assert code is ErrorCode.VERSION_CONFLICT
            assert (await message(phone, place, posted.id)).content == "two"
            # Without a version the last one wins.
            assert (await edit(phone, place, posted.id, "three")).version == 3
            assert (await message(phone, place, posted.id)).content == "three"

    run(main())


def test_only_the_author_and_admins_may_edit(node: Node) -> None:
    async def main() -> None:
        async with scene(node, "direct") as (place, _, _, phone, _, reader):
            posted = await post(phone, place, "mine")
            request = requests.EditMessage(**place._asdict(), id=posted.id, content="not yours")
            assert await refusal(reader, request) is ErrorCode.FORBIDDEN
            assert (await message(reader, place, posted.id)).version == 1
        async with scene(node, "group") as (place, ann, ben, admin, _, member):
            of_admin, of_member = await post(admin, place, "a"), await post(member, place, "b")
            request = requests.EditMessage(**place._asdict(), id=of_admin.id, content="c")
            assert await refusal(member, request) is ErrorCode.FORBIDDEN
            await edit(admin, place, of_member.id, "corrected by an admin")
            event = await member.next_push(MessageEdited)
            assert (event.from_, event.id) == (ann.name, of_member.id)
            shown = await message(member, place, of_member.id)
            assert (shown.from_, shown.edited_by) == (ben.name, ann.name)
            await edit(member, place, of_member.id, "and by its author")
            assert (await message(member, place, of_member.id)).edited_by is None
            await change_role(node, ann, place, ben, "ADMIN")
            await ask(member, request)
            await change_role(node, ann, place, ben, "MEMBER")
            assert await refusal(member, request) is ErrorCode.FORBIDDEN

    run(main())


@both_kinds
def test_reactions_are_counted_by_who_and_what(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, ann, ben, phone, laptop, reader):
            posted = await post(phone, place, "hello")
            for client in (laptop, reader):
                await client.next_push(GroupChat if kind == "group" else OneToOneChat)
            seq = posted.seq
            for client, who, emoji, remove in (
                (reader, ben, "👍", False),
                (phone, ann, "👍", False),
                (reader, ben, "❤️", False),
                (reader, ben, "👍", True),
                (reader, ben, "👍", False),
            ):
                reply = await react(client, place, posted.id, emoji, remove=remove)
                seq += 1
                assert reply == Success(
                    ref=reply.ref,
                    **place._asdict(),
                    id=posted.id,
                    seq=seq,
                    prev=seq - 1,
                    sent_at=reply.sent_at,
                )
                for other in (phone, laptop, reader):
                    if other is not client:
                        event = await other.next_push(Reaction)
                        assert event.at == reply.sent_at
                        assert event == Reaction(
                            **place._asdict(),
                            id=posted.id,
                            from_=who.name,
                            at=event.at,
                            seq=seq,
                            prev=seq - 1,
                            emoji=emoji,
                            remove=remove,
                        )
                # The same again is done already, and no event.
                again = await react(client, place, posted.id, emoji, remove=remove)
                assert again.duplicate
                assert remove or again.seq == seq
            shown = await message(laptop, place, posted.id)
            assert shown.reactions == {"👍": [ann.name, ben.name], "❤️": [ben.name]}
            assert (shown.version, shown.edited_at) == (1, None)
            assert (await history(laptop, place)).head_seq == seq
            for emoji in ("👍", "❤️"):
                await react(reader, place, posted.id, emoji, remove=True)
            await react(phone, place, posted.id, "👍", remove=True)
            assert (await message(laptop, place, posted.id)).reactions is None

    run(main())


def test_a_message_has_a_bounded_number_of_reactions(node: Node) -> None:
    async def main() -> None:
        async with scene(node, "group") as (place, _, _, phone, _, reader):
            posted = await post(phone, place, "popular")
            for index, emoji in enumerate(EMOJIS[:REACTIONS]):
                await react((phone, reader)[index % 2], place, posted.id, emoji)
            request = requests.React(**place._asdict(), id=posted.id, emoji=EMOJIS[REACTIONS])
            for client in (phone, reader):
                assert await refusal(client, request, "200") is ErrorCode.TOO_LARGE
            again = await react(phone, place, posted.id, EMOJIS[0])
            assert again.duplicate
            await react(phone, place, posted.id, EMOJIS[0], remove=True)
            await ask(reader, request)
            shown = (await message(reader, place, posted.id)).reactions
            assert shown is not None and len(shown) == REACTIONS

    run(main())


@both_kinds
def test_a_reply_names_a_message_of_its_conversation(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, _, _, phone, laptop, reader):
            posted = await post(phone, place, "question")
            await reader.next_push(GroupChat if kind == "group" else OneToOneChat)
            request = frames.replaced(frames.posting(reader, place, "answer"), reply_to=posted.id)
            reply = await ask(reader, request)
            push = await phone.next_push()
            assert isinstance(push, GroupChat | OneToOneChat)
            assert (push.id, push.reply_to) == (reply.id, posted.id)
            assert (await message(laptop, place, push.id)).reply_to == posted.id
            # It stays when either is changed.
            await edit(phone, place, posted.id, "another question")
            await edit(reader, place, push.id, "another answer")
            assert (await message(laptop, place, push.id)).reply_to == posted.id
            elsewhere = await club(phone)
            foreign = await post(phone, elsewhere, "elsewhere")
            request = frames.replaced(frames.posting(phone, place, "x"), reply_to=foreign.id)
            code = await refusal(phone, request, "`replyTo`")
            assert code is ErrorCode.INVALID_FIELD

    run(main())


def test_a_change_of_what_is_not_there(node: Node) -> None:
    async def main() -> None:
        async with scene(node, "group") as (place, _, _, phone, _, reader):
            posted = await post(phone, place, "here")
            elsewhere = await post(phone, await club(phone), "elsewhere")
            head, _, rest = posted.id.partition(".")
            ids = [
                elsewhere.id,
                "no id",
                "x",
                f"{head}9.{rest}",
                f"AAAAAAAA{posted.seq}.{rest}",
                f"AAAAAAAA1.{rest}",  # the making of the group is no message
            ]
            for id in ids:
                for request in (
                    requests.EditMessage(**place._asdict(), id=id, content="x"),
                    requests.DeleteMessage(**place._asdict(), id=id),
                    requests.React(**place._asdict(), id=id, emoji="👍"),
                ):
                    assert await refusal(phone, request) is ErrorCode.NO_SUCH_MESSAGE, id
            assert (await history(reader, place)).head_seq == posted.seq

    run(main())


@both_kinds
def test_the_last_message_is_shown_as_it_is_now(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, _, ben, phone, _, reader):
            posted = await post(phone, place, "hello")

            async def last() -> HistoryMessage:
                reply = await reader.init_data()
                found = (reply.groups if kind == "group" else reply.chats)[0].last_message
                shown = await done(node, "GET", f"/api/conversations/{place.id}", ben)
                assert shown["lastMessage"] == msgspec.to_builtins(found)
                assert found == await message(reader, place, posted.id)
                return found

            assert (await last()).content == "hello"
            await edit(phone, place, posted.id, "hello!")
            await react(reader, place, posted.id, "👍")
            shown = await last()
            assert (shown.content, shown.version) == ("hello!", 2)
            assert shown.reactions == {"👍": [ben.name]}
            await frames.delete(phone, place, posted.id)
            shown = await last()
            assert (shown.content, shown.deleted, shown.reactions) == ("", True, None)

    run(main())
