"""What becomes of PostgreSQL's values, by COPY and by records alike."""

import datetime as dt
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import numpy as np
import pandas as pd
import pytest

from pgmagic.columns import FrameOptions, Reading, describe, prepare, read, to_frame
from pgmagic.columns.pgtypes import BUILTIN
from pgmagic.columns.scalars import text_of
from pgmagic.columns.text import date_text, interval_text, timestamp_text
from pgmagic.errors import CellError
from tests.servers import TestDatabase

BUILTIN_NAMED = {type_.name: type_ for type_ in BUILTIN.values()}
PATHS = ("copy", "wrapped copy", "records", "records at once")


@pytest.fixture
async def connection(database: TestDatabase):
    async with database.connection() as connection:
        await connection.execute("set timezone to 'UTC'")
        yield connection


async def reading(
    connection: asyncpg.Connection,
    sql: str,
    *arguments: object,
    path: str = "copy",
    options: FrameOptions | None = None,
    verb: str = "select",
) -> tuple[Reading, Any]:
    statement = await prepare(connection, sql)
    columns = await describe(connection, statement.get_attributes(), {})
    result = await read(
        connection,
        sql,
        arguments,
        columns,
        statement=statement,
        copyable="copy" in path,
        wrappable=path == "wrapped copy",
        verb="" if path == "records at once" else verb,
        options=options or FrameOptions(),
    )
    return result, columns


async def frame(
    connection: asyncpg.Connection,
    sql: str,
    *arguments: object,
    options: FrameOptions | None = None,
):
    """The frame and its notes, which must be the same on every way from the server."""
    options = options or FrameOptions()
    made = []
    for path in PATHS:
        result, columns = await reading(connection, sql, *arguments, path=path, options=options)
        table, notes = to_frame(result.table, columns, options)
        made.append((table, (*result.notes, *notes)))
    first, *others = made
    for other in others:
        pd.testing.assert_frame_equal(other[0], first[0])
        assert other[1] == first[1]
    return first


