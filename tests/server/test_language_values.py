"""Values of the notebook arrive in PostgreSQL as they are, or not at all."""

import asyncio
import datetime as dt
import json
import math
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Any

import asyncpg
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmagic.errors import CellError
from pgmagic.language.casts import UNDECIDED, cast_for, coerced, needs_casts, recast, with_casts
from pgmagic.language.literals import identifier, literal
from pgmagic.language.statement import Statement
from pgmagic.language.statements import read
from pgmagic.sandbox.server import Server

quick = settings(
    max_examples=15,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[asyncpg.Connection]:
    # Temporary tables at most: no database of its own is needed, and that is ten times faster.
    opened = await asyncpg.connect(server.dsn())
    try:
        yield opened
    finally:
        await opened.close(timeout=5)


async def prepare(
    connection: asyncpg.Connection, statement: Statement
) -> tuple[Any, Statement, tuple[object, ...]]:
    """Prepare as `pgmagic.language.casts` says."""
    while True:
        try:
            prepared = await connection.prepare(statement.sql)
            break
        except asyncpg.PostgresError as error:
            again = recast(statement, str(error)) if error.sqlstate in UNDECIDED else None
            if again is None:
                raise
            statement = again
    names = [parameter.name for parameter in prepared.get_parameters()]
    if needs_casts(statement, names):
        statement = with_casts(statement, names)
        prepared = await connection.prepare(statement.sql)
        names = [parameter.name for parameter in prepared.get_parameters()]
    return prepared, statement, coerced(statement, names)


async def ask(connection: asyncpg.Connection, sql: str, /, **namespace: object) -> Any:
    """Give the first row's values; one value alone where there is one column."""
    (statement,) = read(sql, namespace).statements
    prepared, _, arguments = await prepare(connection, statement)
    row = tuple(await prepared.fetchrow(*arguments))
    return row[0] if len(row) == 1 else row


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
moments = st.datetimes()
offsets = st.timezones() | st.builds(
    dt.timezone,
    st.timedeltas(dt.timedelta(hours=-15), dt.timedelta(hours=15)).map(
        lambda delta: dt.timedelta(seconds=round(delta.total_seconds()))
    ),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "oid": st.integers(0, 2**32 - 1),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "numeric": st.decimals(allow_infinity=False),
    "text": text,
    "varchar": text,
    "bytea": st.binary(max_size=60),
    "date": st.dates(),
    "timestamp": moments,
    "timestamptz": st.datetimes(
        dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31), timezones=offsets, allow_imaginary=False
    ),
    "time": st.times(),
    "interval": st.timedeltas(),
    "uuid": st.uuids(),
    "inet": st.ip_addresses() | st.ip_addresses().map(ip_interface),
    "cidr": st.ip_addresses().map(ip_network),
    "jsonb": st.dictionaries(text, st.integers() | text | st.none() | st.booleans()),
}


def same(sent: object, got: object) -> bool:
    if isinstance(sent, float) and isinstance(got, float) and math.isnan(sent):
        return math.isnan(got)
    if isinstance(sent, Decimal) and sent.is_nan():
        return isinstance(got, Decimal) and got.is_nan()
    if isinstance(sent, IPv4Interface | IPv6Interface):
        return sent == ip_interface(got)  # read back as an address where the network is one
    return sent == got


@pytest.mark.parametrize("type_name", VALUES)
async def test_values_arrive_as_they_are(connection: asyncpg.Connection, type_name: str) -> None:
    # The server's own text tells what arrived: the driver reads the last day back as it sends it.
    @quick
    @given(st.lists(VALUES[type_name], min_size=1, max_size=3))
    async def check(values: list[Any]) -> None:
        for value in values:
            got, shown = await ask(
                connection,
                f"select v, v::text from (select {{x}}::{type_name} as v) s",
                x=value,
            )
            assert "infinity" not in shown or "inf" in str(value).casefold()
            if type_name == "jsonb":
                got = json.loads(got)
            assert same(value, got), shown
        if type_name != "jsonb":
            array = await ask(connection, f"select {{x}}::{type_name}[]", x=values)
            assert all(map(same, values, array))

    await _run(check)


async def _run(check: Any) -> None:
    """Run a property on this loop: hypothesis calls plain functions only."""
    loop = asyncio.get_running_loop()
    inner = check.hypothesis.inner_test

    def in_thread(*args: Any, **kwargs: Any) -> None:
        asyncio.run_coroutine_threadsafe(inner(*args, **kwargs), loop).result(30)

    check.hypothesis.inner_test = in_thread
    await asyncio.to_thread(check)


