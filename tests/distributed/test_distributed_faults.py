"""A worker dies, somebody cancels, a database goes down: what is left, and what is said."""

import asyncio
import os
import signal
import time
from dataclasses import replace

import asyncpg
import pytest

import pgmagic.dask
from pgmagic.client import Client

SLOW = "select l_orderkey, l_quantity, pg_sleep(0.002)::text as slept from lineitem"
ACTIVE = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()"
)


def ask(dsn, sql):
    async def work():
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(work())


def until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def test_a_killed_worker_costs_no_row_and_leaves_no_query(cluster, addresses, tpch):
    frame = pgmagic.dask.read(
        f"{SLOW} where l_linenumber = 7", on="@tpch", by="l_orderkey", partitions=4
    )
    future = cluster.compute(frame[["l_quantity", "slept"]])
    until(lambda: ask(addresses["north"], ACTIVE) > 0)
    processes = cluster.run(os.getpid)
    victim = max(processes, key=lambda address: len(cluster.processing()[address]))
    assert cluster.processing()[victim]
    os.kill(processes[victim], signal.SIGKILL)
    found = future.result(timeout=50)
    lines = tpch["lineitem"]
    expected = lines[lines["l_linenumber"] == 7]["l_quantity"]
    assert len(found) == len(expected)
    assert found["l_quantity"].sum() == expected.sum()
    until(lambda: not any(ask(dsn, ACTIVE) for dsn in addresses.values()))
    cluster.wait_for_workers(3, timeout=50)


def test_the_query_of_a_killed_worker_ends_on_the_server(cluster, addresses):
    frame = pgmagic.dask.read("select pg_sleep(120)::text as slept", on="west")
    future = cluster.compute(frame, retries=0)
    until(lambda: ask(addresses["west"], ACTIVE) == 1)
    processes = cluster.run(os.getpid)
    [victim] = [address for address, tasks in cluster.processing().items() if tasks]
    backend = ask(addresses["west"], ACTIVE.replace("count(*)", "min(pid)"))
    os.kill(processes[victim], signal.SIGKILL)
    until(lambda: ask(addresses["west"], f"{ACTIVE} and pid = {backend}") == 0, seconds=5)
    future.cancel()
    until(lambda: ask(addresses["west"], ACTIVE) == 0)
    cluster.wait_for_workers(3, timeout=50)


def test_a_cancelled_future_is_cancelled_on_the_server(cluster, addresses):
    frame = pgmagic.dask.read("select pg_sleep(120)::text as slept", on="@tpch")
    future = cluster.compute(frame)
    until(lambda: all(ask(dsn, ACTIVE) == 1 for dsn in addresses.values()))
    future.cancel()
    until(lambda: not any(ask(dsn, ACTIVE) for dsn in addresses.values()), seconds=3)


def test_a_statement_that_fails_says_where_as_in_a_cell(cluster):
    cell = "select 10 / (l_linenumber - 3) as x\nfrom lineitem where l_orderkey < 1000"
    frame = pgmagic.dask.read(cell, on="@tpch", partitions=2)
    with pytest.raises(pgmagic.QueryError) as caught:
        frame.compute()
    assert caught.value.sqlstate == "22012"
    assert caught.value.cell == cell

    with pytest.raises(pgmagic.FanOutError) as caught:  # before anything is read
        pgmagic.dask.read("select nosuch from lineitem", on="@tpch")
    assert [each.error.sqlstate for each in caught.value.failures] == ["42703"] * 3


async def test_a_database_that_is_down_fails_as_in_a_cell(cluster, own_server, configured):
    passwords = configured / "passwords"
    passwords.touch(0o600)
    passwords.write_text(f"*:*:*:*:{own_server.password}\n")
    with (configured / "pgmagic.toml").open("a") as file:
        file.write(
            f'[databases.mortal]\nhost = "{own_server.host}"\nport = {own_server.port}\n'
            f'user = "{own_server.user}"\ndatabase = "postgres"\npassfile = "{passwords}"\n'
        )
    async with Client.from_config() as pg:
        frame = await pg.query("select 1 as n", on="mortal", dask=True)
        assert await asyncio.to_thread(cluster.compute(frame).result) is not None
        own_server.stop()
        with pytest.raises(pgmagic.Unavailable) as in_a_cell:
            await pg.query("select 1 as n", on="mortal")
    frame = frame.assign(again=1)
    with pytest.raises(pgmagic.Unavailable) as in_a_worker:
        await asyncio.to_thread(cluster.compute(frame).result)
    assert type(in_a_worker.value) is type(in_a_cell.value)
    assert in_a_worker.value.report() == in_a_cell.value.report()


def test_a_database_that_is_down_cannot_be_planned(cluster):
    with pytest.raises(pgmagic.ConnectFailed, match="cannot connect to /nonexistent"):
        pgmagic.dask.read("select 1 as n", on="down")


async def test_a_database_of_the_notebook_alone_is_unknown_to_workers(cluster, addresses):
    async with Client.from_config() as pg:
        await pg.add(replace(pg.databases["north"], name="mine"))
        frame = await pg.query("select 1 as n", on="mine", dask=True)
    with pytest.raises(pgmagic.UnknownDatabase) as caught:
        await asyncio.to_thread(cluster.compute(frame).result)
    assert "knows no database mine" in str(caught.value)
    assert "PGMAGIC_CONFIG" in caught.value.hint


def test_columns_that_changed_since_are_an_error(cluster, addresses):
    ask(addresses["north"], "create table changing (a int, b text)")
    try:
        frame = pgmagic.dask.read("select * from changing", on="north")
        ask(addresses["north"], "alter table changing alter a type text")
        with pytest.raises(pgmagic.CellError, match="not those that it had"):
            frame.compute()
    finally:
        ask(addresses["north"], "drop table changing")


def test_a_value_that_no_dtype_of_all_partitions_holds(cluster, addresses):
    frame = pgmagic.dask.read("select 9007199254740993::numeric as big", on="north")
    with pytest.raises(
        pgmagic.CellError, match="big can't be the same in every partition"
    ) as caught:
        frame.compute()
    assert "big::text" in caught.value.hint
    exact = pgmagic.dask.read("select 9007199254740993.5 as big", on="north", numeric="exact")
    assert exact.compute()["big"].tolist() == ["9007199254740993.5"]
