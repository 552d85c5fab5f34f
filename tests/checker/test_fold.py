"""The state that events make of messages."""

from typing import Any

from protocol import pushes
from protocol.model import HistoryMessage
from tests.checker.fold import Fold


def post(seq: int, content: str = "hello") -> pushes.GroupChat:
    return pushes.GroupChat(
        id=f"id{seq}",
        seq=seq,
        prev=seq - 1,
        group_id="77",
        from_="ann",
        content=content,
        sent_at=seq,
        client_msg_id="key",
    )


def of_message(seq: int, user: str) -> dict[str, Any]:
    return {
        "group_id": "77",
        "id": "id1",
        "from_": user,
        "at": seq,
        "seq": seq,
        "prev": seq - 1,
    }


def folded(*events: Any, contents: dict[int, str]) -> Fold:
    fold = Fold(contents)
    for event in events:
        fold.apply(event)
    return fold


def message(**more: Any) -> HistoryMessage:
    fields: dict[str, Any] = {
        "id": "id1",
        "seq": 1,
        "prev": 0,
        "from_": "ann",
        "content": "hello",
        "sent_at": 1,
        "group_id": "77",
        "client_msg_id": "key",
        "version": 1,
    }
    return HistoryMessage(**fields | more)


def test_a_post() -> None:
    fold = folded(post(1), contents={1: "hello"})
    assert fold.messages == {"id1": message()}


def test_edits_by_the_author_and_by_another() -> None:
    first = pushes.MessageEdited(**of_message(2, "ann"), content="", version=2)
    fold = folded(post(1), first, contents={1: "hello", 2: "better"})
    assert fold.messages["id1"] == message(content="better", version=2, edited_at=2)
    fold.apply(pushes.MessageEdited(**of_message(3, "ben"), content="best", version=3))
    assert fold.unknown == {"id1"}, "what was not said to anybody is not known"
    assert fold.messages["id1"] == message(content="", version=3, edited_at=3, edited_by="ben")


def test_reactions_come_and_go_in_their_order() -> None:
    events = [
        pushes.Reaction(**of_message(2, "ben"), emoji="👍"),
        pushes.Reaction(**of_message(3, "ann"), emoji="👍"),
        pushes.Reaction(**of_message(4, "ann"), emoji="🎉"),
        pushes.Reaction(**of_message(5, "ann"), emoji="🎉", remove=True),
    ]
    fold = folded(post(1), *events, contents={1: "hello"})
    assert fold.messages["id1"] == message(reactions={"👍": ["ben", "ann"]})
    for event in (
        pushes.Reaction(**of_message(6, "ann"), emoji="👍", remove=True),
        pushes.Reaction(**of_message(7, "ben"), emoji="👍", remove=True),
    ):
        fold.apply(event)
    assert fold.messages["id1"] == message()


def test_a_delete_takes_content_and_reactions() -> None:
    fold = folded(
        post(1),
        pushes.MessageEdited(**of_message(2, "ann"), content="better", version=2),
        pushes.Reaction(**of_message(3, "ben"), emoji="👍"),
        pushes.MessageDeleted(**of_message(4, "ann")),
        contents={1: "hello", 2: "better"},
    )
    assert fold.messages["id1"] == message(content="", version=2, edited_at=2, deleted=True)
