"""RESUME: a client that says how far it has come is sent exactly what it lacks, and once."""

from protocol import requests
from protocol.errors import ErrorCode
from protocol.limits import RESUME_POSITIONS
from protocol.pushes import (
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    MessageDeleted,
    MessageEdited,
    OneToOneChat,
    Pong,
    Reaction,
    Resync,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, ask, chat, club, numbers, post, refusal, resume
from tests.e2e.town import Town, everything
from tests.support.loop import run
from tests.support.node import Node


async def write(client: ChatClient, place: Place, first: int, last: int) -> None:
    """Post "first" to "last"; the next number of the conversation is to be `first`."""
    for number in range(first, last + 1):
        assert (await post(client, place, f"{number}")).seq == number


async def check_silent(client: ChatClient, town: Town) -> None:
    """Nothing has come until a conversation that begins now is heard of."""
    (stranger,) = await town.online("stranger")
    ack = await stranger.send_direct(client.user, "you do not know me")
    assert [getattr(frame, "id", frame) for frame in await everything(client)] == [ack.id]


def test_what_came_after_each_position_and_then_what_comes(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            direct, group = chat(ann, ben), await club(writer, await town.connect(ann))
            await write(writer, direct, 1, 10)
            await write(writer, group, 2, 6)
            reader = await town.connect(ann, resumes=True, positions=None)
            await check_silent(reader, town)
            await write(writer, direct, 11, 12)
            await writer.ping()
            assert await everything(reader) == [], "what is new waits in the log too"
            came, errors = await resume(reader, {direct.id: 4, group.id: 0})
            assert errors == {}
            assert numbers(came, direct) == list(range(5, 13))
            assert numbers(came, group) == list(range(1, 7))
            assert len(came) == 14, "and nothing else"
            assert all(getattr(frame, "offline", False) for frame in came[:6])
            for place in (direct, group):
                live = await post(writer, place, "live")
                push = await reader.next_push()
                assert isinstance(push, OneToOneChat | GroupChat)
                assert (push.id, push.offline) == (live.id, False)

    run(main())


def test_all_that_a_resume_brings_is_marked(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            direct = chat(ann, ben)
            await write(writer, direct, 1, 2)
            reader = await town.connect(ann, resumes=True)
            await write(writer, direct, 3, 4)
            came, _ = await resume(reader, {direct.id: 0})
            assert numbers(came, direct) == [1, 2, 3, 4]
            assert [frame.offline for frame in came if isinstance(frame, OneToOneChat)] == [
                True
            ] * 4

    run(main())


def test_who_lacks_nothing_is_sent_nothing(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            direct = chat(ann, ben)
            await write(writer, direct, 1, 3)
            reader = await town.connect(ann, resumes=True)
            assert await resume(reader, {direct.id: 3}) == ([], {})
            assert await resume(reader, {}) == ([], {})
            await write(writer, direct, 4, 4)
            assert (await reader.next_push(OneToOneChat)).seq == 4

    run(main())


def test_a_conversation_that_is_not_named_stays_silent_until_it_is(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            known, other = chat(ann, ben), await club(writer, await town.connect(ann))
            await write(writer, known, 1, 2)
            reader = await town.connect(ann, resumes=True)
            assert numbers((await resume(reader, {known.id: 1}))[0], known) == [2]
            await write(writer, other, 2, 3)
            await check_silent(reader, town)
            # INIT_DATA tells of what it does not know yet; its position there is 0.
            (summary,) = (await reader.init_data()).groups
            assert (summary.group_id, summary.last_seq) == (other.id, 3)
            came, _ = await resume(reader, {other.id: 0})
            assert numbers(came, other) == [1, 2, 3]
            assert isinstance(came[0], GroupCreated)

    run(main())


def test_a_position_above_the_head_begins_anew(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            writer = await town.connect(ben)
            direct, group = chat(ann, ben), await club(writer, await town.connect(cat), open=True)
            await write(writer, direct, 1, 3)
            await write(writer, group, 2, 4)
            # Who joins later may read from its own joining on.
            await ask(await town.connect(ann), requests.JoinGroup(group_id=group.id))
            await write(writer, group, 6, 7)
            reader = await town.connect(ann, resumes=True)
            came, errors = await resume(reader, {direct.id: 1_000, group.id: 2**53 - 1})
            assert errors == {}
            assert numbers(came, direct) == [1, 2, 3]
            assert numbers(came, group) == [5, 6, 7]
            for place in (direct, group):
                resync = Resync(**place._asdict(), after_seq=0)
                assert came.count(resync) == 1
                assert all(
                    came.index(resync) < came.index(frame)
                    for frame in came
                    if numbers([frame], place)
                )
            assert len(came) == 8
            await write(writer, direct, 4, 4)
            assert (await reader.next_push(OneToOneChat)).seq == 4

    run(main())


def test_a_lower_position_brings_just_what_the_connection_lacks(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            direct = chat(ann, ben)
            await write(writer, direct, 1, 10)
            first = await town.connect(ann)
            assert numbers([await first.next_push() for _ in range(10)], direct) == [*range(1, 11)]
            assert await resume(first, {direct.id: 0}) == ([], {}), "nothing comes twice"
            await first.close()
            await write(writer, direct, 11, 12)
            # Everything up to 10 was delivered to the user; what this device has of it, it says.
            for resumes, at_first in ((False, [11, 12]), (True, [])):
                reader = await town.connect(ann, resumes=resumes, positions=None)
                pushed = [await reader.next_push() for _ in at_first]
                assert numbers(pushed, direct) == at_first
                came, _ = await resume(reader, {direct.id: 7})
                assert numbers(came, direct) == [8, 9, 10] + ([] if at_first else [11, 12])
                assert all(getattr(frame, "offline", False) for frame in came)
                came, _ = await resume(reader, {direct.id: 5})
                assert numbers(came, direct) == [6, 7]
                for position in (5, 6, 9, 12):
                    assert await resume(reader, {direct.id: position}) == ([], {})
                came, _ = await resume(reader, {direct.id: 0})
                assert numbers(came, direct) == [1, 2, 3, 4, 5]
                await reader.abort()

    run(main())


def test_conversations_that_begin_meanwhile_come_by_themselves(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            writer, other = await town.connect_all(ben, cat)
            old = await club(writer, open=True)
            await write(writer, old, 2, 3)
            reader = await town.connect(ann, resumes=True)
            made = await writer.create_group("new", [ann.name])
            new = Place(group_id=made.group_id)
            await write(writer, new, 2, 3)
            joined = await reader.join_group(old.id)
            assert joined.seq == 4
            await write(writer, old, 5, 5)
            await write(other, chat(ann, cat), 1, 1)
            came = [await reader.next_push() for _ in range(5)]
            assert isinstance(came[0], GroupCreated)
            assert numbers(came, new) == [1, 2, 3]
            assert numbers(came, old) == [5]
            assert numbers(came, chat(ann, cat)) == [1]
            positions = {new.id: 3, old.id: 5, chat(ann, cat).id: 1}
            assert await resume(reader, positions) == ([], {})

    run(main())


def test_changes_come_like_messages(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            writer, other = await town.connect_all(ben, cat)
            group = await club(writer, await town.connect(ann), open=True)
            kept, dropped = [await post(writer, group, text) for text in ("kept", "dropped")]
            await frames.edit(writer, group, kept.id, "edited")
            await frames.edit(writer, group, dropped.id, "edited too")
            await frames.react(writer, group, kept.id, "👍")
            await frames.delete(writer, group, dropped.id)
            await other.join_group(group.id)
            reader = await town.connect(ann, resumes=True)
            came, _ = await resume(reader, {group.id: 1})
            assert numbers(came, group) == list(range(2, 9))
            assert [type(frame) for frame in came] == [
                GroupChat,
                GroupChat,
                MessageEdited,
                MessageEdited,
                Reaction,
                MessageDeleted,
                GroupMemberJoined,
            ]
            texts = [getattr(frame, "content", None) for frame in came]
            assert texts == ["kept", "", "edited", "", None, None, None]

    run(main())


def test_what_one_posted_before_asking_does_not_come_back(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            direct = chat(ann, ben)
            await write(writer, direct, 1, 3)
            reader = await town.connect(ann, resumes=True)
            assert (await post(reader, direct, "before")).seq == 4
            await write(writer, direct, 5, 5)
            came, _ = await resume(reader, {direct.id: 0})
            assert numbers(came, direct) == [1, 2, 3, 5], "the ack told of 4"
            assert (await post(reader, direct, "after")).seq == 6
            assert await resume(reader, {direct.id: 0}) == ([], {})

    run(main())


def test_what_cannot_be_served_is_named_and_the_rest_is_served(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            ann_here, ben_here, cat_here = await town.connect_all(ann, ben, cat)
            mine = await club(ben_here, ann_here)
            left = await club(ben_here, ann_here)
            foreign = await club(ben_here, cat_here)
            await write(ben_here, chat(ben, cat), 1, 1)
            await ann_here.leave_group(left.id)
            nowhere = [foreign.id, left.id, chat(ben, cat).id, "17", "", "no id at all /", "a-b"]
            for resumes in (True, False):
                reader = await town.connect(ann, resumes=resumes, positions=None)
                await reader.ping()
                reader.take_all()
                came, errors = await resume(reader, dict.fromkeys([mine.id, *nowhere], 0))
                assert errors == dict.fromkeys(nowhere, ErrorCode.NOT_A_MEMBER)
                assert not resumes or numbers(came, mine) == [1]
                assert {getattr(frame, "group_id", None) for frame in came} <= {mine.id}

    run(main())


def test_too_many_positions(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            for many in (RESUME_POSITIONS + 1, 10_000):
                request = requests.Resume(positions={f"{number}": 1 for number in range(many)})
                words = rf"`positions`.*{RESUME_POSITIONS}"
                assert await refusal(ann, request, words) is ErrorCode.TOO_LARGE
            most = {f"{number}": 1 for number in range(RESUME_POSITIONS)}
            assert await resume(ann, most) == ([], dict.fromkeys(most, ErrorCode.NOT_A_MEMBER))
            assert ann.info.limits.resume_positions == RESUME_POSITIONS
            assert isinstance(await ann.ping(), Pong)

    run(main())
