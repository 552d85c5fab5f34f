"""State plus events equals fetched state."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model import GroupSummary, HistoryMessage, HistoryVisibility, Role
from protocol.pushes import (
    GroupChat,
    GroupChatHistory,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    GroupUpdated,
    MessageDeleted,
    MessageEdited,
    OneToOneChatHistory,
    Reaction,
    RoleChanged,
)
from testclients.events import Event
from testclients.fold import Fold, MissedEvents
from tests.unit.testclients.scripted import CHAT, message

USERS = ("ann", "ben", "cat")
GROUP = "g"


class Log:
    """A group's messages as a server keeps them: what is fetched is not made of events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.messages: dict[int, HistoryMessage] = {}
        self.reactions: dict[int, list[tuple[str, str]]] = {}

    @property
    def head(self) -> int:
        return len(self.events)

    def page(self, first: int = 1, last: int = 1_000) -> GroupChatHistory:
        """The messages in a range of numbers as they are now."""
        messages = []
        for seq, stored in self.messages.items():
            if first <= seq <= last:
                shown: dict[str, list[str]] = {}
                for emoji, user in self.reactions[seq]:
                    shown.setdefault(emoji, []).append(user)
                messages.append(msgspec.structs.replace(stored, reactions=shown or None))
        return GroupChatHistory(
            group_id=GROUP, messages=messages, has_more=False, head_seq=self.head
        )

    def do(self, what: str, user: str, which: int, text: str) -> None:
        """Post, or change one of the messages; what cannot be done is not."""
        place: dict[str, Any] = {"group_id": GROUP, "from_": user, "seq": self.head + 1}
        place["prev"] = self.head
        if what == "post" or not self.messages:
            self._post(place, text)
            return
        seq = list(self.messages)[which % len(self.messages)]
        target = self.messages[seq]
        place |= {"id": target.id, "at": 1_000 + self.head}
        if target.deleted:
            return
        match what:
            case "edit":
                self.messages[seq] = msgspec.structs.replace(
                    target,
                    content=text,
                    version=target.version + 1,
                    edited_at=place["at"],
                    edited_by=None if user == target.from_ else user,
                )
                self.events.append(MessageEdited(**place, content=text, version=target.version + 1))
            case "delete":
                self.messages[seq] = msgspec.structs.replace(
                    target, content="", mentions=None, deleted=True
                )
                self.reactions[seq] = []
                self.events.append(MessageDeleted(**place))
            case "react" if (text, user) not in self.reactions[seq]:
                self.reactions[seq].append((text, user))
                self.events.append(Reaction(**place, emoji=text))
            case "unreact" if (text, user) in self.reactions[seq]:
                self.reactions[seq].remove((text, user))
                self.events.append(Reaction(**place, emoji=text, remove=True))

    def _post(self, place: dict[str, Any], text: str) -> None:
        event = GroupChat(**place, id=f"m{place['seq']}", content=text, sent_at=self.head)
        self.events.append(event)
        fields = msgspec.structs.asdict(event)
        del fields["offline"]
        self.messages[event.seq] = HistoryMessage(**fields, version=1)
        self.reactions[event.seq] = []


deeds = st.tuples(
    st.sampled_from(["post", "edit", "delete", "react", "react", "unreact"]),
    st.sampled_from(USERS),
    st.integers(0, 5),
    st.sampled_from("👍🎉"),
)


@given(st.lists(deeds, max_size=40))
def test_events_alone_are_enough(done: list[tuple[str, str, int, str]]) -> None:
    log = Log()
    for deed in done:
        log.do(*deed)
    state = Fold()
    state.apply_all(log.events)
    assert state.messages == Fold.of_pages([log.page()]).messages
    assert list(state.messages) == sorted(state.messages)
    assert state.head == log.head


