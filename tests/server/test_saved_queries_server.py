"""A saved query is read as a view of the same text would be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmagic.client import Client
from pgmagic.errors import CellError, QueryError
from pgmagic.language.keywords import NO_TABLE
from pgmagic.language.saved import SavedQueries
from pgmagic.language.statements import read
from tests.server.test_client_psql import ours, psql
from tests.servers import TestDatabase

TABLES = """
create table flights (carrier text, delay int);
insert into flights values ('AA', 10), ('AA', 90), ('UA', 70), ('B6', null);
create table plain (x int);
insert into plain values (1), (2);
"""
SAVED = {
    "late": "select * from flights where delay > 60 -- minutes",
    "worst": "select carrier, count(*) as n from late group by carrier order by n desc, carrier",
    "one": "with plain as (select 1 as x) select x from plain",
    "two": "select x from one union all select x from plain",
}

UNDEFINED_TABLE = "42P01"

# ruff: noqa: ISC004
CELLS = [
    "select * from late order by 1, 2",
    "select l.*, w.n from late l join worst w using (carrier) order by 1, 2, 3",
    "table worst",
    "select * from (values (1)) v (x), lateral (select * from two where two.x >= v.x) q order by 2",
    "with worst as (select 'mine' as carrier) select * from worst, late order by 1, 2, 3",
    "with a as (table one), two as (select 7 as x) select * from a, two order by 1, 2",
    "with recursive r as (select 1 as x union select r.x + 1 from r, one where r.x < 3) table r",
    "with recursive r as (select 1 as x union all select x + 1 from r where x < 3) "
    "search depth first by x set o cycle x set c using p select r.x from r join two using (x) "
    "order by 1",
    "(with plain as (select 5 as x) select * from plain, one) union all (select 1, 2) order by 1",
    "select x from plain union (select x from two) except select 9 order by 1 limit 3 offset 0",
    "select (select count(*) from two), exists (table late), array(select x from one)::text",
    "select x from plain where x in (table one) and x = any (select x from two) order by x",
    "select count(*) filter (where x in (select x from one)) over (order by x) from two order by 1",
    "select extract(year from late), two.x as two from (select date '2024-01-01' as late) a, two "
    "order by 2",
    "values ((select max(x) from two)), (3)",
    "create temp table kept as select * from two; insert into kept with plain as (select 8 as x) "
    "select plain.x from plain, one; update kept set x = kept.x + 10 from two where kept.x = two.x;"
    "delete from kept using one where kept.x = one.x; select * from kept order by x",
    "create temp table flights as select 'ZZ' as carrier, 99 as delay; table late",
    "create temp table two as select 100 as x; table two",
    "create temp view seen as select * from worst; select * from seen",
    "declare c cursor for table late; fetch all from c",
    "prepare p as select x from two order by x; execute p; deallocate p",
    "explain (costs off) select * from one",
    "create temp table t (x int primary key, y int); insert into t select x, 1 from one; "
    "insert into t select distinct x, 2 from two on conflict (x) do update set y = excluded.y + 5; "
    "merge into t using one on t.x = one.x when matched then update set x = 50, y = 60; "
    "select * from t order by 1",
]


@pytest.fixture
async def tables(database: TestDatabase) -> TestDatabase:
    """Tables in `public`, and in `views` a view of each saved query."""
    async with database.connection() as connection:
        await connection.execute(TABLES)
        await connection.execute("create schema views; set search_path = views, public")
        for name, sql in SAVED.items():
            await connection.execute(f"create view {name} as {sql}")
    return database


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def rows(connection: asyncpg.Connection, cell: str, saved: SavedQueries | None) -> object:
    """Give the rows of a cell's last statement, or the SQLSTATE of its error."""
    last: object = None
    async with undone(connection):
        for statement in read(cell, {}, saved=saved).statements:
            try:
                last = await connection.fetch(statement.sql, *statement.arguments)
            except asyncpg.PostgresError as error:
                return error.sqlstate
    return [tuple(row.items()) for row in last]


def all_saved() -> SavedQueries:
    saved = SavedQueries()
    for name, sql in SAVED.items():
        saved.save(name, sql)
    return saved


