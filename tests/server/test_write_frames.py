"""Frames to tables: types, appends, all or nothing, and back again."""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmagic.client import Client
from pgmagic.errors import CellError, FanOutError, NotCommitted, QueryError
from pgmagic.watch import Watch
from tests.server.conftest import settings_of

BERLIN = "Europe/Berlin"


async def types(client, table, on="a"):
    frame = await client.query(
        "select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute "
        "where attrelid = {table}::text::regclass and attnum > 0 order by attnum",
        on=on,
        values={"table": table},
    )
    return dict(zip(frame["name"], frame["type"], strict=True))


FRAME = pd.DataFrame(
    {
        "b": [True, False],
        "bn": pd.array([True, None], "boolean"),
        "i8": np.array([1, -2], "int8"),
        "i2": np.array([1, -2], "int16"),
        "i4": np.array([1, -2], "int32"),
        "big": [2**62, -1],
        "nullable": pd.array([1, None], "Int64"),
        "u8": np.array([2**64 - 1, 0], "uint64"),
        "f4": np.array([1.5, np.nan], "float32"),
        "f8": [0.1 + 0.2, np.inf],
        "text": ["it's", None],
        "category": pd.Categorical(["x", None]),
        "bytes": [b"\x00\xff", None],
        "day": [date(2024, 2, 29), None],
        "time": [datetime(2024, 1, 1, 12, 30, 15, 123456).time(), None],
        "moment": pd.to_datetime(["2024-01-01 12:00:00.123456", None]),
        "zoned": pd.to_datetime(["2024-07-01 12:00", None]).tz_localize(BERLIN),
        "span": pd.to_timedelta(["1 days 02:00:00", None]),
        "exact": [Decimal("12345678901234567890.12"), None],
        "list": [[1, None, 3], None],
        "texts": [["a,b", None], []],
        "document": [{"a": [1, {"b": None}]}, None],
        "nothing": [None, None],
    }
)
EXPECTED = {
    "b": "boolean",
    "bn": "boolean",
    "i8": "smallint",
    "i2": "smallint",
    "i4": "integer",
    "big": "bigint",
    "nullable": "bigint",
    "u8": "numeric",
    "f4": "real",
    "f8": "double precision",
    "text": "text",
    "category": "text",
    "bytes": "bytea",
    "day": "date",
    "time": "time without time zone",
    "moment": "timestamp without time zone",
    "zoned": "timestamp with time zone",
    "span": "interval",
    "exact": "numeric",
    "list": "bigint[]",
    "texts": "text[]",
    "document": "jsonb",
    "nothing": "text",
}


async def test_types_are_taken_from_the_frame_and_values_arrive(client):
    await client.write(FRAME, "a", table="t")
    assert await types(client, "t") == EXPECTED
    texts = ", ".join(f'"{name}"::text' for name in FRAME)
    first, second = (await client.query(f"select {texts} from t", on="a")).to_dict("records")
    assert {name: value for name, value in first.items() if not pd.isna(value)} == {
        "b": "true",
        "bn": "true",
        "i8": "1",
        "i2": "1",
        "i4": "1",
        "big": "4611686018427387904",
        "nullable": "1",
        "u8": "18446744073709551615",
        "f4": "1.5",
        "f8": "0.30000000000000004",
        "text": "it's",
        "category": "x",
        "bytes": "\\x00ff",
        "day": "2024-02-29",
        "time": "12:30:15.123456",
        "moment": "2024-01-01 12:00:00.123456",
        "zoned": "2024-07-01 10:00:00+00",
        "span": "26:00:00",
        "exact": "12345678901234567890.12",
        "list": "{1,NULL,3}",
        "texts": '{"a,b",NULL}',
        "document": '{"a": [1, {"b": null}]}',
    }
    nulls = {name for name, value in second.items() if pd.isna(value)}
    full = {"b", "i8", "i2", "i4", "big", "u8", "f8", "texts"}
    assert nulls == set(FRAME) - full
    assert second["f8"] == "Infinity"


