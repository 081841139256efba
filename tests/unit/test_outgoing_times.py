"""Times and spans as Python objects, and what is quick about columns of objects."""

import sys
from contextlib import nullcontext
from datetime import UTC, date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pgmagic.columns import outgoing
from pgmagic.columns.rectangles import leaves
from pgmagic.errors import CellError
from tests.unit.test_outgoing import NOON, objects

FAR = np.datetime64("20200-01-01")
LONG = np.timedelta64(10**12, "s")


@pytest.mark.parametrize(
    ("value", "beside", "microseconds"),
    [
        (FAR, NOON, 575_283_254_400_000_000),
        (FAR, np.datetime64("2024-01-01"), 575_283_254_400_000_000),
        (pd.Timestamp(FAR), NOON, 575_283_254_400_000_000),
        (pd.Timestamp(FAR), pd.Timestamp(NOON), 575_283_254_400_000_000),
        (pd.Timestamp(FAR).tz_localize("UTC"), NOON.replace(tzinfo=UTC), 575_283_254_400_000_000),
        (
            pd.Timestamp(FAR).tz_localize("Asia/Tokyo"),
            NOON.replace(tzinfo=UTC),
            575_283_222_000_000_000,
        ),
        (np.datetime64("-0044-03-15"), NOON, -63_549_360_000_000_000),
        (np.datetime64("0000-01-01", "ms"), None, -62_167_219_200_000_000),
        (np.datetime64(5_000_000, "ps"), NOON, 5),
        (LONG, timedelta(1), 10**18),
        (pd.Timedelta(LONG), timedelta(1), 10**18),
        (-LONG, pd.Timedelta(1, "s"), -(10**18)),
        (np.timedelta64(1, "W"), None, 604_800_000_000),
    ],
)
def test_moments_and_spans_beyond_those_of_python_arrive(value, beside, microseconds):
    for at, order in enumerate(([value, beside], [beside, value])):
        for values in (order, [[each] for each in order]):
            column = outgoing(objects(*values)).table["x"].combine_chunks()
            found = leaves(column).cast(pa.int64()).to_pylist()
            assert found[at] == microseconds
            assert found[1 - at] == outgoing(objects(beside)).table["x"].cast(pa.int64())[0].as_py()


@pytest.mark.parametrize("early", ["-4713-11-23T23:59:59.999999", "-290278-12-22T19:59:05.224192"])
def test_times_before_the_earliest_of_postgresql_are_refused(early):
    first = np.datetime64("-4713-11-24", "us")
    for moment, refusal in (
        (first, nullcontext()),
        (np.datetime64(early), pytest.raises(CellError, match=r"column x: .* before 4713 BC")),
    ):
        for values in ([NOON, moment], [[moment], []], np.array([moment, "NaT"], "M8[us]")):
            with refusal:
                outgoing(pd.DataFrame({"x": pd.Series(values)}))


@pytest.mark.parametrize(
    "value", [0.5, 1, "x", b"x", NOON, NOON.replace(tzinfo=UTC), date(2024, 1, 1), timedelta(1)]
)
@pytest.mark.parametrize("length", [None, 100], ids=["flat", "lists"])
def test_plain_values_are_not_looked_at_one_by_one(value, length):
    frame = objects(*[[value] * length] * 100) if length else objects(*[value] * 10_000)
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        outgoing(frame)
    finally:
        sys.setprofile(None)
    assert calls < 1000


@pytest.mark.parametrize(
    "values",
    [
        [np.datetime64(1, "ps")],
        [np.datetime64("300000-01-01", "s"), NOON],
        [pd.Timestamp(np.datetime64("300000-01-01", "s"))],
        [np.timedelta64(10**17, "s"), timedelta(1)],
        [pd.Timedelta(np.timedelta64(10**17, "s"))],
        [timedelta.max],
        [np.timedelta64(1, "M")],
        [np.timedelta64(1)],
    ],
)
def test_a_time_that_would_be_another_is_refused(values):
    for order in (values, values[::-1]):
        with pytest.raises(CellError, match=r"column x: .* can't hold exactly"):
            outgoing(objects(*order))
