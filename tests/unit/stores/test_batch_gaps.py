"""chatd.stores.batch_gaps"""

from hypothesis import given
from hypothesis import strategies as st

from chatd.stores.batch_gaps import BatchGaps, Gap

LOST = frozenset((7,))


def gaps_of(*batches: int, session: int | None = None) -> BatchGaps:
    gaps = BatchGaps()
    for batch in batches:
        gaps.add(batch, events=10 * batch, session=session)
    return gaps


def test_neighbours_are_one_in_whatever_order_they_came() -> None:
    gaps = gaps_of(3, 1, 5, 2, 9, 4)
    assert gaps.all() == [Gap(1, 5, 150), Gap(9, 9, 90)]
    assert (gaps.first, gaps.events) == (1, 240)


def test_lost_batches_are_apart_from_those_whose_outcome_is_known() -> None:
    gaps = BatchGaps()
    gaps.add(1, events=1)
    gaps.add(2, session=7)
    gaps.add(3, session=8)
    gaps.add(4, events=1)
    assert gaps.all() == [Gap(1, 1, 1), Gap(2, 3, 0, frozenset((7, 8))), Gap(4, 4, 1)]


def test_a_batch_without_rows_lengthens_the_gap_before_it_and_makes_none() -> None:
    gaps = gaps_of(1)
    gaps.stretch(2)
    gaps.add(3, events=1)
    gaps.stretch(9)
    assert gaps.all() == [Gap(1, 3, 11)]


def test_an_end_is_cut_off_with_its_rows() -> None:
    gaps = gaps_of(1, 2, 3)
    gaps.cut(1, 1, events=10)
    assert gaps.all() == [Gap(2, 3, 50)]
    gaps.cut(2, 3, events=49)
    assert not gaps and gaps.events == 0


def test_a_cut_may_go_through_the_middle() -> None:
    gaps = gaps_of(1, 2, 3, session=7)
    gaps.cut(2, 2, events=20)
    assert [(gap.first, gap.last, gap.sessions) for gap in gaps.all()] == [
        (1, 1, LOST),
        (3, 3, LOST),
    ]
    assert gaps.events == 40


def test_rows_of_lost_batches_were_not_counted_and_are_not_subtracted() -> None:
    gaps = BatchGaps()
    gaps.add(1, session=7)
    gaps.cut(1, 1, events=5)
    assert gaps.events == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("known", "lost", "void", "cut")),
        st.integers(1, 30),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_holds_what_a_set_holds(steps: list[tuple[str, int, int]]) -> None:
    gaps, model, void = BatchGaps(), dict[int, bool](), set[int]()
    for what, batch, more in steps:
        if what == "cut":
            gaps.cut(batch, batch + more, events=0)
            for cut in range(batch, batch + more + 1):
                model.pop(cut, None)
        elif batch not in model and batch not in void:
            if what == "void":
                gaps.stretch(batch)
                void.add(batch)
            else:
                gaps.add(batch, session=7 if what == "lost" else None)
                model[batch] = what == "lost"
        found = gaps.all()
        held = {n: bool(gap.sessions) for gap in found for n in range(gap.first, gap.last + 1)}
        assert held.items() >= model.items()
        assert held.keys() <= model.keys() | void
        assert all(one.last < other.first for one, other in zip(found, found[1:], strict=False))
        assert not model or gaps.first <= min(model)