@pytest.mark.parametrize("cell", CELLS)
async def test_rows_are_those_of_views(tables: TestDatabase, cell: str) -> None:
    options = {"server_settings": {"search_path": "views, public"}, "statement_cache_size": 0}
    async with tables.connection(**options) as viewing:
        expected = await rows(viewing, cell, None)
    async with tables.connection(statement_cache_size=0) as connection:
        found = await rows(connection, cell, all_saved())
    if cell.startswith("explain"):
        assert isinstance(expected, list)
        assert isinstance(found, list)
    elif cell.startswith("create temp table flights"):  # what a view reads is fixed; a name is not
        assert found == [(("carrier", "ZZ"), ("delay", 99))]
    else:
        assert found == expected
        assert isinstance(found, list)


NAMES = st.sampled_from(["late", "one", "two", "plain", "mine"])


@st.composite
def queries(draw: st.DrawFn, depth: int = 3) -> str:
    """A query of one number, of tables, saved queries and WITH queries that may share a name."""
    kind = draw(st.integers(0, 7 if depth else 1))
    name = draw(NAMES)
    inner = queries(depth - 1)
    match kind:
        case 0:
            return f"select count(*)::int as x from {name}"
        case 1:
            return f"select 1 as x from {name} a, {draw(NAMES)} b where true"
        case 2:
            recursive = draw(st.sampled_from(["", "recursive "]))
            second = f", {draw(NAMES)} as ({draw(inner)})" if draw(st.booleans()) else ""
            return f"with {recursive}{name} as ({draw(inner)}){second} {draw(inner)}"
        case 3:
            return f"({draw(inner)}) union all ({draw(inner)})"
        case 4:
            return f"select x from ({draw(inner)}) q where x in ({draw(inner)})"
        case 5:
            return f"({draw(inner)}) order by 1 limit 2"
        case 6:
            return f"select q.x from {name} cross join lateral ({draw(inner)}) q"
        case _:
            return f"select (select count(*)::int from {name} where exists ({draw(inner)})) as x"


@pytest.mark.timeout(120)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(query=queries())
async def test_any_query_reads_them_like_views(query: str, tables: TestDatabase) -> None:
    options = {"server_settings": {"search_path": "views, public"}, "statement_cache_size": 0}
    async with (
        tables.connection(**options) as viewing,
        tables.connection(statement_cache_size=0) as connection,
    ):
        expected = await rows(viewing, query, None)
        try:
            found = await rows(connection, query, all_saved())
        except CellError as error:
            refused = error.hint
            found = expected
        else:
            refused = None
    assert refused in {None, "call it something else here"}
    # A WITH query's name is its own in all of its statement, also where it can't be seen.
    assert found == expected or (found == UNDEFINED_TABLE and "with" in query), query


async def test_a_name_of_the_own_with_is_never_composed(tables: TestDatabase) -> None:
    async with tables.connection() as connection:
        cell = "with a as (table two), two as (select 7 as x) select * from a, two"
        assert await rows(connection, cell, all_saved()) == UNDEFINED_TABLE


async def test_every_word_but_those_of_the_list_can_be_a_name(database: TestDatabase) -> None:
    async with database.connection() as connection:
        words = await connection.fetch("select word, catcode::text as kind from pg_get_keywords()")
        assert {w["word"] for w in words if w["kind"] != "U"} <= NO_TABLE
        saved, wanted = SavedQueries(), []
        for word in (w["word"] for w in words):
            if word not in NO_TABLE:
                saved.save(word, f"select '{word}' as word")
                wanted.append(word)
        assert len(wanted) > 200
        for word in wanted:
            for cell in (
                f"select word from {word}",
                f"select q.word from (values (1)) v join {word} as q on true",
                f"with a as (select 1) select word from a, {word}",
            ):
                [statement] = read(cell, {}, saved=saved).statements
                assert await connection.fetchval(statement.sql) == word


