"""chatd.stores.batches"""

import pytest

from chatd.errors import BackendError
from chatd.events import Event, EventKind
from chatd.metrics import Metrics
from chatd.stores.batches import Batches
from chatd.stores.message_store import Put


def puts(count: int) -> list[Put]:
    return [
        Put(Event("7", seq, 0, EventKind.GROUP_MESSAGE, "alice", b"{}", 0))
        for seq in range(1, count + 1)
    ]


def commit(batches: Batches, *counts: int) -> None:
    """Calls one after the other that bring so many events each."""
    for count in counts:
        batches.committed(batches.begin(), puts(count))


def put_all(batches: Batches) -> list[int]:
    """Put what waits, group by group; their sizes."""
    sizes: list[int] = []
    while group := batches.take(4):
        sizes.append(len(group.puts))
        batches.put(group)
    return sizes


def test_batches_are_numbered_from_one() -> None:
    batches = Batches(Metrics())
    assert [batches.begin() for _ in range(3)] == [1, 2, 3]
    assert batches.stored == 0


def test_progress_counts_what_is_stored_without_a_gap() -> None:
    batches = Batches(Metrics())
    one, two, three = (batches.begin() for _ in range(3))
    batches.committed(two, puts(1))
    batches.committed(three, puts(1))
    put_all(batches)
    assert batches.stored == 0
    batches.committed(one, puts(1))
    assert batches.stored == 0
    put_all(batches)
    assert batches.stored == 3


def test_puts_may_end_in_any_order() -> None:
    batches = Batches(Metrics())
    commit(batches, 1, 1)
    first, second = batches.take(1), batches.take(1)
    assert first is not None and second is not None
    batches.put(second)
    assert batches.stored == 0
    batches.put(first)
    assert batches.stored == 2


def test_a_call_that_stored_nothing_holds_nothing_up() -> None:
    batches = Batches(Metrics())
    commit(batches, 0, 0)
    assert batches.stored == 2
    assert batches.take(10) is None


def test_what_waits_goes_together_and_calls_are_not_torn() -> None:
    batches = Batches(Metrics())
    commit(batches, 1, 2, 2, 9, 1)
    assert batches.waiting == 15
    assert put_all(batches) == [3, 2, 9, 1]
    assert (batches.waiting, batches.unstored, batches.stored) == (0, 0, 5)


def test_who_puts_is_told_of_what_came() -> None:
    batches = Batches(Metrics())
    waiting: list[int] = []
    batches.came = lambda: waiting.append(batches.waiting)
    commit(batches, 2, 0, 1)
    assert waiting == [2, 3]


def test_a_lost_call_holds_progress_up_until_its_rows_were_found() -> None:
    batches = Batches(Metrics())
    commit(batches, 1)
    lost = batches.begin()
    commit(batches, 1)
    batches.lost(lost, 77)
    put_all(batches)
    assert batches.stored == 1
    (gap,) = batches.gaps()
    assert (gap.first, gap.last, gap.sessions) == (lost, lost, {77})
    batches.found(lost, lost, [(lost, put) for put in puts(2)])
    assert (batches.stored, batches.waiting) == (1, 2)
    put_all(batches)
    assert batches.stored == 3


def test_a_lost_call_that_left_nothing_is_over_when_it_was_looked_for() -> None:
    batches = Batches(Metrics())
    batches.lost(batches.begin(), 77)
    batches.found(1, 1, [])
    assert (batches.stored, batches.gaps()) == (1, [])


def test_memory_is_bounded_and_what_did_not_fit_is_one_gap() -> None:
    metrics = Metrics()
    batches = Batches(metrics, events_in_memory=10)
    commit(batches, *[4] * 1_000)
    assert (batches.waiting, metrics.history_waiting) == (8, 8)
    assert (batches.unstored, metrics.history_unstored) == (4_000, 4_000)
    (gap,) = batches.gaps()
    assert (gap.first, gap.last, gap.events) == (3, 1_000, 3_992)
    assert put_all(batches) == [4, 4]
    assert batches.stored == 2


def test_memory_takes_new_events_when_half_of_it_is_free() -> None:
    batches = Batches(Metrics(), events_in_memory=8)
    commit(batches, 4, 4, 4)
    assert not batches.has_room
    group = batches.take(4)
    assert group is not None
    commit(batches, 4)
    assert (batches.waiting, batches.gaps()[0].last) == (4, 4)
    batches.put(group)
    commit(batches, 1)
    assert (batches.has_room, batches.waiting) == (False, 5)
    assert (batches.stored, batches.unstored) == (1, 13)


def test_a_gap_is_read_piece_by_piece() -> None:
    batches = Batches(Metrics(), events_in_memory=4)
    commit(batches, 4, 2, 2, 2)
    assert put_all(batches) == [4]
    batches.found(2, 3, [(batch, put) for batch in (2, 3) for put in puts(2)])
    (gap,) = batches.gaps()
    assert (gap.first, gap.last, gap.events) == (4, 4, 2)
    assert (batches.stored, batches.unstored) == (1, 6)
    assert put_all(batches) == [4]
    assert (batches.stored, batches.unstored) == (3, 2)


def test_beyond_the_bound_no_call_begins_until_something_was_stored() -> None:
    batches = Batches(Metrics(), events_in_memory=2, events_unstored=6)
    commit(batches, 2, 4)
    with pytest.raises(BackendError):
        batches.begin()
    put_all(batches)
    assert batches.begin() == 3