@pytest.mark.parametrize(
    ("value", "type_name", "shown"),
    [
        (dt.date.max, "date", "9999-12-31"),
        (dt.date.min, "date", "0001-01-01"),
        (dt.datetime.max, "timestamp", "9999-12-31 23:59:59.999999"),
        (dt.datetime.min, "timestamp", "0001-01-01 00:00:00"),
        (dt.date.min, "timestamp", "0001-01-01 00:00:00"),
        (dt.datetime.max.replace(tzinfo=dt.UTC), "timestamptz", "9999-12-31 23:59:59.999999+00"),
        (
            dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-2))),
            "timestamptz",
            "10000-01-01 01:59:59.999999+00",
        ),
        (dt.date(2024, 7, 1), "timestamptz", "2024-07-01 00:00:00+00"),
        ([dt.date.max, None], "date[]", "{9999-12-31,NULL}"),
        ("infinity", "date", "infinity"),
        (math.inf, "numeric", "Infinity"),
        (0.1, "numeric", "0.1"),
        (Decimal("1e400"), "numeric", "1" + "0" * 400),
        (float("nan"), "int4", None),
        (float("nan"), "text", None),
        (float("nan"), "numeric", None),
        (float("nan"), "float8", "NaN"),
        (5.0, "int4", "5"),
        (Decimal("5.0"), "int8", "5"),
        ("5", "int4", "5"),
        (["1", "2"], "int4[]", "{1,2}"),
        ("{1,2}", "int4[]", "{1,2}"),
        ("(1,2)", "point", "(1,2)"),
        ("[1,5)", "int4range", "[1,5)"),
        ("101", "varbit", "101"),
        ([[1, 2], [3, None]], "int4[]", "{{1,2},{3,NULL}}"),
        ([], "int4[]", "{}"),
        ({"a": [1, None, dt.date(2024, 1, 1)]}, "jsonb", '{"a": [1, null, "2024-01-01"]}'),
        ([1, "a"], "jsonb", '[1, "a"]'),
        (True, "json", "true"),
        (dt.time(1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))), "timetz", "01:02:03+02"),
        (np.int64(5), "int4", "5"),
        (np.bool_(True), "bool", "true"),
        (np.array([1.5, np.nan]), "float8[]", "{1.5,NaN}"),
        (np.datetime64("2024-01-01T12:00"), "timestamp", "2024-01-01 12:00:00"),
        (pd.Timestamp("2024-01-01", tz="Europe/Berlin"), "timestamptz", "2023-12-31 23:00:00+00"),
        (pd.Series(["a", None]), "text[]", "{a,NULL}"),
        (pd.Series([None, None], dtype="str"), "text[]", "{NULL,NULL}"),
        (pd.Series([1, None], dtype="Int64"), "int8[]", "{1,NULL}"),
        (pd.NA, "int4", None),
        (pd.NaT, "timestamp", None),
    ],
)
async def test_values_arrive_with_the_servers_text(
    connection: asyncpg.Connection, value: object, type_name: str, shown: str | None
) -> None:
    await connection.execute("set timezone = 'UTC'; set extra_float_digits = 1")
    assert await ask(connection, f"select ({{x}}::{type_name})::text", x=value) == shown


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (1.5, "int4"),
        (Decimal("1.9"), "int8"),
        (Decimal("1e999999999"), "int8"),
        (math.inf, "int4"),
        (True, "int4"),
        (uuid.UUID(int=7), "int8"),
        (ip_address("10.0.0.1"), "int8"),
        (1, "uuid"),
        (1, "inet"),
        (1, "bool"),
        (dt.datetime(2024, 1, 1, 12), "date"),
        (dt.datetime(2024, 1, 1, 12), "timestamptz"),
        (dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC), "timestamp"),
        (dt.time(1, tzinfo=dt.UTC), "time"),
        (dt.time(1), "timetz"),
        (np.datetime64("2024-01-01"), "int8"),
        (np.arange(3), "bytea"),
        (5, "bytea"),
        (2**53 + 1, "float8"),
        (1e39, "float4"),
        (Decimal("1e131072"), "numeric"),
        (Decimal("1e-16384"), "numeric"),
        ([1, 2], "int4"),
        (5, "int4[]"),
        ([1, 2.5], "int4[]"),
        ({"a": math.inf}, "jsonb"),
        ({"a": b"x"}, "jsonb"),
    ],
)
async def test_what_would_arrive_as_something_else_is_refused(
    connection: asyncpg.Connection, value: object, type_name: str
) -> None:
    cell = f"select 1,\n  {{secret}}::{type_name}"
    with pytest.raises(CellError) as caught:
        await ask(connection, cell, secret=value)
    assert caught.value.offset == cell.index("{")
    assert type_name.removesuffix("[]") in caught.value.message or "JSON" in caught.value.message
    assert "{x}" not in str(caught.value)
    for leaf in np.ravel(np.array(value, dtype=object)):
        assert len(str(leaf)) < 3 or str(leaf) not in caught.value.message


