"""Cells through PgBouncer in transaction mode: limits hold, values arrive, nothing leaks."""

import asyncio
from dataclasses import replace

import pytest

from pgmagic.errors import CellError, QueryError, QueryTimeout
from tests.server.conftest import settings_of


@pytest.fixture
async def pooled(client, database, pgbouncer):
    far = settings_of("far", database, statement_timeout=20.0, lock_timeout=3.0)
    await client.add(replace(far, host=pgbouncer.host, port=pgbouncer.port))
    return client


async def test_values_rows_and_several_statements(pooled):
    for n in range(5):
        frame = await pooled.query(
            "select {n} as n, {x} as x where {n} = any({ids})",
            on="far",
            values={"n": n, "x": "o'x", "ids": [n]},
        )
        assert frame.values.tolist() == [[n, "o'x"]]
    sql = "create table t (n int); insert into t values ({n}); select n from t"
    frame = await pooled.query(sql, on="far", write=True, values={"n": 7})
    assert frame["n"].item() == 7
    assert pooled.statistics()[0].pooled


async def test_many_cells_over_few_connections(pooled):
    frames = await asyncio.gather(
        *(pooled.query("select {n} as n", on="far", values={"n": n}) for n in range(60))
    )
    assert [frame["n"].item() for frame in frames] == list(range(60))


@pytest.mark.parametrize(
    ("setting", "value"), [("statement_timeout", "20s"), ("lock_timeout", "3s")]
)
async def test_limits_hold(pooled, setting, value):
    frame = await pooled.query(f"select current_setting('{setting}') as value", on="far")
    assert frame["value"].item() == value
    frame = await pooled.query(f"show {setting}", on="far")
    assert frame.iloc[0, 0] == value


async def test_timeout_of_a_cell_holds(pooled):
    with pytest.raises(QueryTimeout):
        await pooled.query("select pg_sleep(30)", on="far", timeout=0.3)
    assert len(await pooled.query("select 1", on="far")) == 1


async def test_read_only_holds(pooled):
    await pooled.query("create table t (n int)", on="far", write=True)
    with pytest.raises(QueryError) as caught:
        await pooled.query("insert into t values (1)", on="far")
    assert caught.value.sqlstate == "25006"


async def test_settings_do_not_leak_to_other_clients(pooled, pgbouncer):
    await pooled.query("set local work_mem = '123MB'; select 1", on="far")
    frame = await pooled.query("select current_setting('work_mem') as value", on="far")
    assert frame["value"].item() != "123MB"


async def test_session_says_that_it_needs_a_connection_of_its_own(pooled):
    await pooled.query("select 1", on="far")
    with pytest.raises(CellError, match="a pooler stands between"):
        await pooled.query("select 1", on="far", session="mine")
