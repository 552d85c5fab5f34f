import pytest

from bench.plan import GroupShape, PairsShape, PosterShape, Shape


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    ("shape", "seats", "recipients"),
    [
        (GroupShape(7, 3, has_echo=False), 7, 6),
        (GroupShape(7, 3, has_echo=True), 7, 7),
        (GroupShape(2, 1, has_echo=False), 2, 1),
        (PairsShape(4), 8, 1),
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
