"""What workers read together is what one machine reads."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

import pgmagic.dask
from pgmagic.client import Client

LINES = "select * from lineitem"
KEYS = ["l_orderkey", "l_linenumber"]


def lines(**options):
    return pgmagic.dask.read(LINES, on="@tpch", **options)


@pytest.mark.parametrize("options", [{}, {"partitions": 4}, {"by": "l_orderkey", "partitions": 4}])
def test_every_row_is_in_one_partition(cluster, tpch, options):
    found = lines(**options).compute().sort_values(KEYS, ignore_index=True)
    expected = tpch["lineitem"].sort_values(KEYS, ignore_index=True)
    # char(n) is padded with blanks
    for name in ("l_shipinstruct", "l_shipmode"):
        found[name] = found[name].str.rstrip()
    pd.testing.assert_frame_equal(found.drop(columns="database"), expected, check_dtype=False)


def test_groups_are_those_of_one_machine(cluster, tpch):
    def summary(frame):
        return frame.groupby(["l_returnflag", "l_linestatus"]).agg(
            {"l_quantity": "sum", "l_extendedprice": ["sum", "mean"], "l_orderkey": "count"}
        )

    found = summary(lines(by="l_orderkey", partitions=4)).compute().sort_index()
    expected = summary(tpch["lineitem"]).sort_index()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_index_type=False)


def test_a_join_is_that_of_one_machine(cluster, tpch):
    def late(lineitem, orders):
        both = lineitem.merge(orders, left_on="l_orderkey", right_on="o_orderkey")
        late = both[both["l_commitdate"] < both["l_receiptdate"]]
        return late.groupby("o_orderpriority")["l_extendedprice"].sum()

    orders = pgmagic.dask.read(
        "select o_orderkey, rtrim(o_orderpriority) as o_orderpriority from orders",
        on="@tpch",
        partitions=2,
    )
    found = late(lines(partitions=3), orders).compute().sort_index()
    expected = late(tpch["lineitem"], tpch["orders"]).sort_index()
    assert len(expected) == 5
    pd.testing.assert_series_equal(found, expected, check_dtype=False, check_index_type=False)


def test_what_the_server_counts_is_a_partition_of_each_database(cluster, tpch):
    frame = pgmagic.dask.read("select count(*) as n from lineitem", on="@tpch")
    assert frame.npartitions == 3
    assert frame["n"].sum().compute() == len(tpch["lineitem"])


def test_the_databases_are_a_known_category(cluster):
    frame = lines(partitions=2)
    assert frame["database"].cat.known
    assert list(frame["database"].cat.categories) == ["north", "south", "west"]
    counts = frame.groupby("database", observed=True).size().compute()
    assert counts.to_dict() == frame["database"].value_counts().compute().to_dict()


def test_partitions_have_the_dtypes_that_were_promised(cluster):
    frame = lines(by="l_orderkey", partitions=2)
    for part in frame.partitions:
        pd.testing.assert_series_equal(part.compute().dtypes, frame.dtypes)


def test_only_the_columns_that_are_wanted_are_read(cluster, tpch):
    # A column that can't be read is no matter to those who don't want it.
    frame = pgmagic.dask.read(
        "select l_quantity, 1 / (l_linenumber - l_linenumber) as broken, l_tax from lineitem",
        on="@tpch",
    )
    rows = frame["l_tax"].count().compute()
    assert rows == frame["database"].count().compute() == len(tpch["lineitem"])
    with pytest.raises(pgmagic.QueryError, match="division by zero"):
        frame["broken"].count().compute()


def test_columns_in_another_order_and_of_one_name(cluster):
    frame = pgmagic.dask.read(
        "select l_tax as a, l_quantity as a, l_orderkey as b from lineitem", on="@tpch"
    )
    assert list(frame.columns) == ["database", "a", "a_1", "b"]
    found = frame[["b", "a_1"]].compute()
    assert list(found.columns) == ["b", "a_1"]
    assert found["a_1"].max() == 50


def test_values_of_the_notebook(cluster, tpch):
    frame = pgmagic.dask.read(
        "select l_orderkey from lineitem where l_shipmode = {mode} and l_quantity > {least}",
        on="@tpch",
        values={"mode": "AIR", "least": 10.5},
        partitions=3,
    )
    rows = tpch["lineitem"]
    expected = rows[(rows["l_shipmode"] == "AIR") & (rows["l_quantity"] > 10.5)]
    assert len(frame) == len(expected)


def test_the_plan_of_the_partitions_is_known_before_anything_is_read(cluster, tpch):
    frame = pgmagic.dask.read(
        "select *, 1 / (l_linenumber - l_linenumber) as never from lineitem",
        on="@tpch",
        by="l_orderkey",
        partitions=4,
    )
    plan = pgmagic.dask.partitions(frame)
    assert plan["database"].tolist() == ["north", "south", "west"] * 4
    assert plan["where"].str.contains("l_orderkey").all()
    average = len(tpch["lineitem"]) / 12
    assert plan["rows"].between(0.8 * average, 1.2 * average).all()
    assert pgmagic.dask.partitions(frame[["l_tax"]].sum()).equals(plan)


def test_workers_write_files(cluster, tpch, tmp_path):
    lines(by="l_orderkey", partitions=2).to_parquet(tmp_path / "lineitem")
    files = sorted((tmp_path / "lineitem").glob("*.parquet"))
    assert len(files) == 6
    assert sum(pq.read_metadata(file).num_rows for file in files) == len(tpch["lineitem"])
    found = pd.read_parquet(tmp_path / "lineitem")["l_quantity"].sum()
    assert found == pytest.approx(tpch["lineitem"]["l_quantity"].sum())


async def test_a_client_gives_the_same_frame(cluster, tpch):
    async with Client.from_config() as pg:
        frame = await pg.query(LINES, on="@tpch", dask=True, partitions=2, tag="shard")
    found = cluster.compute(frame["shard"].value_counts(), sync=True)
    assert found.sum() == len(tpch["lineitem"])


async def test_workers_read_the_snapshot_that_is_held(cluster, tpch, addresses):
    import asyncpg

    async with Client.from_config() as pg:
        await pg.query("create table moving as select 1 as n", on="@tpch", write=True)
        try:
            async with pg.snapshot("north", "south"):
                held = await pg.query("select n from moving", on=["north", "south"], dask=True)
                for name in ("north", "south"):
                    connection = await asyncpg.connect(addresses[name])
                    await connection.execute("insert into moving values (2)")
                    await connection.close()
                assert len(cluster.compute(held, sync=True)) == 2
            now = await pg.query("select n from moving", on=["north", "south"], dask=True)
            assert len(cluster.compute(now, sync=True)) == 4
            with pytest.raises(pgmagic.SnapshotEnded, match="held no more"):
                cluster.compute(held, sync=True)
        finally:
            await pg.query("drop table moving", on="@tpch", write=True)
