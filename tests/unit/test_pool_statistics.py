"""Counts, percentiles, history and alerts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.statistics import DatabaseStatistics, Recorder, percentile
from tests.pools import StepClock


def statistics() -> DatabaseStatistics:
    return DatabasePool(DatabaseSettings(name="sales", max_size=10)).statistics()


def test_percentile_of_nothing() -> None:
    assert percentile([], 0.95) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_history_keeps_every_peak() -> None:
    clock = StepClock()
    recorder = Recorder(clock)
    for in_use in (1, 5, 2):
        recorder.sample(in_use=in_use, size=5, waiting=0)
        clock.step(0.03)
    clock.step(1)
    recorder.sample(in_use=0, size=5, waiting=0)
    assert [sample.in_use for sample in recorder.history()] == [5, 0]


def test_history_does_not_grow_for_ever() -> None:
    clock = StepClock()
    recorder = Recorder(clock)
    for _ in range(10_000):
        recorder.sample(in_use=0, size=0, waiting=0)
        clock.step(1)
    assert len(recorder.history()) == 512


def test_only_warm_connections_count_as_slow() -> None:
    recorder = Recorder(StepClock())
    recorder.acquired(3.0, warm=False)
    assert percentile(recorder.acquires, 0.95) is None


def test_a_new_pool_has_nothing_to_say() -> None:
    now = statistics()
    assert now.alerts == ()
    assert now.utilisation == 0
    assert now.breaker == "closed"


@pytest.mark.parametrize(
    ("changes", "alert"),
    [
        ({"in_use": 9}, "nearly exhausted: 9 of 10 in use"),
        ({"in_use": 10, "waiting": 3}, "exhausted: 3 waiting for one of 10"),
        ({"acquire_p95_ms": 101.0}, "slow: a free connection takes 101 ms (p95)"),
        ({"breaker": "open"}, "circuit open: it is not asked until a try succeeds"),
    ],
)
def test_alerts(changes: dict[str, object], alert: str) -> None:
    assert replace(statistics(), **changes).alerts == (alert,)


def test_no_secret_in_the_repr() -> None:
    pool = DatabasePool(DatabaseSettings(name="sales", password=lambda: "hunter2"))
    assert repr(pool) == "<DatabasePool 'sales' [0 open, 0 idle, 0 waiting of 10 | breaker closed]>"
    assert "hunter2" not in repr(vars(pool))
