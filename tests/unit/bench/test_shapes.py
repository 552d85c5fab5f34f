import pytest

from bench.shapes import GroupShape, MixedShape, PairsShape, PosterShape, Shape

MIXED = MixedShape(pairs=2, groups=2, group_members=4)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    ("shape", "seats", "recipients"),
    [
        (GroupShape(7, 3, has_echo=False), 7, 6),
        (GroupShape(7, 3, has_echo=True), 7, 7),
        (GroupShape(2, 1, has_echo=False), 2, 1),
        (PairsShape(4), 8, 1),
        (MixedShape(3, 0, 2), 9, 1),
        (MixedShape(0, 2, 5), 13, 4),
        (PosterShape(frozenset({1, 4, 6})), 8, 3),
    ],
)
def test_the_recipients_of_all_processes_add_up(
    shape: Shape, seats: int, recipients: int, processes: int
) -> None:
    shares = [
        {seat for seat in range(seats) if shape.process_of(seat, processes) == process}
        for process in range(processes)
    ]
    for number in range(20):
        there = [shape.recipients_among(share, number) for share in shares]
        assert sum(there) == recipients
        if not shape.spans_processes:
            assert there[shape.process_of(shape.sender(number), processes)] == recipients


def test_the_first_member_of_a_group_only_reads_and_the_others_take_turns() -> None:
    shape = GroupShape(4, 2, has_echo=False)
    assert [shape.sender(number) for number in range(6)] == [1, 2, 3, 1, 2, 3]


def test_a_pair_sends_again_when_its_last_message_has_arrived() -> None:
    shape = PairsShape(3)
    assert [shape.sender(number) for number in range(4)] == [0, 2, 4, 0]
    assert shape.sender(1 + shape.lanes) == shape.sender(1)
    assert shape.recipient(1) == 3


def test_a_poster_sends_everything_and_only_the_watched_are_waited_for() -> None:
    shape = PosterShape(frozenset({2, 3}))
    assert [shape.sender(number) for number in range(3)] == [0, 0, 0]
    assert shape.recipients_among({0, 1, 3, 4}, 7) == 1


def test_pairs_come_first_then_groups_then_those_who_only_listen() -> None:
    assert [list(MIXED.members(n)) for n in range(MIXED.lanes)] == [
        *([0, 1], [2, 3]),
        *([4, 5, 6, 7], [8, 9, 10, 11]),
    ]
    assert MIXED.talking == 12
    assert [MIXED.conversation_of(seat) for seat in range(13)] == [
        *(0, 0, 1, 1),
        *(2, 2, 2, 2),
        *(3, 3, 3, 3),
        None,
    ]


def test_mixed_conversations_take_turns_and_so_do_their_members() -> None:
    senders = [MIXED.sender(number) for number in range(4 * MIXED.lanes)]
    assert senders[0::4] == [0, 1, 0, 1]
    assert senders[1::4] == [2, 3, 2, 3]
    assert senders[2::4] == [5, 6, 7, 5]
    assert senders[3::4] == [9, 10, 11, 9]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_mixed_conversation_is_in_one_process(processes: int) -> None:
    for conversation in range(MIXED.lanes):
        members = MIXED.members(conversation)
        assert len({MIXED.process_of(seat, processes) for seat in members}) == 1
    assert {MIXED.process_of(seat, processes) for seat in range(12, 20)} == set(range(processes))