async def test_there_and_back_is_the_same_frame(client):
    frame = FRAME[["b", "bn", "i2", "i4", "big", "nullable", "f4", "f8", "text", "moment", "span"]]
    frame = frame.assign(zoned=FRAME["zoned"].dt.tz_convert("UTC"))
    await client.write(frame, "a", table="t")
    back = await client.query("select * from t", on="a")
    pd.testing.assert_frame_equal(back, frame.astype(back.dtypes.to_dict()))
    for name in ("b", "bn", "i2", "i4", "big", "nullable", "f4", "f8", "text"):
        assert back[name].dtype == frame[name].dtype


SCALARS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False),
    "str": st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "boolean": st.none() | st.booleans(),
    "datetime64[us]": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    "datetime64[us, UTC]": st.datetimes(
        datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)
    ),
    "timedelta64[us]": st.timedeltas(timedelta(days=-90_000), timedelta(days=90_000)),
}


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 5))
    kinds = draw(st.lists(st.sampled_from(sorted(SCALARS)), min_size=1, max_size=5))
    return pd.DataFrame(
        {
            f"{kind} {number}": pd.Series(
                draw(st.lists(SCALARS[kind], min_size=rows, max_size=rows)), dtype=kind
            )
            for number, kind in enumerate(kinds)
        }
    )


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_frame_comes_back_as_it_was(data, database):
    async def there_and_back(frame):
        async with Client() as pg:
            await pg.add(settings_of("a", database))
            await pg.write(frame, "a", table="t", if_exists="replace")
            return await pg.query("select * from t", on="a")

    frame = data.draw(frames())
    back = asyncio.run(there_and_back(frame))
    # Where no NULL is, a frame that was read has no dtype for NULLs.
    pd.testing.assert_frame_equal(back.astype(frame.dtypes.to_dict()), frame)


async def test_an_existing_table_is_left_alone_unless_it_says_otherwise(client):
    frame = pd.DataFrame({"n": [1]})
    await client.write(frame, "a", table="t")
    with pytest.raises(CellError, match="there is a table t already") as caught:
        await client.write(frame, "a", table="t")
    assert "append" in caught.value.hint
    await client.write(frame, "a", table="t", if_exists="append")
    assert (await client.query("select n from t", on="a"))["n"].tolist() == [1, 1]
    await client.write(pd.DataFrame({"x": ["new"]}), "a", table="t", if_exists="replace")
    assert (await client.query("select * from t", on="a")).to_dict("list") == {"x": ["new"]}


async def test_append_makes_the_table_where_there_is_none(client):
    await client.write(pd.DataFrame({"n": [1]}), "a", table="t", if_exists="append")
    assert await types(client, "t") == {"n": "bigint"}


async def test_append_goes_by_name_and_takes_the_tables_types(client):
    await client.query(
        "create type mood as enum ('sad', 'ok');"
        "create table t (id serial, small int2, amount numeric(8, 2), mood mood, "
        "code varchar(3), at timestamptz default now(), u uuid, doc json)",
        on="a",
        write=True,
    )
    uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    frame = pd.DataFrame(
        {
            "doc": [{"a": 1}],
            "code": ["abc"],
            "mood": pd.Categorical(["ok"]),
            "amount": [1.5],
            "small": [7.0],  # whole, though a float
            "u": [uuid],
        }
    )
    await client.write(frame, "a", table="t", if_exists="append")
    back = await client.query("select * from t", on="a", numeric="exact", json="text")
    row = back.iloc[0].to_dict()
    assert (row["id"], row["small"], str(row["amount"]), row["mood"]) == (1, 7, "1.50", "ok")
    assert (row["code"], row["u"], row["doc"]) == ("abc", uuid, '{"a": 1}')


@pytest.mark.parametrize(
    ("column", "values", "error"),
    [
        ("nosuch", [1], CellError),
        ("small", [1.5], CellError),
        ("small", [70_000], QueryError),
        ("code", ["abcd"], QueryError),
        ("mood", ["joyful"], QueryError),
        ("at", pd.to_datetime(["2024-01-01"]), CellError),
        ("flag", [1], CellError),
    ],
)
async def test_append_never_changes_a_value(client, column, values, error):
    await client.query(
        "create type mood as enum ('sad', 'ok');"
        "create table t (small int2, mood mood, code varchar(3), at timestamptz, flag bool)",
        on="a",
        write=True,
    )
    with pytest.raises(error):
        await client.write(pd.DataFrame({column: values}), "a", table="t", if_exists="append")
    assert len(await client.query("select * from t", on="a")) == 0