async def test_the_client_reads_from_what_it_saved(client: Client, tables: TestDatabase) -> None:
    values = {"limit": 60, "carriers": ["AA", "UA"]}
    query = client.save("late", "select * from flights where delay > {limit}", values=values)
    assert client.saved["late"] is query
    client.save("few", "select * from late where carrier = any({carriers})", values=values)
    values["limit"] = 0
    frame = await client.query(
        "select carrier, delay, {x} as x from few order by 1", on="a", values={"x": "é"}
    )
    assert frame.values.tolist() == [["AA", 90, "é"], ["UA", 70, "é"]]
    assert list(frame.columns) == ["carrier", "delay", "x"]
    plain = await client.query(
        "with few as (select * from flights where delay > 60) "
        "select carrier, delay, 'é' as x from few order by 1",
        on="a",
    )
    pd.testing.assert_frame_equal(frame, plain)


async def test_values_of_a_saved_query_get_the_casts_they_need(client: Client) -> None:
    client.save("typed", "select {n} as n, {n} + {n} as twice, {d} as d", values={"n": 4, "d": 1.5})
    frame = await client.query("select *, {s} as s from typed, typed t", on="a", values={"s": 2})
    assert frame.values.tolist() == [[4, 8, 1.5, 4, 8, 1.5, 2]]


async def test_an_error_names_the_saved_query_it_is_in(client: Client, tables) -> None:
    client.save("wrong", "select carrier,\n  nosuch from flights")
    client.save("outer_one", "select * from wrong")
    with pytest.raises(QueryError) as caught:
        await client.query("select 1 as one\nfrom outer_one", on="a")
    assert caught.value.saved == "wrong"
    report = str(caught.value)
    assert "in the saved query wrong:\n  1 | select carrier,\n  2 |   nosuch from flights" in report
    assert "    |   ^" in report
    with pytest.raises(QueryError) as caught:
        await client.query("select 1,\n  oops from outer_one", on="a")
    # The server reads the WITH first; here only the cell is wrong.
    client.save("wrong", "select carrier from flights")
    with pytest.raises(QueryError) as caught:
        await client.query("select 1,\n  oops from outer_one", on="a")
    assert caught.value.saved is None
    assert "  2 |   oops from outer_one\n    |   ^" in str(caught.value)


async def test_a_value_that_does_not_fit_names_the_saved_query(client: Client, tables) -> None:
    client.save("few", "select * from flights limit {n}", values={"n": 1.5})
    with pytest.raises(CellError) as caught:
        await client.query("select {y} as y from few", on="a", values={"y": 1})
    assert caught.value.saved == "few"
    report = str(caught.value)
    assert "in the saved query few:\n  1 | select * from flights limit {n}" in report
    assert "    |                             ^" in report


async def test_a_misspelt_name_is_helped(client: Client) -> None:
    client.save("late_ones", "select 1 as x")
    with pytest.raises(QueryError, match="did you mean the saved query late_ones"):
        await client.query("select * from late_one", on="a")
    with pytest.raises(QueryError, match="it can be read, and nothing else"):
        await client.query("insert into late_ones values (1)", on="a", write=True)


async def test_several_databases_plans_limits_and_sessions(client: Client, tables) -> None:
    client.save("numbers", "select g as x from generate_series(1, {n}) g", values={"n": 3})
    frame = await client.query("select sum(x) as s from numbers", on=["a", "b"])
    assert frame["s"].tolist() == [6, 6]
    frame = await client.query("select x from numbers order by x", on="a", limit=2)
    assert frame["x"].tolist() == [1, 2]
    plans = await client.query("select * from numbers", on="a", analyze=True)
    assert "numbers" in str(plans) or "generate_series" in str(plans)
    frame = await client.query("select x from numbers", on="a", session="s")
    assert len(frame) == 3
    with pytest.raises(CellError, match="numbers is a saved query"):
        await client.query("select x from numbers", on="a", parallel=2)
    with pytest.raises(CellError, match=r"Client.save\(\) keeps a query"):
        await client.query("select 1", on="a", save="x")
    client.save("five", "select 5 as x")
    assert await client.query("copy (select x from five) to stdout", on="a") == "5\n"


async def test_psql_reads_what_is_sent(client: Client, tables: TestDatabase) -> None:
    client.saved = all_saved()
    for cell in CELLS:
        if not cell.startswith(("create", "declare", "prepare", "explain")):
            [statement] = read(cell, {}, saved=client.saved).statements
            assert statement.saved
            assert await ours(client, cell) == await psql(tables, statement.sql)