# One column of each: its SQL type, values as literals, the dtype, what it holds.
ORDINARY = {
    "int2": (["1", "-32768"], "int16", [1, -32768]),
    "int4": (["1", "-2147483648"], "int32", [1, -(2**31)]),
    "int8": (["1", "9223372036854775807"], "int64", [1, 2**63 - 1]),
    "oid": (["1", "4294967295"], "uint32", [1, 2**32 - 1]),
    "float4": (["1.5", "-Infinity"], "float32", [1.5, -np.inf]),
    "float8": (["0.1", "Infinity"], "float64", [0.1, np.inf]),
    "numeric(9,2)": (["0.10", "-12345.67", "0"], "float64", [0.1, -12345.67, 0.0]),
    "bool": (["t", "f"], "bool", [True, False]),
    "text": (["", "grüße 😀\n\\"], "str", ["", "grüße 😀\n\\"]),
    "varchar(5)": (["ab"], "str", ["ab"]),
    "char(4)": (["ab"], "str", ["ab  "]),
    "name": (["x"], "str", ["x"]),
    '"char"': (["x", ""], "str", ["x", ""]),
    "bytea": (["\\xdeadbeef", ""], "object", [b"\xde\xad\xbe\xef", b""]),
    "date": (
        ["2024-02-29", "0001-01-01"],
        "datetime64[s]",
        [np.datetime64("2024-02-29"), np.datetime64("0001-01-01")],
    ),
    "timestamp": (
        ["2024-02-29 12:34:56.789012", "1969-12-31 23:59:59.999999"],
        "datetime64[us]",
        [
            np.datetime64("2024-02-29T12:34:56.789012"),
            np.datetime64("1969-12-31T23:59:59.999999"),
        ],
    ),
    "timestamptz": (
        ["2024-06-01 12:00:00+02"],
        "datetime64[us, UTC]",
        [pd.Timestamp("2024-06-01T10:00:00Z")],
    ),
    "time": (["12:34:56.000001"], "object", [dt.time(12, 34, 56, 1)]),
    "timetz": (["12:34:56+02"], "str", ["12:34:56+02"]),
    "interval": (
        ["1 day 02:03:04.5", "-3 days +00:00:01"],
        "timedelta64[us]",
        [dt.timedelta(1, 7384, 500000), dt.timedelta(-3, 1)],
    ),
    "uuid": (
        ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
        "str",
        ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ),
    "inet": (
        ["10.0.0.1", "10.0.0.1/8", "::1", "::ffff:1.2.3.4/96", "2001:db8::/32"],
        "str",
        ["10.0.0.1", "10.0.0.1/8", "::1", "::ffff:1.2.3.4/96", "2001:db8::/32"],
    ),
    "cidr": (["10.0.0.1/32", "10.0.0.0/8"], "str", ["10.0.0.1/32", "10.0.0.0/8"]),
    "macaddr": (["08:00:2b:01:02:03"], "str", ["08:00:2b:01:02:03"]),
    "bit(3)": (["101"], "str", ["101"]),
    "int4range": (["[1,5)", "empty"], "str", ["[1,5)", "empty"]),
    "point": (["(1,2.5)"], "str", ["(1,2.5)"]),
    "tsvector": (["a b"], "str", ["'a' 'b'"]),
    "xml": (["<a/>"], "str", ["<a/>"]),
    "regclass": (["pg_class"], "str", ["pg_class"]),
    "json": (['{"a": [1, 2.5, null]}'], "object", [{"a": [1, 2.5, None]}]),
    "jsonb": (['[1, "x"]', '"y"', "null"], "object", [[1, "x"], "y", None]),
    "int4[]": (["{}", "{1,NULL,3}"], "object", [[], [1, None, 3]]),
    "int8[][]": (["{{1,2},{3,NULL}}", "{}"], "object", [[[1, 2], [3, None]], []]),
    "text[]": (['{a,"b c",NULL,"NULL",""}'], "object", [["a", "b c", None, "NULL", ""]]),
    "date[]": (["{2024-01-01,NULL}"], "object", [[dt.date(2024, 1, 1), None]]),
    "jsonb[]": (['{"{\\"a\\": 1}",NULL}'], "object", [[{"a": 1}, None]]),
    "inet[]": (["{10.0.0.1,::1}"], "object", [["10.0.0.1", "::1"]]),
    "int4range[]": (['{"[1,5)",NULL,empty}'], "object", [["[1,5)", None, "empty"]]),
    "box[]": (["{(1,1),(0,0);(3,3),(2,2)}"], "object", [["(1,1),(0,0)", "(3,3),(2,2)"]]),
}


def literal(value: str, type_: str) -> str:
    return "'" + value.replace("'", "''") + f"'::{type_}"


def literals(values: list[str], type_: str) -> str:
    return ", ".join(f"({n}, {literal(value, type_)})" for n, value in enumerate(values))


async def ordinary(connection: asyncpg.Connection):
    """What this server has of them: some are built without XML."""
    try:
        await connection.execute("select ''::xml")
    except asyncpg.FeatureNotSupportedError:
        return {type_: about for type_, about in ORDINARY.items() if type_ != "xml"}
    return ORDINARY


@pytest.mark.parametrize("type_", ORDINARY)
async def test_a_value_of_each_type(connection, type_):
    if type_ not in await ordinary(connection):
        pytest.skip(f"this server is built without {type_}")
    values, dtype, expected = ORDINARY[type_]
    sql = f"select v from (values {literals(values, type_)}) t(n, v) order by n"
    made, notes = await frame(connection, sql)
    assert str(made["v"].dtype) == dtype
    assert made["v"].tolist() == pd.Series(expected, dtype=made["v"].dtype).tolist()
    assert notes == ()


NULLABLE = {
    "int16": "Int16",
    "int32": "Int32",
    "int64": "Int64",
    "uint32": "UInt32",
    "bool": "boolean",
}


async def test_dtypes_do_not_depend_on_the_values(connection):
    columns = ", ".join(f"null::{type_}" for type_ in ORDINARY)
    for rows in (0, 3):
        made, _ = await frame(connection, f"select {columns} from generate_series(1, {rows})")
        assert len(made) == rows
        assert made.isna().all().all()
        dtypes = [dtype for _, dtype, _ in ORDINARY.values()]
        if rows:
            dtypes = [NULLABLE.get(dtype, dtype) for dtype in dtypes]
        assert [str(dtype) for dtype in made.dtypes] == dtypes