async def test_a_value_behaves_as_the_same_constant(connection: asyncpg.Connection) -> None:
    assert await ask(connection, "select {n}", n=5) == 5
    assert await ask(connection, "select {n} + {n}", n=5) == 10
    assert await ask(connection, "select {n} / 2, {m} / 2.0", n=5, m=5.5) == (2, 2.75)
    assert await ask(connection, "select {n} is null, {m} is null", n=None, m=5) == (True, False)
    assert await ask(connection, "select pg_typeof({n})::text", n=2**40) == "bigint"
    assert await ask(connection, "select pg_typeof({n})::text", n=2**70) == "numeric"
    assert await ask(connection, "select '%' || {s} || '%', {n} || 'a'", s="a", n=5) == (
        "%a%",
        "5a",
    )
    built = await ask(connection, "select jsonb_build_object('a', {n}, 'b', {s})", n=5, s="x")
    assert json.loads(built) == {"a": 5, "b": "x"}
    assert await ask(connection, "select round({x}), {n} is null", x=2.5, n=None) == (2, True)
    assert await ask(connection, "select repeat({s}, {n}), {m} is null", s="ab", n=2, m=1) == (
        "abab",
        False,
    )
    assert await ask(connection, "select {xs}", xs=[1, 2.5]) == [1, 2.5]
    assert await ask(connection, "select 2 = any({xs}), ({xs})[1]", xs=[1, 2]) == (True, 1)
    assert await ask(connection, "select ({xs})[1], array_length({xs}, 1)", xs=[7, 8]) == (7, 2)
    assert await ask(connection, "select to_json({n})::text, to_json({s})", n=5, s="x") == (
        "5",
        '"x"',
    )
    unit = await ask(
        connection,
        "select date_trunc({u}, now()) is null from (values (1)) v group by date_trunc({u}, now())",
        u="day",
    )
    assert unit is False


