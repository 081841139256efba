"""A frame of Arrow dtypes holds the values that one of numpy dtypes holds."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmagic.client import Client
from tests.servers import TestDatabase

COLUMNS = {
    "int2": ["0", "'-32768'", "32767"],
    "int4": ["0", "'-2147483648'"],
    "int8": ["0", "9223372036854775807", "'-9223372036854775808'"],
    "float4": ["1.5", "'nan'", "'infinity'"],
    "float8": ["1.5", "'nan'", "'-0.0'"],
    "numeric": ["1.10", "9007199254740993", "'nan'"],
    "bool": ["true", "false"],
    "text": ["''", "'é\n'", "'∅'"],
    "bytea": ["'\\x00ff'"],
    "date": ["'2024-02-29'", "'infinity'"],
    "timestamp": ["'2024-02-29 12:34:56.789'", "'-infinity'"],
    "timestamptz": ["'2024-07-01 00:00+02'"],
    "time": ["'23:59:59.999999'", "'24:00'"],
    "interval": ["'1 day 2 hours'", "'-3 seconds'", "'1 month'"],
    "uuid": ["'00000000-0000-0000-0000-0000000000ff'"],
    "json": ["'{\"a\": [1, null]}'", "'null'"],
    "int4[]": ["'{1,NULL}'", "'{{1},{2}}'", "'{}'"],
    "jsonb[]": ["array['[1]'::jsonb]"],
    "text[]": ["'{a,NULL}'"],
    "inet": ["'10.0.0.1'"],
    "int4range": ["'[1,3)'"],
    "mood": ["'sad'", "'happy'"],
}


@pytest.fixture
async def moods(database: TestDatabase) -> None:
    async with database.connection() as connection:
        await connection.execute("create type mood as enum ('sad', 'happy')")


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A few columns of a few rows, NULLs among them."""
    types = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6))
    count = draw(st.integers(0, 4))
    selected = ", ".join(f"v.c{n}::{type_} as c{n}" for n, type_ in enumerate(types))
    names = ", ".join(f"c{n}" for n in range(len(types)))
    drawn = [
        [draw(st.sampled_from(["null", *COLUMNS[type_]])) for type_ in types] for _ in range(count)
    ]
    lines = [
        ", ".join(f"{value}::{type_}" for value, type_ in zip(line, types, strict=True))
        for line in drawn or [["null"] * len(types)]
    ]
    values = ", ".join(f"({line})" for line in lines)
    return f"select {selected} from (values {values}) v ({names})" + " limit 0" * (count == 0)


def comparable(value: Any) -> object:
    """Make equal of two values that mean the same: numpy's and Arrow's."""
    if isinstance(value, np.ndarray | list):
        return [comparable(each) for each in value]
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None  # numpy's floats have no other missing value
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return pd.Timestamp(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sql=tables(), exact=st.booleans(), text=st.booleans())
async def test_values_are_equal(
    sql: str, exact: bool, text: bool, client: Client, moods: None
) -> None:
    options = {"numeric": "exact" if exact else "float", "json": "text" if text else "objects"}
    plain = await client.query(sql, on="a", **options)
    arrow = await client.query(sql, on="a", dtypes="arrow", **options)
    assert list(plain.columns) == list(arrow.columns)
    for name in plain.columns:
        assert [comparable(v) for v in plain[name]] == [comparable(v) for v in arrow[name]]
        dtype = arrow[name].dtype
        assert isinstance(dtype, pd.ArrowDtype) or dtype == plain[name].dtype


async def test_every_column_that_arrow_can_hold_is_arrows(client: Client, moods: None) -> None:
    sql = (
        "select 1::int2 a, null::int8 b, 1.5::float8 c, 1.5::numeric d, true e, 'x' f, "
        "now() g, date '2024-01-01' h, interval '1 day' i, array[1] j, '{}'::jsonb k, "
        "'sad'::mood l, gen_random_uuid() m, time '12:00' n, '\\x00'::bytea o"
    )
    frame = await client.query(sql, on=["a"], dtypes="arrow")
    others = {name: str(dtype) for name, dtype in frame.dtypes.items()
              if not isinstance(dtype, pd.ArrowDtype)}  # fmt: skip
    assert others == {"k": "object", "l": "category"}
    assert str(frame["b"].dtype) == "int64[pyarrow]"
    assert str(frame["i"].dtype) == "duration[us][pyarrow]"
    assert frame["a"].sum() == 1
    several = await client.query("select 1 as x", on=["a", "b"], dtypes="arrow", tag="where")
    assert [str(dtype) for dtype in several.dtypes] == ["category", "int32[pyarrow]"]
    assert several["where"].tolist() == ["a", "b"]
