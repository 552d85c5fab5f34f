"""Acks and tellings against what is stored at the end."""

from collections.abc import Iterator
from typing import Final

from protocol import pushes, requests
from protocol.model import HistoryMessage
from protocol.pushes import Success
from protocol.requests import Request
from tests.checker.anomaly import Anomaly, Kind
from tests.checker.story import EventFrame, Line, Post, Story, as_stored, place_of

_EVENT_OF: Final[dict[type[Request], type[EventFrame]]] = {
    requests.CreateGroup: pushes.GroupCreated,
    requests.JoinGroup: pushes.GroupMemberJoined,
    requests.LeaveGroup: pushes.GroupMemberLeft,
    requests.EditMessage: pushes.MessageEdited,
    requests.DeleteMessage: pushes.MessageDeleted,
    requests.React: pushes.Reaction,
}


def check_log(story: Story) -> Iterator[Anomaly]:
    yield from _log_ids(story)
    for conversation in sorted(story.conversations):
        if conversation not in story.readers:
            words = f"nobody could read {conversation} at the end"
            yield Anomaly(Kind.NOT_READ, words, (story.first_record[conversation],))
    for conversation, line in story.readers.items():
        yield from _density(conversation, line)
        yield from _stored(story, conversation)
    for post in story.posts.values():
        if post.conversation in story.readers:
            yield from _acks_of_post(story, post)
    for line in story.lines.values():
        yield from _order_of_acks(line)
        yield from _acks_of_changes(story, line)
        yield from _tellings(story, line)
    yield from _edits(story)


def _log_ids(story: Story) -> Iterator[Anomaly]:
    first: Line | None = None
    for line in story.lines.values():
        if line.connected is None:
            continue
        if first is None:
            first = line
        elif line.log_id != first.log_id:
            assert first.connected is not None
            words = f"the log was {first.log_id}, then {line.log_id}"
            yield Anomaly(Kind.LOG_CHANGED, words, (first.connected, line.connected))


def _density(conversation: str, line: Line) -> Iterator[Anomaly]:
    expected = 1
    for record, frame in line.told.get(conversation, ()):
        if frame.seq != expected or frame.prev != frame.seq - 1:
            words = (
                f"{conversation}: {expected} was due, and {frame.seq} came with prev {frame.prev}"
            )
            yield Anomaly(Kind.HOLE_IN_LOG, words, (record,))
        expected = frame.seq + 1


def _stored(story: Story, conversation: str) -> Iterator[Anomaly]:
    """The messages of the history are what was sent, each once."""
    first: dict[tuple[str, str], HistoryMessage] = {}
    reader = story.readers[conversation].connected or 0
    for message in story.stored[conversation]:
        key = (message.from_, message.client_msg_id or "")
        post = story.posts.get(key)
        where = f"{conversation}/{message.seq} {key[1]!r} of {key[0]}"
        if post is None:
            yield Anomaly(Kind.STORED_UNASKED, f"{where} was never sent", (reader,))
            continue
        twin = first.setdefault(key, message)
        if twin is not message:
            words = f"{where} is stored at {twin.seq} too"
            yield Anomaly(Kind.STORED_TWICE, words, (*post.asked,))
        if post.conversation != conversation:
            words = f"{where} was sent to {post.conversation}"
            yield Anomaly(Kind.STORED_OTHERWISE, words, (*post.asked,))
        unchanged = message.version == 1 and not message.deleted
        if unchanged and message.content != post.request.content:
            words = f"{where} has another content: {message.content[:80]!r}"
            yield Anomaly(Kind.STORED_OTHERWISE, words, (*post.asked,))


def _acks_of_post(story: Story, post: Post) -> Iterator[Anomaly]:
    key = post.request.client_msg_id
    for record, ack in post.acks:
        shown_by = (post.asked[0], record)
        where = f"{key!r} of {post.user}, acked at {post.conversation}/{ack.seq}"
        if place_of(ack) != post.conversation or ack.client_msg_id != key:
            words = f"{where}: the ack names {place_of(ack)} and {ack.client_msg_id!r}"
            yield Anomaly(Kind.ACK_UNTRUE, words, shown_by)
        if ack.seq is None or ack.prev != ack.seq - 1:
            yield Anomaly(Kind.ACK_UNTRUE, f"{where}: prev is {ack.prev}", shown_by)
        message = story.messages.get((post.conversation, ack.seq or 0))
        if message is None or message.id != ack.id or message.client_msg_id != key:
            found = "nothing" if message is None else f"{message.client_msg_id!r} {message.id}"
            yield Anomaly(Kind.ACKED_LOST, f"{where}: {found} is stored there", shown_by)
        elif message.sent_at != ack.sent_at:
            words = f"{where}: sentAt is {ack.sent_at}, and {message.sent_at} in the history"
            yield Anomaly(Kind.ACK_UNTRUE, words, shown_by)
    places = {(ack.seq, ack.id) for _, ack in post.acks}
    firsts = sum(not ack.duplicate for _, ack in post.acks)
    if len(places) > 1 or firsts > 1:
        words = (
            f"{key!r} of {post.user} was acked at {sorted(places, key=str)},"
            f" {firsts} times as no duplicate"
        )
        acks = tuple(record for record, _ in post.acks)
        yield Anomaly(Kind.REPEATED_OTHERWISE, words, acks)


