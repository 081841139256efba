"""Reading from a real server: shapes, limits, parameters, errors."""

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from pgmagic.columns import FrameOptions, Progress, cursors, describe, read, to_frame
from pgmagic.errors import ExportError, ResultTooLarge

WAYS = {
    "copy": {"copyable": True, "wrappable": False, "verb": "select"},
    "wrapped": {"copyable": True, "wrappable": True, "verb": "select"},
    "records": {"copyable": False, "wrappable": False, "verb": "select"},
    "records at once": {"copyable": False, "wrappable": False, "verb": ""},
}


@pytest.fixture
async def connection(database):
    async with database.connection() as connection:
        yield connection


async def ask(connection, sql, *arguments, way="wrapped", options=None, **more):
    """The columns and the reading of one statement."""
    statement = await connection.prepare(sql)
    columns = await describe(connection, statement.get_attributes(), {})
    settings = WAYS[way] | more
    result = await read(
        connection,
        sql,
        arguments,
        columns,
        statement=statement,
        options=options or FrameOptions(),
        **settings,
    )
    return columns, result


async def frame(connection, sql, *arguments, **more):
    columns, result = await ask(connection, sql, *arguments, **more)
    return to_frame(result.table, columns, more.get("options") or FrameOptions())


@pytest.mark.parametrize("way", WAYS)
async def test_shapes(connection, way):
    async def shape(sql):
        made, _ = await frame(connection, sql, way=way)
        return made.shape

    assert await shape("select") == (1, 0)
    assert await shape("select from generate_series(1, 2500)") == (2500, 0)
    assert await shape("select where false") == (0, 0)
    assert await shape("select 1 where false") == (0, 1)
    numbers = ", ".join(f"{n}::int2" for n in range(1600))
    assert await shape(f"select {numbers} from generate_series(1, 3)") == (3, 1600)
    made, _ = await frame(connection, "select n from generate_series(1, 2500) n", way=way)
    assert made["n"].tolist() == list(range(1, 2501))


@pytest.mark.parametrize("way", WAYS)
async def test_a_name_that_stands_twice_loses_no_column(connection, way):
    made, notes = await frame(
        connection, "select 1 as a, 2 as a, 3 as a_1, '[1,2)'::int4range as a", way=way
    )
    assert list(made) == ["a", "a_2", "a_1", "a_3"]
    assert made.iloc[0].tolist() == [1, 2, 3, "[1,2)"]
    assert notes == ('"a" is there more than once: the next are a_2, a_3',)
    made, [note] = await frame(connection, f"select {', '.join(['1 as a'] * 900)}", way=way)
    assert made.shape == (1, 900)
    assert note == '"a" is there more than once: the next are a_1, a_2, … a_899'


ENDINGS = [
    "select 7 as n, '1'::tsquery as q -- the end",
    "select 7 as n, '1'::tsquery as q /* the end */",
    "select 7 as n, '1'::tsquery as q;",
    "select 7 as n, '1'::tsquery as q\n",
    "(select 7 as n, '1'::tsquery as q) -- the end\n;",
    "values (7, '1'::tsquery)",
    "with w as (select 7 as n) select n, '1'::tsquery as q from w order by 1 limit 1",
]


@pytest.mark.parametrize("way", WAYS)
async def test_however_a_statement_ends(connection, way):
    for sql in ENDINGS:
        made, _ = await frame(connection, sql, way=way)
        assert made.iloc[0].tolist() == [7, "'1'"], sql


@pytest.mark.parametrize(
    ("verb", "sql", "tag"),
    [
        ("insert", "insert into t values (1), (2) returning *", "INSERT 0 2"),
        ("update", "update t set n = n returning *", "UPDATE 1"),
        ("delete", "delete from t returning n", "DELETE 1"),
        ("select", "select n from t for update", "SELECT 1"),
        ("select", "with d as (delete from t returning n) select n from d", "SELECT 1"),
        (
            "insert",
            "with v as (select 5 n) insert into t select n from v returning n",
            "INSERT 0 1",
        ),
    ],
)
@pytest.mark.parametrize("more", ["", ", '[1,2)'::int4range"])
async def test_rows_of_what_changes_rows(connection, verb, sql, tag, more):
    await connection.execute("create table t (n int); insert into t values (0)")
    sql = sql.replace("returning *", f"returning *{more}").replace(
        "returning n", f"returning n{more}"
    )
    made, result = await ask(connection, sql, way="copy", verb=verb)
    assert result.tag == tag
    assert result.table.num_rows == int(tag.split()[-1])
    assert len(made) == result.table.num_columns


