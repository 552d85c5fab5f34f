"""Deleting: for everybody and for ever; what was said is nowhere any more."""

from pathlib import Path

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import (
    GroupChat,
    MessageDeleted,
    MessageEdited,
    OneToOneChat,
    Success,
)
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, delete, edit, history, post, react, refusal, resume
from tests.e2e.test_changes import both_kinds, message, scene
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run, until
from tests.support.node import Node

SECRET = "the treasure lies under the old oak"
SECRET_EDIT = "no, under the young birch"


@both_kinds
def test_a_deletion_is_acked_told_and_shown(kind: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node, kind) as (place, ann, ben, phone, laptop, reader):
            request = frames.replaced(
                frames.posting(phone, place, SECRET), mentions=[ben.name], client_msg_id="key"
            )
            posted = await frames.ask(phone, request)
            assert posted.id is not None and posted.seq is not None
            kept = await post(phone, place, "an answer to come")
            await edit(phone, place, posted.id, SECRET_EDIT)
            await react(reader, place, posted.id, "👍")
            for client in (phone, laptop, reader):
                await everything(client)
            seq = kept.seq + 3
            reply = await delete(phone, place, posted.id)
            assert reply == Success(
                ref=reply.ref,
                **place._asdict(),
                id=posted.id,
                seq=seq,
                prev=seq - 1,
                sent_at=reply.sent_at,
            )
            for client in (laptop, reader):
                event = await client.next_push(MessageDeleted)
                assert event.at == reply.sent_at
                assert event == MessageDeleted(
                    **place._asdict(),
                    id=posted.id,
                    from_=ann.name,
                    at=event.at,
                    seq=seq,
                    prev=seq - 1,
                )
            assert await everything(phone) == []
            for client in (phone, reader):
                shown = await message(client, place, posted.id)
                assert (shown.content, shown.deleted, shown.seq) == ("", True, posted.seq)
                assert (shown.reactions, shown.mentions) == (None, None)
                assert (await message(client, place, kept.id)).content == "an answer to come"
            # Done once; the answer to a repeat is the first one's.
            again = await delete(laptop, place, posted.id)
            assert again == frames_duplicate(reply, again.ref)
            assert (await history(reader, place)).head_seq == seq
            for refused in (
                requests.EditMessage(**place._asdict(), id=posted.id, content="back"),
                requests.React(**place._asdict(), id=posted.id, emoji="👍"),
                requests.React(**place._asdict(), id=posted.id, emoji="👍", remove=True),
            ):
                assert await refusal(phone, refused) is ErrorCode.NO_SUCH_MESSAGE
            # Posted again with its key it is not posted again.
            repeated = await frames.ask(phone, request)
            assert (repeated.id, repeated.duplicate) == (posted.id, True)
            assert (await message(reader, place, posted.id)).content == ""

    def frames_duplicate(reply: Success, ref: str | None) -> Success:
        return Success(
            ref=ref,
            chat_id=reply.chat_id,
            group_id=reply.group_id,
            id=reply.id,
            seq=reply.seq,
            prev=reply.prev,
            duplicate=True,
        )

    run(main())


def test_only_the_author_and_admins_may_delete(node: Node) -> None:
    async def main() -> None:
        async with scene(node, "direct") as (place, _, _, phone, _, reader):
            posted = await post(phone, place, "mine")
            request = requests.DeleteMessage(**place._asdict(), id=posted.id)
            assert await refusal(reader, request) is ErrorCode.FORBIDDEN
            await delete(phone, place, posted.id)
            assert await refusal(reader, request) is ErrorCode.FORBIDDEN
        async with scene(node, "group") as (place, ann, ben, admin, _, member):
            of_admin, of_member = await post(admin, place, "a"), await post(member, place, "b")
            request = requests.DeleteMessage(**place._asdict(), id=of_admin.id)
            assert await refusal(member, request) is ErrorCode.FORBIDDEN
            await delete(admin, place, of_member.id)
            event = await member.next_push(MessageDeleted)
            assert (event.from_, event.id) == (ann.name, of_member.id)
            shown = await message(member, place, of_member.id)
            assert (shown.from_, shown.deleted) == (ben.name, True)

    run(main())


@both_kinds
def test_events_that_are_sent_again_say_nothing(kind: str, node: Node) -> None:
    async def main() -> None:
        async with (
            scene(node, kind) as (place, _, ben, phone, _, reader),
            Town(node) as town,
        ):
            posted = await post(phone, place, SECRET)
            await edit(phone, place, posted.id, SECRET_EDIT)
            await edit(phone, place, posted.id, "last")
            # Once more from a page that is kept by now.
            for content in ([SECRET, SECRET_EDIT, "last"], ["", "", ""]):
                late = await town.connect(ben, resumes=True, positions=None)
                came, _ = await resume(late, {place.id: posted.seq - 1})
                texts = [
                    frame.content
                    for frame in came
                    if isinstance(frame, OneToOneChat | GroupChat | MessageEdited)
                ]
                assert texts == content
                assert isinstance(came[-1], MessageDeleted) is (content[0] == "")
                await late.abort()
                await delete(phone, place, posted.id)
            pushed = await town.connect(ben, positions=None)
            frame = await pushed.next_push(lambda frame: isinstance(frame, MessageDeleted))
            assert getattr(frame, "id", None) == posted.id
            assert SECRET not in repr(pushed.take_all())
            await pushed.abort()
            summary = await reader.init_data()
            assert SECRET not in repr(summary) and SECRET_EDIT not in repr(summary)

    run(main())


def found_in(folder: Path, *texts: str) -> list[str]:
    """Which files below a folder hold one of the texts."""
    return [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    ]


@pytest.mark.parametrize("ends", ["runs on", "stops", "is killed"])
def test_the_data_folder_does_not_hold_it(ends: str, tmp_path: Path) -> None:
    async def before(node: Node) -> tuple[Resident, Resident, Place, Place]:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer, reader = await town.connect_all(ann, ben)
            places = chat(ann, ben), await club(writer, reader)
            deleted = []
            for place in places:
                for number in range(30):
                    posted = await post(writer, place, f"{SECRET} {number}")
                    await edit(writer, place, posted.id, f"{SECRET_EDIT} {number}")
                    deleted.append((place, posted.id))
                await post(writer, place, "kept, for comparison")
            assert found_in(node.data_dir, SECRET, SECRET_EDIT), "the search finds what is there"
            for place, id in deleted:
                await delete(writer, place, id)
            if ends == "runs on":
                await until(lambda: not found_in(node.data_dir, SECRET, SECRET_EDIT), "it is gone")
            return ann, ben, *places

    async def after(node: Node, ann: Resident, places: tuple[Place, Place]) -> None:
        async with Town(node) as town:
            reader = await town.connect(ann, resumes=True)
            for place in places:
                page = await history(reader, place)
                assert [one.deleted for one in page.messages] == [True] * 30 + [False]

    with Node(tmp_path) as node:
        ann, _, *places = run(before(node))
        if ends == "stops":
            assert node.stop() == 0
            assert found_in(node.data_dir, SECRET, SECRET_EDIT) == []
            node.start()
        elif ends == "is killed":
            node.kill()
            node.start()

            async def gone() -> None:
                await until(lambda: not found_in(node.data_dir, SECRET, SECRET_EDIT), "it is gone")

            run(gone())
        run(after(node, ann, (places[0], places[1])))
        assert found_in(node.data_dir, SECRET, SECRET_EDIT) == []
        assert found_in(node.data_dir, "kept, for comparison")
        assert SECRET not in node.log