def _order_of_acks(line: Line) -> Iterator[Anomaly]:
    last: dict[str, tuple[int, int]] = {}
    for asked, answer in sorted(line.answers.items()):
        reply = answer.reply
        if not isinstance(reply, Success) or reply.duplicate or reply.prev is None:
            continue
        conversation, seq = place_of(reply), reply.seq or 0
        before = last.get(conversation, (0, 0))
        if seq <= before[0]:
            words = (
                f"connection {line.number}: record {asked} was sent later and numbered earlier,"
                f" {conversation}/{seq} after {before[0]}"
            )
            yield Anomaly(Kind.REORDERED, words, (before[1], asked, answer.record))
        last[conversation] = seq, asked


def _acks_of_changes(story: Story, line: Line) -> Iterator[Anomaly]:
    for asked, answer in line.answers.items():
        request, reply = line.asked[asked], answer.reply
        kind = _EVENT_OF.get(type(request))
        if kind is None or not isinstance(reply, Success):
            continue
        if reply.duplicate and not isinstance(request, requests.DeleteMessage):
            continue
        conversation, seq = place_of(reply), reply.seq or 0
        if conversation not in story.log:
            continue
        event = story.log[conversation].get(seq)
        if not isinstance(event, kind) or not _does(event, request, line.user, reply):
            words = (
                f"{type(request).__name__} of {line.user} was acked at {conversation}/{seq},"
                f" where {event} is stored"
            )
            yield Anomaly(Kind.ACKED_LOST, words, (asked, answer.record))


def _does(event: EventFrame, request: Request, user: str, ack: Success) -> bool:
    """Whether the event is what the request asked for."""
    match event, request:
        case pushes.GroupCreated(), requests.CreateGroup():
            return event.by == user and event.name == request.name
        case ((pushes.GroupMemberJoined() | pushes.GroupMemberLeft()), _):
            return event.username == user
        case pushes.MessageEdited(), requests.EditMessage():
            return (
                (event.id, event.from_, event.version) == (request.id, user, ack.version)
                and event.content in ("", request.content)
                and request.version in (None, event.version - 1)
            )
        case pushes.MessageDeleted(), requests.DeleteMessage():
            return event.id == request.id and (ack.duplicate or event.from_ == user)
        case pushes.Reaction(), requests.React():
            asked = (request.id, user, request.emoji, request.remove)
            return (event.id, event.from_, event.emoji, event.remove) == asked
        case _:
            return False


def _tellings(story: Story, line: Line) -> Iterator[Anomaly]:
    for conversation, told in line.told.items():
        log = story.log.get(conversation)
        if log is None or line is story.readers[conversation]:
            continue
        for record, frame in told:
            event = log.get(frame.seq)
            where = f"{conversation}/{frame.seq}, told on connection {line.number}"
            if event is None:
                words = f"{where}, is not stored"
                yield Anomaly(Kind.TOLD_NOT_STORED, words, (record,))
            elif as_stored(event) != as_stored(frame):
                words = f"{where}, is stored otherwise: {event}"
                yield Anomaly(Kind.TOLD_OTHERWISE, words, (record,))
            elif not _says_what_was_sent(story, frame):
                yield Anomaly(Kind.TOLD_OTHERWISE, f"{where}, says what nobody sent", (record,))


def _says_what_was_sent(story: Story, frame: EventFrame) -> bool:
    match frame:
        case pushes.OneToOneChat() | pushes.GroupChat():
            post = story.posts.get((frame.from_, frame.client_msg_id or ""))
            sent = {post.request.content} if post is not None else set()
        case pushes.MessageEdited():
            sent = story.edits.get((frame.from_, frame.id), set())
        case _:
            return True
    return frame.content in sent or (not frame.content and frame.id in story.deleted)


def _edits(story: Story) -> Iterator[Anomaly]:
    for conversation, log in story.log.items():
        first: dict[str, int] = {}
        for seq, frame in sorted(log.items()):
            if isinstance(frame, pushes.MessageEdited) and frame.content:
                twin = first.setdefault(frame.content, seq)
                if twin != seq:
                    words = f"{conversation}/{seq}: the edit is stored at {twin} too"
                    yield Anomaly(Kind.STORED_TWICE, words)