@pytest.mark.parametrize(
    ("verb", "sql", "tag"),
    [
        ("show", "show server_encoding", "SHOW"),
        ("explain", "explain select 1", "EXPLAIN"),
        ("explain", "explain (format xml) select 1", "EXPLAIN"),
        ("explain", "explain (format json) select 1", "EXPLAIN"),
        ("call", "call twice(2, null)", "CALL"),
        ("execute", "execute stored(3)", "SELECT 1"),
    ],
)
async def test_what_copy_cannot_carry(connection, verb, sql, tag):
    await connection.execute(
        "create procedure twice(in n int, inout d date) language sql as "
        "$$ select date '0044-03-15 BC' + n $$;"
        "prepare stored(int) as select $1, 'infinity'::timestamptz"
    )
    _, result = await ask(connection, sql, way="records", verb=verb)
    assert result.tag == tag
    assert result.table.num_rows >= 1


async def test_a_cursor_is_read_in_batches_and_stays_open(connection):
    async with connection.transaction():
        await connection.execute(
            "declare c cursor for select n, '[1,2)'::int4range from generate_series(1, 3000) n"
        )
        made, _ = await frame(connection, "fetch 2500 from c", way="records", verb="fetch")
        assert made["n"].tolist() == list(range(1, 2501))
        made, _ = await frame(connection, "fetch all from c", way="records", verb="fetch")
        assert made["n"].tolist() == list(range(2501, 3001))


async def test_reading_records_leaves_asyncpg_as_it_was(connection):
    sql = "select 1::int4 as n, now() as t, array[1] as a"
    before = await connection.fetchrow("select 1::int4 as n, array[1] as a, date '2024-01-01' d")
    await ask(connection, sql, way="records")
    after = await connection.fetchrow("select 1::int4 as n, array[1] as a, date '2024-01-01' d")
    assert tuple(after) == tuple(before)
    assert await connection.fetchval("select $1::int4 + 1", 41) == 42
    statement = await connection.prepare(sql)
    assert [a.type.name for a in statement.get_attributes()] == ["int4", "timestamptz", "int4[]"]


@pytest.mark.parametrize("way", WAYS)
async def test_values_are_written_by_the_server(connection, way):
    hostile = ["o'x", "a\\b", "$1", "');drop table t;--", "😀", "", None]
    for text in hostile:
        made, _ = await frame(
            connection,
            "select $1::text as t, '$1' as s, /* $2 */ $2::int + 1 as n",
            text,
            41,
            way=way,
        )
        assert made.iloc[0].tolist()[1:] == ["$1", 42]
        assert made["t"].isna()[0] if text is None else made["t"][0] == text


LITERALS = [
    ("float8", 0.1 + 0.2),
    ("float4", 1.5),
    ("int2[]", [1, None, 3]),
    ("text[]", ["a'b", None, 'x"y\\']),
    ("bytea", b"\0\xff'\\"),
    ("bit(3)", asyncpg.BitString("101")),
    ("varbit", asyncpg.BitString("10101")),
    ("char(3)", "ab"),
    ("name", "x"),
    ("bool", True),
    ("jsonb", '{"a": "it\'s"}'),
    ("inet", "10.0.0.1"),
    ("numeric", Decimal("NaN")),
]


async def test_a_value_survives_its_literal(connection):
    for number, (type_, value) in enumerate(LITERALS):
        kept = f"kept_{number}"
        await connection.execute(f"create table {kept} (v {type_})")
        await connection.execute(f"insert into {kept} values ($1)", value)
        made, _ = await frame(connection, f"select v = $1::{type_} as same from {kept}", value)
        assert made["same"].tolist() == [True], type_