@given(st.lists(deeds, max_size=40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_pages_of_any_moments_and_what_follows_are_enough(
    done: list[tuple[str, str, int, str]], first: int, second: int, cut: int
) -> None:
    log = Log()
    early, late = sorted((first, second))
    for deed in done[:early]:
        log.do(*deed)
    pages = [log.page(cut + 1)]
    for deed in done[early:late]:
        log.do(*deed)
    pages.append(log.page(1, cut))
    for deed in done[late:]:
        log.do(*deed)
    state = Fold.of_pages(pages)
    # Whoever connects anew may be sent some that it has.
    state.apply_all(log.events)
    assert state.messages == Fold.of_pages([log.page()]).messages
    assert state.head == log.head


@given(st.lists(deeds, max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_an_older_page_may_be_taken_in_at_any_time(
    done: list[tuple[str, str, int, str]], begun: int, loaded: int
) -> None:
    log = Log()
    begun, loaded = sorted((begun, loaded))
    for deed in done[:begun]:
        log.do(*deed)
    cut = log.head // 2
    state = Fold.of_pages([log.page(cut + 1)])
    for deed in done[begun:loaded]:
        log.do(*deed)
    older = log.page(1, cut)
    known = state.head
    state.add_page(older)
    for deed in done[loaded:]:
        log.do(*deed)
    state.apply_all(log.events[known:])
    assert state.messages == Fold.of_pages([log.page()]).messages


def test_what_was_fetched_later_does_not_go_back_in_between() -> None:
    log = Log()
    log.do("post", "ann", 0, "one")
    recent = log.page(2)
    log.do("edit", "ann", 0, "two")
    log.do("react", "ben", 0, "👍")
    log.do("unreact", "ben", 0, "👍")
    log.do("react", "cat", 0, "👍")
    log.do("react", "ben", 0, "👍")
    log.do("edit", "ann", 0, "three")
    older = log.page(1, 1)
    state = Fold.of_pages([recent, older])
    assert state.head == 1
    for event in log.events:
        state.apply(event)
        assert state.messages == {1: older.messages[0]}
    log.do("delete", "ann", 0, "")
    state.apply(log.events[-1])
    assert state.messages[1].deleted


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_pages_with_a_message_the_later_counts(order: tuple[int, int]) -> None:
    log = Log()
    log.do("post", "ann", 0, "one")
    pages = [log.page()]
    log.do("edit", "ann", 0, "two")
    pages.append(log.page())
    state = Fold.of_pages([pages[n] for n in order])
    assert [shown.content for shown in state.messages.values()] == ["two"]
    assert state.head == 1


def test_a_page_from_before_is_not_taken() -> None:
    log = Log()
    log.do("post", "ann", 0, "one")
    page = log.page()
    log.do("edit", "ann", 0, "two")
    state = Fold(head=1)
    state.apply_all(log.events)
    with pytest.raises(MissedEvents):
        state.add_page(page)
    assert state.messages == {}


def test_a_missing_event_is_noticed() -> None:
    state = Fold()
    state.apply(message(1))
    with pytest.raises(MissedEvents, match="the events 2 to 3 are missing"):
        state.apply(message(4))
    state.apply(message(1, "another text"))
    assert [shown.content for shown in state.messages.values()] == ["hi"]


def test_a_direct_message_looks_as_it_is_fetched() -> None:
    state = Fold()
    state.apply(message(1, client_msg_id="c", reply_to="m0", mentions=["bob"], offline=True))
    fetched = HistoryMessage(
        id="m1",
        seq=1,
        prev=0,
        from_="bob",
        content="hi",
        sent_at=1,
        chat_id=CHAT,
        to="alice",
        client_msg_id="c",
        reply_to="m0",
        mentions=["bob"],
        version=1,
    )
    assert state.messages == {1: fetched}
    assert state.find("m1") == fetched
    assert state.find("m2") is None
    page = OneToOneChatHistory(
        chat_id=CHAT,
        messages=[fetched],
        has_more=False,
        head_seq=1,
        is_online=False,
        last_seen=None,
        peer_delivered_seq=0,
        peer_read_seq=0,
    )
    assert Fold.of_pages([page]).messages == state.messages


def test_a_deleted_message_says_and_shows_nothing_any_more() -> None:
    state = Fold()
    state.apply(message(1, mentions=["bob"]))
    place: dict[str, Any] = {"chat_id": CHAT, "id": "m1", "at": 5}
    state.apply(MessageEdited(**place, from_="bob", seq=2, prev=1, content="x", version=2))
    state.apply(Reaction(**place, from_="alice", seq=3, prev=2, emoji="👍"))
    state.apply(MessageDeleted(**place, from_="alice", seq=4, prev=3))
    (shown,) = state.messages.values()
    assert (shown.content, shown.mentions, shown.reactions) == ("", None, None)
    assert (shown.deleted, shown.version, shown.edited_at) == (True, 2, 5)


def test_changes_of_what_is_not_loaded_change_nothing() -> None:
    state = Fold(head=7)
    place: dict[str, Any] = {"chat_id": CHAT, "id": "m1", "at": 5, "from_": "bob"}
    state.apply(MessageEdited(**place, seq=8, prev=7, content="x", version=2))
    state.apply(MessageDeleted(**place, seq=9, prev=8))
    assert (state.messages, state.head) == ({}, 9)


def test_only_so_much_is_kept() -> None:
    state = Fold(max_messages=3)
    for seq in range(1, 7):
        state.apply(message(seq))
    assert list(state.messages) == [4, 5, 6]
    assert state.find("m3") is None
    place: dict[str, Any] = {"chat_id": CHAT, "id": "m3", "at": 5, "from_": "bob"}
    state.apply(MessageEdited(**place, seq=7, prev=6, content="x", version=2))
    assert list(state.messages) == [4, 5, 6]


def test_a_group_and_its_members() -> None:
    state = Fold()
    by: dict[str, Any] = {"group_id": GROUP, "by": "ann", "at": 0}
    state.apply(
        GroupCreated(
            **by,
            name="club",
            members=["ann", "ben"],
            open=True,
            history=HistoryVisibility.ALL,
            seq=1,
            prev=0,
        )
    )
    assert state.members == {"ann": Role.ADMIN, "ben": Role.MEMBER}
    state.apply(GroupMemberJoined(**by, username="cat", seq=2, prev=1))
    state.apply(RoleChanged(**by, username="cat", role=Role.ADMIN, seq=3, prev=2))
    state.apply(GroupMemberLeft(**by, username="ann", seq=4, prev=3))
    assert state.members == {"ben": Role.MEMBER, "cat": Role.ADMIN}
    state.apply(GroupUpdated(**by, name="pub", topic="beer", seq=5, prev=4))
    assert (state.name, state.topic, state.avatar_url) == ("pub", "beer", None)
    state.apply(GroupUpdated(**by, topic="", avatar_url="https://a/b.png", seq=6, prev=5))
    assert (state.name, state.topic, state.avatar_url) == ("pub", None, "https://a/b.png")
    state.apply(GroupUpdated(**by, avatar_url="", seq=7, prev=6))
    assert state.avatar_url is None


def test_who_comes_into_an_empty_group_is_its_admin() -> None:
    state = Fold.of_pages([], members={"ann": Role.ADMIN})
    place: dict[str, Any] = {"group_id": GROUP, "at": 0}
    state.apply(GroupMemberLeft(**place, username="ann", by="ann", seq=1, prev=0))
    state.apply(GroupMemberJoined(**place, username="ben", by="ben", seq=2, prev=1))
    state.apply(GroupMemberJoined(**place, username="cat", by="cat", seq=3, prev=2))
    assert state.members == {"ben": Role.ADMIN, "cat": Role.MEMBER}


def test_a_group_from_the_middle_on_is_what_was_fetched_of_it() -> None:
    summary = GroupSummary(
        group_id=GROUP,
        name="club",
        topic="tea",
        avatar_url=None,
        role=Role.MEMBER,
        member_count=2,
        last_seq=7,
        delivered_seq=7,
        read_seq=7,
        unread=0,
    )
    page = GroupChatHistory(group_id=GROUP, messages=[], has_more=False, head_seq=7)
    state = Fold.of_pages([page], group=summary)
    assert (state.head, state.name, state.topic, state.members) == (7, "club", "tea", None)
    state.apply(GroupMemberJoined(group_id=GROUP, username="x", by="x", at=0, seq=8, prev=7))
    assert state.members is None, "who else is there is not known"
