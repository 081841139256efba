"""One table read on several connections: the same rows, of one moment."""

import asyncio
from dataclasses import replace

import pandas as pd
import pytest

from pgmagic.errors import CellError, QueryError

ROWS = 20_000


@pytest.fixture
async def table(client):
    """A table of about 300 pages with an index on `n`, NULLs in `m` and no statistics."""
    await client.query(
        f"create table t as select n, nullif(n % 10, 0) as m, 'row ' || n as name, "
        f"repeat('x', 80) as filler from generate_series(1, {ROWS}) n; "
        "create index on t (n)",
        on="a",
        write=True,
    )


WHOLE = "select n, m, name from t"


@pytest.mark.parametrize("analysed", [True, False])
@pytest.mark.parametrize("by", [None, "n", "m", "name"])
@pytest.mark.parametrize("parts", [2, 7])
async def test_the_parts_are_the_whole(client, table, parts, by, analysed):
    if analysed:
        await client.query("analyze t", on="a", write=True)
    frame = await client.query(WHOLE, on="a", parallel=parts, by=by)
    assert len(frame) == ROWS
    whole = await client.query(WHOLE, on="a")
    if by is None:  # the table's own order
        pd.testing.assert_frame_equal(frame, whole)
    else:
        pd.testing.assert_frame_equal(frame.sort_values("n", ignore_index=True), whole)


async def test_the_order_of_the_parts_is_always_the_same(client, table):
    await client.query("analyze t", on="a", write=True)
    first = await client.query("select n from t", on="a", parallel=4, by="n")
    parts = (first["n"].diff().fillna(1) < 0).sum()
    assert parts <= 3
    assert first["n"].iloc[0] < first["n"].iloc[-1]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from only t as x where x.n % 3 = 0 or false -- the end",
        'select "n", (select max(n) from t) as most from public.t where n > {least}',
        "select n is distinct from 5 as d, extract(year from now()) as y from t x where n < 100",
        "select unnest(array[n, m]) from t where n = any (array(select n from t where n < 50))",
    ],
)
async def test_conditions_aliases_and_values_stay(client, table, sql):
    values = {"least": 19_000}
    whole = await client.query(sql, on="a", values=values)
    frame = await client.query(sql, on="a", values=values, parallel=3)
    pd.testing.assert_frame_equal(frame, whole)


async def test_all_parts_are_of_one_moment(client, table, database):
    """Somebody moves amounts between rows all the while; their sum never changes."""
    await client.query(
        "create table accounts as select n as id, 100 as amount from generate_series(1, 5000) n; "
        "alter table accounts add primary key (id)",
        on="a",
        write=True,
    )
    stop = asyncio.Event()
    moved = 0

    async def move():
        nonlocal moved
        async with database.connection() as connection:
            while not stop.is_set():
                await connection.execute(
                    "update accounts set amount = amount + case id when $1 then -7 else 7 end "
                    "where id in ($1, $1 % 5000 + 1)",
                    moved * 37 % 5000 + 1,
                )
                moved += 1

    mover = asyncio.create_task(move())
    try:
        for by in (None, "id", None, "id"):
            before = moved
            frame = await client.query("select * from accounts", on="a", parallel=4, by=by)
            assert len(frame) == 5000
            assert frame["id"].is_unique
            assert frame["amount"].sum() == 500_000
            while moved == before:
                await asyncio.sleep(0)
    finally:
        stop.set()
        await mover


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from t",
        "select max(n) from t",
        "select n, row_number() over () as r from t",
        "select unnest(array[1]), count(*) from t",
    ],
)
async def test_rows_that_depend_on_others_are_refused(client, table, sql):
    with pytest.raises(CellError, match="can't cut this statement into parts: its plan has"):
        await client.query(sql, on="a", parallel=2)


async def test_a_view_and_an_unknown_column_are_refused(client, table):
    await client.query("create view v as select * from t", on="a", write=True)
    with pytest.raises(CellError, match="v is no table"):
        await client.query("select * from v", on="a", parallel=2)
    with pytest.raises(CellError, match="has no column nosuch"):
        await client.query("select * from t", on="a", parallel=2, by="nosuch")


async def test_partitions_are_read_together(client):
    await client.query(
        "create table p (n int, x text) partition by range (n);"
        "create table p1 partition of p for values from (0) to (3000);"
        "create table p2 partition of p for values from (3000) to (10001);"
        "insert into p select n, repeat('x', 100) from generate_series(1, 10000) n",
        on="a",
        write=True,
    )
    for by in (None, "n"):
        frame = await client.query("select n from p", on="a", parallel=3, by=by)
        assert sorted(frame["n"]) == list(range(1, 10_001))


async def test_an_empty_table(client):
    await client.query("create table e (n int)", on="a", write=True)
    for by in (None, "n"):
        frame = await client.query("select * from e", on="a", parallel=3, by=by)
        assert frame.shape == (0, 1)


async def test_several_databases_each_in_parts(client):
    await client.query(
        "create table t as select n from generate_series(1, 5000) n", on=["a", "b"], write=True
    )
    frame = await client.query("select n from t", on=["b", "a"], parallel=2)
    assert frame["n"].tolist() == 2 * list(range(1, 5001))


async def test_parts_go_to_a_file(client, table, tmp_path):
    path = tmp_path / "x.parquet"
    shown = await client.query(WHOLE, on="a", parallel=3, to=str(path))
    assert shown["rows"].tolist() == [ROWS]
    assert sorted(pd.read_parquet(path)["n"]) == list(range(1, ROWS + 1))


async def test_a_part_that_fails_stops_the_others(client, table):
    with pytest.raises(QueryError, match="division by zero"):
        await client.query(f"select 1 / (n - {ROWS}) as x from t", on="a", parallel=4)
    assert client.pool("a").statistics().in_use == 0


async def test_a_busy_pool_is_no_reason_to_wait_for_ever(client, table):
    """Each cell needs one connection; the others are welcome where there are any."""
    await client.add(replace(client.databases["a"], max_size=3, acquire_timeout=5.0))
    frames = await asyncio.gather(
        *(client.query("select n from t", on="a", parallel=4) for _ in range(6))
    )
    assert [len(frame) for frame in frames] == [ROWS] * 6


async def test_a_cancel_stops_every_part(client, table):
    slow = "select n, pg_sleep(0.01) from t"
    task = asyncio.create_task(client.query(slow, on="a", parallel=3))
    while client.pool("a").statistics().in_use < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.pool("a").statistics().in_use == 0