async def test_a_value_of_a_type_of_the_users_own(connection):
    await connection.execute(
        "create type \"Odd size\" as enum ('small', 'it''s'); create domain few as int[]"
    )
    made, _ = await frame(
        connection,
        'select $1::"Odd size" as s, $2::few as f, array[$1, null] as a',
        "it's",
        [1, 2],
    )
    assert made.iloc[0].tolist() == ["it's", [1, 2], ["it's", None]]


@pytest.mark.parametrize("standard", ["on", "off"])
async def test_parameters_are_found_by_the_servers_own_rules(connection, standard):
    await connection.execute(
        f"set standard_conforming_strings = {standard}; set backslash_quote = on;"
        "set escape_string_warning = off"
    )
    text = r"'a\' || $1 || '" if standard == "on" else r"'\' $1' || '"
    made, _ = await frame(connection, f"select {text}x' as v, $1 as w", "y")
    assert made["v"].tolist() == [r"a\yx" if standard == "on" else "' $1x"]
    assert made["w"].tolist() == ["y"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("sql", "arguments", "at"),
    [
        ("select 'é', '[1,2)'::int4range, x'1'::int, nothing()", (), "nothing"),
        ("select '[1,2)'::int4range, $1::int, 'abc'::int", (1234567890,), "'abc'"),
    ],
)
async def test_an_error_points_into_the_statement(connection, way, sql, arguments, at):
    # Such a mistake is found when the statement is prepared; here it shows up only later.
    columns = await describe(
        connection,
        (
            await connection.prepare("select '[1,2)'::int4range, 1, 1" + ", 1" * (not arguments))
        ).get_attributes(),
        {},
    )
    parameters = await connection.prepare("select $1::int") if arguments else None
    with pytest.raises(asyncpg.PostgresError) as failure:
        await read(
            connection,
            sql,
            arguments,
            columns,
            statement=parameters,
            options=FrameOptions(limit=5),
            **WAYS[way],
        )
    assert sql[int(failure.value.position) - 1 :].startswith(at)


@pytest.mark.parametrize("way", WAYS)
async def test_no_more_rows_than_wanted(connection, way):
    options = FrameOptions(limit=3)
    sql = "select n from generate_series(10, 1, -1) n order by n"
    _, result = await ask(connection, sql, way=way, options=options)
    assert result.table.column(0).to_pylist() == [1, 2, 3]
    assert result.notes == ("first 3 rows",)
    for enough in ("select 1 from generate_series(1, 3)", "select 1 where false"):
        _, result = await ask(connection, enough, way=way, options=options)
        assert result.table.num_rows == (3 if "generate" in enough else 0)
        assert result.notes == ()


async def test_the_server_stops_once_it_has_enough(connection):
    sql = "select n, pg_sleep(case when n > 5 then 60 end) from generate_series(1, 100) n"
    _, result = await ask(connection, sql, options=FrameOptions(limit=3))
    assert result.table.num_rows == 3


async def test_a_limit_does_not_cut_what_is_written(connection):
    await connection.execute("create table t (n int)")
    _, result = await ask(
        connection,
        "insert into t select generate_series(1, 10) returning n",
        way="copy",
        verb="insert",
        options=FrameOptions(limit=3),
    )
    assert result.table.num_rows == 3
    assert await connection.fetchval("select count(*) from t") == 10


@pytest.mark.parametrize("way", ["copy", "wrapped", "records"])
async def test_too_large_a_result_is_stopped_on_the_server(connection, way):
    with pytest.raises(ResultTooLarge, match=r"stopped after [\d,]+ rows") as failure:
        await ask(
            connection,
            "select repeat('x', 1000), generate_series(1, 1000000000)",
            way=way,
            options=FrameOptions(max_result_bytes=1_000_000),
            database="jfk",
        )
    assert failure.value.database == "jfk"
    assert "--to" in failure.value.hint
    assert "--limit" in failure.value.hint
    assert await connection.fetchval("select 1") == 1
    assert not connection.is_in_transaction()


async def test_progress_is_told(connection):
    progress = Progress()
    await ask(
        connection, "select repeat('x', 100) from generate_series(1, 1000)", progress=progress
    )
    assert progress.rows == 1000
    assert progress.bytes > 100_000