STRANGE = {
    "date": [
        "infinity",
        "-infinity",
        "0044-03-15 BC",
        "2024-01-01",
        "5874897-12-31",
        "4713-11-24 BC",
    ],
    "timestamp": [
        "infinity",
        "-infinity",
        "0044-03-15 12:00 BC",
        "2024-01-01 01:02:03.4",
        "294276-12-31 23:59:59.999999",
    ],
    "timestamptz": [
        "infinity",
        "2024-01-01 01:02:03.4+00",
        "294276-12-31 23:59:59.999999+00",
        "0001-01-01 00:00+00 BC",
    ],
    "time": ["24:00", "00:00:00.5"],
    "interval": [
        "1 year -2 mons +3 days -04:05:06.7",
        "-1 mon",
        "178000000 years",
        "1 mon 1 day",
        "00:00",
        "-00:00:00.1",
        "-1 year -11 mons",
        "1 day -1 sec",
    ],
    "numeric": [
        "NaN",
        "1e-400",
        "123456789012345678901234567890123456789012345678901234567890123456789012345678",
        "Infinity",
        "0.00",
    ],
}


@pytest.mark.parametrize("type_", STRANGE)
async def test_what_no_dtype_holds_is_the_servers_own_text(connection, type_):
    values = literals(
        [*STRANGE[type_], "2147483648"] if type_ == "numeric" else STRANGE[type_], type_
    )
    sql = f"select v, concat(v) as own from (values {values}) t(n, v) order by n"
    made, notes = await frame(connection, sql)
    assert made["v"].tolist() == made["own"].tolist()
    assert [note.partition(":")[0] for note in notes] == ["v"]


async def test_dates_beyond_pythons_years_stay_dates(connection):
    made, notes = await frame(
        connection, "values (date '0044-03-15 BC'), ('5874897-12-31'), (null)"
    )
    assert made["column1"].astype(str).tolist()[:2] == ["-043-03-15", "5874897-12-31"]
    assert made["column1"].isna().tolist() == [False, False, True]
    assert notes == ()


async def test_numeric_turns_to_decimals_only_where_a_float_loses_a_whole_number(connection):
    made, notes = await frame(connection, "values (0.1), (9007199254740992)")
    assert str(made.dtypes.iloc[0]) == "float64"
    assert notes == ()
    made, notes = await frame(connection, "values (0.1), (9007199254740993), (null)")
    assert made["column1"].tolist()[:2] == [Decimal("0.1"), Decimal(9007199254740993)]
    assert str(made.dtypes.iloc[0]) == "decimal128(38, 1)[pyarrow]"
    assert notes == ("column1: exact decimals, because a float would round a value",)


async def test_numeric_is_exact_on_demand(connection):
    made, notes = await frame(
        connection, "values (1.10), (-2)", options=FrameOptions(numeric="exact")
    )
    assert made["column1"].tolist() == [Decimal("1.10"), Decimal("-2.00")]
    assert notes == ()


async def test_nan_is_a_float_like_any_other(connection):
    made, notes = await frame(connection, "values ('NaN'::numeric), ('-Infinity'), (1.5)")
    assert made["column1"].tolist()[1:] == [-np.inf, 1.5]
    assert np.isnan(made["column1"][0])
    assert notes == ()


async def test_an_enum_keeps_its_own_order(connection):
    await connection.execute("create type size as enum ('small', 'large', 'Äußerst')")
    await connection.execute("create domain wide as size[]")
    made, _ = await frame(
        connection,
        "select 'large'::size as s, array['small', null]::size[] as a, '{large}'::wide as w "
        "union all select null, null, null",
    )
    assert made["s"].dtype == pd.CategoricalDtype(["small", "large", "Äußerst"], ordered=True)
    assert made["s"].tolist()[0] == "large"
    assert made["a"].tolist() == [["small", None], None]
    assert made["w"].tolist() == [["large"], None]


