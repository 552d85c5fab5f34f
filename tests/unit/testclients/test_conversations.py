import pytest

from protocol.model import GroupSummary, PresenceStatus, Role
from protocol.pushes import GroupChat, OneToOneChat, PresenceUpdate
from testclients.conversations import (
    Ambiguous,
    Direct,
    Group,
    UnknownGroup,
    find_group,
    is_message_of,
)


def summary(group_id: str, name: str) -> GroupSummary:
    return GroupSummary(
        group_id=group_id,
        name=name,
        role=Role.MEMBER,
        member_count=1,
        last_seq=0,
        delivered_seq=0,
        read_seq=0,
        unread=0,
    )


GROUPS = [summary("1", "tea"), summary("2", "coffee"), summary("3", "coffee"), summary("4", "1")]


def test_a_group_is_found_by_id_then_by_name() -> None:
    assert find_group(GROUPS, "2") == Group("2", "coffee")
    assert find_group(GROUPS, "tea") == Group("1", "tea")
    assert find_group(GROUPS, "1") == Group("1", "tea")


def test_a_name_of_several_groups_is_refused_with_their_ids() -> None:
    with pytest.raises(Ambiguous, match="2, 3"):
        find_group(GROUPS, "coffee")


def test_what_is_not_found_is_left_to_the_server_if_it_may_be_an_id() -> None:
    assert find_group(GROUPS, "99") == Group("99", "99")
    with pytest.raises(UnknownGroup, match="cold water"):
        find_group(GROUPS, "cold water")


def test_messages_are_recognised_by_their_conversation() -> None:
    direct = OneToOneChat(
        id="m", seq=1, prev=0, chat_id="alice-bob", from_="bob", to="alice", content="hi", sent_at=0
    )
    group = GroupChat(id="m", seq=1, prev=0, group_id="1", from_="bob", content="hi", sent_at=0)
    presence = PresenceUpdate(username="bob", status=PresenceStatus.ONLINE, last_seen=None)
    assert (
        is_message_of(direct, None)
        and is_message_of(group, None)
        and not is_message_of(presence, None)
    )
    assert is_message_of(direct, Direct("bob")) and is_message_of(direct, Direct("alice"))
    assert not is_message_of(direct, Direct("charlie")) and not is_message_of(
        direct, Group("1", "tea")
    )
    assert is_message_of(group, Group("1", "renamed")) and not is_message_of(
        group, Group("2", "tea")
    )
    assert not is_message_of(group, Direct("bob"))