async def test_one_value_goes_into_columns_of_two_types(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("create temp table m (i int, t text)")
    got = await ask(connection, "insert into m values ({x}, {x}) returning i, t", x=5)
    assert got == (5, "5")


async def test_null_and_the_empty_list_have_the_type_of_each_place(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("create temp table m (i int, d date, t text[])")
    got = await ask(connection, "insert into m values ({x}, {x}, {x}) returning i, d, t", x=None)
    assert got == (None, None, None)
    assert await ask(connection, "select count(*) from m where {x} is null or i = {x}", x=None) == 1
    assert await ask(connection, "select {x}::int, {x}::date", x=pd.NA) == (None, None)
    asked = "select count(*) from m where i = any({xs}) or d = any({xs}) or t = {xs}"
    assert await ask(connection, asked, xs=[]) == 0
    assert await ask(connection, "select {xs}::int[], {xs}::date[]", xs=[None]) == ([None], [None])
    assert await ask(connection, "select {x}, count(*) from m group by {x}", x=None) == (None, 1)
    # Here all places have to be one expression, whatever its value.
    for expression, value in (("coalesce(i, {x})", None), ("i = any({x})", [])):
        grouped = f"select {expression}, count(*) from m group by {expression}"
        assert (await ask(connection, grouped, x=value))[1] == 1
    first = "select distinct on (coalesce(i, {x})) d from m order by coalesce(i, {x})"
    assert await ask(connection, first, x=None) is None


@pytest.mark.parametrize("zone", [None, dt.UTC])
@pytest.mark.parametrize("name", ["max", "min"])
async def test_the_last_day_is_no_infinity_where_no_date_is_expected(
    connection: asyncpg.Connection, name: str, zone: dt.tzinfo | None
) -> None:
    await connection.execute("set timezone = 'UTC'")
    day, moment = getattr(dt.date, name), getattr(dt.datetime, name).replace(tzinfo=zone)
    for value in (day, moment):
        shown = await connection.fetchval(f"select {literal(value)}::{cast_for(value)}::text")
        assert "infinity" not in shown
        assert await ask(connection, "select {x}::text", x=value) == shown
        assert await ask(connection, "select 'on ' || {x}", x=value) == f"on {shown}"
        assert await ask(connection, "select array[{x}]::text", x=value) in (
            f"{{{shown}}}",
            f'{{"{shown}"}}',
        )
        assert await ask(connection, "select array_to_string({xs}, '')", xs=[value]) == shown


async def test_an_integer_too_large_for_a_column_compares_but_is_not_stored(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("create temp table m (i int); insert into m values (1), (2)")
    assert await ask(connection, "select count(*) from m where i < {n}", n=2**40) == 2
    assert await ask(connection, "select count(*) from m where i = any({ns})", ns=[1, 2**40]) == 1
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await ask(connection, "insert into m values ({n}) returning i", n=2**40)


async def test_a_statement_no_cast_can_save_fails_with_the_servers_error(
    connection: asyncpg.Connection,
) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await ask(connection, "select {n} from nowhere", n=5)
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await ask(connection, "select * from pg_class where relname = {n}", n=5)


async def test_positions_survive_the_casts(connection: asyncpg.Connection) -> None:
    cell = "select '😀日本',\r\n\t{n} as a, {n} + nosuch"
    (statement,) = read(cell, {"n": 5}).statements
    statement = with_casts(statement, ["text"])
    with pytest.raises(asyncpg.UndefinedColumnError) as caught:
        await connection.prepare(statement.sql)
    assert statement.locate(int(caught.value.position)) == cell.index("nosuch")


# -- hostile text

HOSTILE = [
    "",
    "'",
    "''",
    "\\",
    "\\'",
    "'\\",
    "'; drop table t; --",
    "$$",
    "$1",
    "{x}",
    "%s %(a)s :a ?",
    "\n\r\t\v\x01\x7f",
    "😀日本 \u200b\ufeff\u2028",
    'a"b',
    "a" * 100_000,
]


@pytest.mark.parametrize("standard", ["on", "off"])
async def test_hostile_text_arrives_byte_for_byte(
    connection: asyncpg.Connection, standard: str
) -> None:
    major = connection.get_server_version().major
    if standard == "off" and major >= 19:
        pytest.skip("this server knows standard strings only")
    await connection.execute(
        f"set standard_conforming_strings = {standard}; set escape_string_warning = off"
    )

    @quick
    @given(text)
    async def check(value: str) -> None:
        sent = value.encode()
        for placeholder in ("{x}", "{x:l}"):
            sql = f"select convert_to({placeholder}::text, 'UTF8')"
            assert await ask(connection, sql, x=value) == sent

    for value in HOSTILE:
        await check.hypothesis.inner_test(value)
    await _run(check)


@pytest.mark.parametrize("type_name", sorted(VALUES.keys() - {"oid"}))
async def test_literals_are_read_back(connection: asyncpg.Connection, type_name: str) -> None:
    @quick
    @given(VALUES[type_name])
    async def check(value: Any) -> None:
        got = await connection.fetchval(f"select ({literal(value)})::{type_name}")
        shown = await connection.fetchval(f"select (({literal(value)})::{type_name})::text")
        if "infinity" in shown.casefold() and "inf" not in str(value).casefold():
            pytest.fail("the last day became infinity")
        assert same(value, json.loads(got) if type_name == "jsonb" else got)

    await connection.execute("set intervalstyle = sql_standard; set datestyle = 'SQL, DMY'")
    await _run(check)


async def test_literals_stand_where_no_parameter_may(connection: asyncpg.Connection) -> None:
    values = {"days": "3 days", "text": "it's \\ {x}", "n": -5, "xs": [1, None], "t": 'od"d'}
    (interval,) = read("select interval {days:l} = '3 days', 1 -{n:l}", values).statements
    assert tuple(await connection.fetchrow(interval.sql)) == (True, 6)
    cell = """create temp table {t:i}
        (a int default {n:l}, b int[] default {xs:l}, c text default {text:l})"""
    (create,) = read(cell, values).statements
    await connection.execute(create.sql)
    (insert,) = read("insert into {t:i} default values returning *", values).statements
    assert tuple(await connection.fetchrow(insert.sql)) == (-5, [1, None], values["text"])


async def test_identifiers_name_what_quote_ident_names(connection: asyncpg.Connection) -> None:
    @quick
    @given(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
            min_size=1,
            max_size=15,
        )
    )
    async def check(name: str) -> None:
        (statement,) = read("select 1 as {name:i}", {"name": name}).statements
        row = await connection.fetchrow(statement.sql)
        assert list(row.keys()) == [name]
        quoted = await connection.fetchval("select quote_ident($1)", name)
        ours = identifier(name)
        assert ours == (quoted if quoted.startswith('"') else f'"{quoted}"')

    await _run(check)
