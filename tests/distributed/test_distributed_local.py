"""Without a cluster: Dask's own threads, or none, in the process that asks."""

import asyncio
from dataclasses import replace

import dask
import pytest

import pgmagic.dask
from pgmagic.client import Client

SLOW = "select l_orderkey, pg_sleep(0.002)::text as slept from lineitem where l_linenumber = 7"


@pytest.fixture
def here(configured):
    """This process, with no connection of its own before and after."""
    pgmagic.dask.close()
    yield
    pgmagic.dask.close()


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_threads_and_no_threads(here, tpch, scheduler):
    frame = pgmagic.dask.read("select * from lineitem", on="@tpch", partitions=3)
    with dask.config.set(scheduler=scheduler):
        assert frame["l_quantity"].sum().compute() == tpch["lineitem"]["l_quantity"].sum()


async def test_databases_that_only_the_notebook_knows(here, tpch):
    async with Client.from_config() as pg:
        await pg.add(replace(pg.databases["north"], name="mine"))
        frame = await pg.query("select l_orderkey from lineitem", on="mine", dask=True)
        counted = await pg.query("select count(*) as n from lineitem", on="mine")
    with dask.config.set(scheduler="threads"):
        assert (await asyncio.to_thread(frame.compute)).shape == (counted["n"][0], 1)


def test_threads_share_the_bound(here, tpch):
    frame = pgmagic.dask.read(SLOW, on="north", partitions=6, max_connections_per_database=2)
    pool = pgmagic.dask.home().pools.pool("north")
    with dask.config.set(scheduler="threads", num_workers=6):
        assert len(frame) == len(frame)
    assert 1 <= pool.statistics().size <= 2


def test_reading_again_reads_again(here):
    frame = pgmagic.dask.read("select clock_timestamp() as at", on="north")
    with dask.config.set(scheduler="sync"):
        first, second = (frame["at"].compute()[0] for _ in range(2))
    assert first < second
    again = pgmagic.dask.read("select clock_timestamp() as at", on="north")
    assert again.__dask_tokenize__() != frame.__dask_tokenize__()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"write": True}, "--dask and --write don't go together"),
        ({"session": "s"}, "--dask and --session don't go together"),
        ({"limit": 5}, "--dask and --limit don't go together"),
        ({"to": "x.parquet"}, "--dask and --to don't go together"),
        ({"explain": True}, "no --parallel and no --dask"),
        ({"partial": True}, "--dask and --partial don't go together"),
        ({"as_": "arrow"}, "takes no --as arrow"),
        ({"by": "nosuch"}, "has no column nosuch"),
    ],
)
def test_what_does_not_go_together(here, options, message):
    with pytest.raises(pgmagic.CellError, match=message):
        pgmagic.dask.read("select * from lineitem", on="north", **options)


@pytest.mark.parametrize(
    "sql",
    ["insert into t values (1)", "select 1; select 2", "vacuum", "select * from orders for update"],
)
def test_only_what_reads(here, sql):
    with pytest.raises(
        pgmagic.CellError, match=r"--dask is for a cell of one statement that reads|VACUUM"
    ):
        pgmagic.dask.read(sql, on="north")


def test_parts_of_a_join_are_refused_where_they_are_asked_for(here):
    join = "select * from lineitem join orders on l_orderkey = o_orderkey"
    with pytest.raises(pgmagic.CellError, match="can be read in parts"):
        pgmagic.dask.read(join, on="north", partitions=2)
    assert pgmagic.dask.read(join, on="north").npartitions == 1


def test_unknown_options_are_no_options(here):
    with pytest.raises(TypeError, match="no option 'nosuch'"):
        pgmagic.dask.read("select 1", on="north", nosuch=1)