@pytest.mark.parametrize("way", WAYS)
async def test_a_read_only_transaction_is_enough(connection, way):
    async with connection.transaction(readonly=True):
        made, _ = await frame(connection, "select 1 as n, '[1,2)'::int4range as r", way=way)
    assert made["n"].tolist() == [1]


async def test_a_new_label_of_an_enum_is_not_lost(connection):
    await connection.execute("create type size as enum ('small')")
    known = {}
    statement = await connection.prepare("select 'small'::size as s")
    columns = await describe(connection, statement.get_attributes(), known)
    await connection.execute("alter type size add value 'large'")
    sql = "select 'large'::size as s"
    result = await read(
        connection, sql, (), columns, statement=None, options=FrameOptions(), **WAYS["copy"]
    )
    made, notes = to_frame(result.table, columns, FrameOptions())
    assert made["s"].tolist() == ["large"]
    assert notes == ("s: text, because the enum has got a new label",)


async def test_known_types_need_no_query(connection):
    await connection.execute("create type pair as (a int)")
    statement = await connection.prepare("select row(1)::pair as p, array[1], '{}'::jsonb")
    known = {}
    first = await describe(connection, statement.get_attributes(), known)
    assert len(known) == 1
    nobody_to_ask = None
    assert await describe(nobody_to_ask, statement.get_attributes(), known) == first


async def test_an_enums_labels_are_asked_for_anew(connection):
    await connection.execute("create type size as enum ('small')")
    known = {}
    for labels in (("small",), ("small", "large")):
        statement = await connection.prepare("select null::size, null::size[]")
        scalar, array = await describe(connection, statement.get_attributes(), known)
        assert scalar.type.labels == array.type.element.labels == labels
        await connection.execute("alter type size add value if not exists 'large'")


@pytest.mark.parametrize("way", ["copy", "wrapped", "records"])
async def test_a_reading_can_be_cancelled(connection, way):
    progress = Progress()
    sql = "select repeat('x', 1000), generate_series(1, 1000000000)"
    for turns in range(12):
        progress.rows = 0
        reading = asyncio.create_task(ask(connection, sql, way=way, progress=progress))
        while not progress.rows:
            assert not reading.done()
            await asyncio.sleep(0.001)
        for _ in range(turns):  # at another moment of the loop each time
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await connection.fetchval("select 1") == 1
        assert not connection.is_in_transaction()


async def test_a_copy_that_gives_nothing_yet_can_be_cancelled(database, connection):
    pid = connection.get_server_pid()
    reading = asyncio.create_task(ask(connection, "select pg_sleep(60)", way="copy"))
    async with database.connection() as watcher:
        busy = "select wait_event from pg_stat_activity where pid = $1"
        while await watcher.fetchval(busy, pid) != "PgSleep":
            assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await connection.fetchval("select pg_backend_pid()") == pid


async def test_a_cursor_that_is_stopped_aborts_its_transaction(connection):
    """As a COPY does, also between two fetches, where there is nothing to cancel on the server."""
    await connection.execute("create table t (n int); insert into t select generate_series(1, 99)")
    taken = asyncio.Event()

    async def take(_batch):
        taken.set()
        await asyncio.Event().wait()

    await connection.execute("begin")
    sql = "select repeat('x', 3000000), n from t"
    reading = asyncio.create_task(ask(connection, sql, way="records", sink=take))
    await taken.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await connection.execute("select 1")
    await connection.execute("rollback")
    await connection.execute("truncate t")


async def test_a_limit_of_time_does_not_run_on_while_is_cleaned_up(connection, monkeypatch):
    """The error in hand is the one that is told."""
    await connection.execute("set statement_timeout = '1s'")
    abort = cursors._abort

    async def slow(connection):
        await connection.execute("select pg_sleep(0)")
        await asyncio.sleep(1.2)
        await abort(connection)

    monkeypatch.setattr(cursors, "_abort", slow)

    async def take(_batch):
        raise ExportError("no room")

    async with connection.transaction():
        with pytest.raises(ExportError):
            await ask(
                connection,
                "select repeat('x', 3000000) from generate_series(1, 9)",
                way="records",
                sink=take,
            )
        await connection.execute("rollback")
        await connection.execute("begin")