async def test_names_are_as_in_sql(client):
    await client.query('create schema s; create schema "S x"', on="a", write=True)
    frame = pd.DataFrame({'we"ird Name': [1], "select": [2]})
    await client.write(frame, "a", table="s.Folded")
    await client.write(frame, "a", table='"S x"."Kept. "')
    assert (await client.query("select * from s.folded", on="a")).to_dict("list") == {
        'we"ird Name': [1],
        "select": [2],
    }
    assert len(await client.query('select * from "S x"."Kept. "', on="a")) == 1
    for bad in ("a.b.c", "t; drop table x", ""):
        with pytest.raises((CellError, QueryError)):
            await client.write(frame, "a", table=bad)


async def test_all_databases_or_none(client):
    frame = pd.DataFrame({"n": [1]})
    await client.query(
        "create table t (n int primary key); insert into t values (1)", on="b", write=True
    )
    with pytest.raises(FanOutError) as caught:
        await client.write(frame, ["a", "b"], table="t", if_exists="append")
    kinds = {failure.database: type(failure.error) for failure in caught.value.failures}
    assert kinds == {"a": NotCommitted, "b": QueryError}
    await client.query("delete from t where true", on="b", write=True)
    await caught.value.retry_failed()
    assert (await client.query("select n from t", on=["a", "b"]))["n"].tolist() == [1, 1]


async def test_a_failed_replace_leaves_the_old_table(client):
    await client.write(pd.DataFrame({"n": [1]}), "a", table="t")
    with pytest.raises(QueryError):  # the server takes no zero character
        await client.write(pd.DataFrame({"n": ["a\0b"]}), "a", table="t", if_exists="replace")
    assert (await client.query("select * from t", on="a"))["n"].tolist() == [1]


async def test_a_cancel_leaves_nothing(client):
    rows = 3_000_000
    frame = pd.DataFrame({"n": np.arange(rows), "x": ["x" * 20] * rows})
    watch = Watch()
    task = asyncio.create_task(client.write(frame, ["a", "b"], table="t", watch=watch))
    while not any(progress.rows > 100_000 for progress in watch.progress.values()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = await client.query("select to_regclass('t')::text as t", on=["a", "b"])
    assert left["t"].isna().all()
    assert [client.pool(name).statistics().in_use for name in "ab"] == [0, 0]


async def test_indexes_with_names_become_columns(client):
    frame = pd.DataFrame({"k": ["x", "x", "y"], "v": [1, 2, 3]}).groupby("k").sum()
    await client.write(frame, "a", table="t")
    assert (await client.query("select * from t", on="a")).to_dict("list") == {
        "k": ["x", "y"],
        "v": [3, 3],
    }


@pytest.mark.parametrize(
    "make",
    [lambda f: pa.Table.from_pandas(f), lambda f: pl.from_pandas(f)],
    ids=["arrow", "polars"],
)
async def test_arrow_and_polars_frames(client, make):
    frame = pd.DataFrame({"n": [1, 2], "x": ["a", None]})
    await client.write(make(frame), "a", table="t")
    pd.testing.assert_frame_equal(await client.query("select * from t", on="a"), frame)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": [1, "a"]}),
        pd.DataFrame({"x": [1 + 2j]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"x" * 64: [1]}),
        pd.DataFrame(),
        pd.DataFrame({"x": pd.to_datetime([1], unit="ns")}),
        pd.Series([1]),
        [1, 2],
    ],
)
async def test_what_no_table_can_hold_is_refused_before_anything_is_sent(client, frame):
    with pytest.raises(CellError):
        await client.write(frame, "down", table="t")


async def test_a_million_rows_in_seconds(client):
    rows = 1_000_000
    frame = pd.DataFrame(
        {
            "n": np.arange(rows),
            "x": np.random.default_rng(1).random(rows),
            "name": pd.Series(np.arange(rows)).astype(str),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="s"),
        }
    )
    started = time.monotonic()
    await client.write(frame, "a", table="t")
    elapsed = time.monotonic() - started
    count = await client.query("select count(*), sum(n) from t", on="a")
    assert count.iloc[0].tolist() == [rows, rows * (rows - 1) / 2]
    assert elapsed < 20, f"{elapsed:.1f} s"