async def test_types_of_the_users_own(connection):
    await connection.execute(
        "create type pair as (a int, b text); create domain positive as int check (value > 0);"
        'create type span as range (subtype = float8); create schema "Odd ""one";'
        'create type "Odd ""one"."T y" as (x int)'
    )
    made, _ = await frame(
        connection,
        "select (1, 'x, y')::pair as c, array[(1, null)::pair, null] as cs, 5::positive as d, "
        'array[5::positive] as ds, \'[1,2.5)\'::span as r, row(null)::"Odd ""one"."T y" as o',
    )
    assert made.iloc[0].tolist() == ['(1,"x, y")', ["(1,)", None], 5, [5], "[1,2.5)", "()"]


async def test_arrays_of_several_dimensions_in_one_column(connection):
    arrays = "('{1,2}'::int[]), ('{{1},{NULL}}'), ('{}'), (null)"
    sql = f"select v, v::text as own from (values {arrays}) t(v)"
    made, notes = await frame(connection, sql)
    assert made["v"].tolist()[:3] == made["own"].tolist()[:3]
    assert notes == ("v: text, because its arrays differ in their number of dimensions",)


async def test_bounds_of_an_array_are_no_part_of_a_list(connection):
    made, _ = await frame(connection, "select '[0:1]={1,2}'::int[], '[3:4]={a,b}'::tsquery[]")
    assert made.iloc[0].tolist() == [[1, 2], ["'a'", "'b'"]]


async def test_json_as_text_and_json_that_python_cannot_parse(connection):
    made, _ = await frame(
        connection, "select '{\"a\": 1}'::json j", options=FrameOptions(json="text")
    )
    assert made["j"].tolist() == ['{"a": 1}']
    made, notes = await frame(connection, "select '[1e400, 0.1]'::jsonb as j")
    assert made["j"].tolist() == [[Decimal(10) ** 400, 0.1]]
    deep = "[" * 5000 + "]" * 5000
    made, notes = await frame(connection, "select $1::json as j", deep)
    assert made["j"].tolist() == [deep]
    assert len(notes) == 1


async def test_a_time_zone_may_be_chosen(connection):
    made, _ = await frame(
        connection,
        "select timestamptz '2024-06-01 12:00+00' t, timestamp '2024-06-01 12:00' l",
        options=FrameOptions(tz="Europe/Berlin"),
    )
    assert made["t"].iloc[0].isoformat() == "2024-06-01T14:00:00+02:00"
    assert made["l"].iloc[0].isoformat() == "2024-06-01T12:00:00"
    made, notes = await frame(
        connection,
        "values (timestamptz '20000-01-01 00:00+00'), ('2024-06-01 12:00+00')",
        options=FrameOptions(tz="Europe/Berlin"),
    )
    assert "20000-01-01 00:00:00+00:00" in repr(made)
    assert len(notes) == 1


def test_a_time_zone_must_be_one():
    with pytest.raises(CellError, match="there is no time zone 'Berlin'"):
        FrameOptions(tz="Berlin")


@pytest.mark.parametrize("as_", ["arrow", "polars"])
async def test_every_type_as_arrow_or_polars(connection, as_):
    if as_ == "polars":
        pytest.importorskip("polars")
    columns = ", ".join(
        f"{literal(values[0], type_)} as c{n}"
        for n, (type_, (values, _, _)) in enumerate((await ordinary(connection)).items())
    )
    for rows in (0, 1, 2):
        result, described = await reading(
            connection, f"select {columns} from generate_series(1, {rows})"
        )
        made, notes = to_frame(result.table, described, FrameOptions(as_=as_))
        assert made.shape == (rows, len(described))
        assert notes == ()


