"""Who is in which conversation, which numbers its messages have, and which pages they are on."""

import pytest

from bench.peers.chatd_crowd import (
    MISSED_DIRECT,
    SEEN,
    SEEN_DIRECT,
    Conversation,
    Crowd,
    conversations_of,
    memberships,
)


@pytest.mark.parametrize(("clients", "groups", "members"), [(2_000, 50, 100), (80, 3, 67)])
def test_everybody_is_in_two_or_three_groups(clients: int, groups: int, members: int) -> None:
    made = memberships(clients)
    assert len(made) == groups
    assert max(map(len, made)) == members
    assert all(len(set(theirs)) == len(theirs) for theirs in made)
    for client in range(clients):
        assert sum(client in theirs for theirs in made) == 2 + client % 2


@pytest.mark.parametrize("clients", [2, 3])
def test_a_few_are_in_different_groups_too(clients: int) -> None:
    assert all(len(set(theirs)) == len(theirs) for theirs in memberships(clients))


def test_conversations_have_ranges_of_numbers_that_do_not_meet() -> None:
    every, of_client = conversations_of(["g", "h"], [[0, 1], [1]], ["ann", "bob"], missed=20)
    assert [(one.group_id, one.to) for one in every] == [
        ("g", ""),
        ("h", ""),
        ("", "ann"),
        ("", "bob"),
    ]
    sizes = [SEEN + 20, SEEN + 20, SEEN_DIRECT + MISSED_DIRECT, SEEN_DIRECT + MISSED_DIRECT]
    assert [number for one in every for number in one.numbers] == list(range(sum(sizes)))
    assert of_client == [[every[0], every[2]], [every[0], every[1], every[3]]]


@pytest.mark.parametrize(
    ("position", "head", "pages"),
    [
        (0, 1, 1),
        (0, 200, 1),
        (0, 201, 2),
        (199, 200, 1),
        (199, 201, 2),
        (200, 201, 1),
        (101, 251, 2),
        (5, 1_000, 5),
    ],
)
def test_pages_are_cut_at_multiples(position: int, head: int, pages: int) -> None:
    conversation = Conversation("g", "", range(0), 0, id="g", head=head)
    crowd = Crowd("ws://h/", "token", 120, [], [conversation, conversation], [])
    assert crowd.pages_needed({"g": position}) == 2 * pages
