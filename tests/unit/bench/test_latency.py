import math

from hypothesis import given
from hypothesis import strategies as st

from bench.latency import PERCENTILES, Latencies


@given(st.lists(st.integers(0, 10_000), min_size=1), st.sampled_from(list(PERCENTILES.values())))
def test_a_percentile_is_the_one_of_the_sorted_list(latencies: list[int], share: float) -> None:
    expected = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
    assert Latencies(latencies).percentile(share) == expected


def test_none_at_all() -> None:
    nothing = Latencies()
    assert len(nothing) == 0
    assert nothing.summary_ms() == {"p50": 0, "p95": 0, "p99": 0, "p99.9": 0, "max": 0}


def test_what_is_added_and_merged_counts() -> None:
    total = Latencies([1000, 2000])
    total.add([3000])
    total.merge(Latencies([4000, 4000]))
    assert len(total) == 5
    assert total.maximum() == 4000
    assert total.summary_ms() == {"p50": 3, "p95": 4, "p99": 4, "p99.9": 4, "max": 4}