async def test_arrow_types_are_those_of_the_design(connection):
    await connection.execute("create type size as enum ('small')")
    sql = (
        "select null::int4 as i, null::numeric as n, null::text as t, null::size as s, "
        "null::bytea as b, null::date as d, null::timestamptz as z, null::time as c, "
        "null::interval as v, null::uuid as u, null::int4[] as a where false"
    )
    result, described = await reading(connection, sql)
    made, _ = to_frame(result.table, described, FrameOptions(as_="arrow"))
    assert [str(field.type) for field in made.schema] == [
        "int32",
        "double",
        "large_string",
        "dictionary<values=large_string, indices=int32, ordered=1>",
        "large_binary",
        "date32[day]",
        "timestamp[us, tz=UTC]",
        "time64[us]",
        "month_day_nano_interval",
        "large_string",
        "list<item: int32>",
    ]


@pytest.mark.parametrize("as_", ["pandas", "polars"])
async def test_what_polars_or_pandas_lacks(connection, as_):
    if as_ == "polars":
        pytest.importorskip("polars")
    result, described = await reading(
        connection,
        f"select interval '1 mon' as i, {'9' * 50} as n, interval '1 day' as d, "
        f"array[[interval '1 mon']] as ii, array[{'9' * 50}, null] as nn, "
        "array[interval '1 day'] as dd, null::interval[] as none",
    )
    made, notes = to_frame(result.table, described, FrameOptions(as_=as_))
    assert made["i"].to_list() == ["1 mon"]
    assert int(made["n"].to_list()[0]) == int("9" * 50)
    assert made["d"].to_list() == [dt.timedelta(1)]
    assert notes[0] == "i: text, because a month has no fixed length"
    assert made["none"].to_list() == [None]
    if as_ == "polars":
        assert made["ii"].to_list() == [[["1 mon"]]]
        assert made["nn"].to_list() == [["9" * 50, None]]
        assert made["dd"].to_list() == [[dt.timedelta(1)]]
        assert "ii: text, because a month has no fixed length" in notes


def some(random: Random, bound: int) -> int:
    """A whole number of any size up to a bound, small ones as likely as large ones."""
    return random.choice((-1, 1)) * int(bound ** random.random())


async def test_the_server_reads_back_what_we_write(connection):
    random = Random(20_261_123)
    months, days, microseconds = 10**9, 10**9, 10**18
    texts = {
        "date": [date_text(some(random, 2_451_000)) for _ in range(300)],
        "timestamp": [timestamp_text(some(random, 2 * 10**17)) for _ in range(300)],
        "interval": [
            interval_text(*(some(random, part) for part in (months, days, microseconds)))
            for _ in range(300)
        ],
        "numeric": [
            format(Decimal(some(random, 10**60)).scaleb(-random.randrange(60)), "f")
            for _ in range(300)
        ],
        "float8": [str(some(random, 10**300) / some(random, 10**300)) for _ in range(300)],
    }
    for type_, written in texts.items():
        sql = f"select v, concat(v) as own from (select unnest($1::text[])::{type_}) t(v)"
        result, _ = await reading(connection, sql, written)
        wire, own = (result.table.column(i).to_pylist() for i in (0, 1))
        assert [text_of(BUILTIN_NAMED[type_])(value) for value in wire] == own
        if type_ != "float8":
            assert own == written


async def test_everything_in_the_catalogue(connection):
    """All the odd types that a server has, as they are really used."""
    await connection.execute("create table t (a int default 1, b text); insert into t values (1)")
    await connection.execute("analyze t; create index on t (b); create statistics s on a, b from t")
    relations = (
        "pg_aggregate pg_attribute pg_class pg_constraint pg_index pg_operator pg_proc "
        "pg_rewrite pg_settings pg_statistic pg_statistic_ext_data pg_stats pg_type"
    )
    for relation in relations.split():
        await frame(connection, f"select * from {relation} limit 20")


async def test_composite_types_with_parts_that_asyncpg_refuses(connection):
    await connection.execute(
        "create type odd as (v oidvector, a pg_catalog.aclitem[]);"
        "create type odder as (o odd, d date)"
    )
    async with connection.transaction():
        made, _ = await frame(
            connection,
            "select row('1 2', null)::odd as o, "
            "array[row(row('1', null), '2024-01-01')::odder] as a",
        )
    assert made.iloc[0].tolist() == ['("1 2",)', ['("(1,)",2024-01-01)']]
