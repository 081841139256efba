"""TPC-H's rows in three databases on two servers, and a cluster of several processes."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import pgmagic.dask
from pgmagic.sandbox.server import Server

SCALE = "0.01"  # 60,000 rows of lineitem, 15,000 of orders
NAMES = ("north", "south", "west")
WORKERS = 3

TABLES = """
create table lineitem (
    l_orderkey int8 not null, l_partkey int4 not null, l_suppkey int4 not null,
    l_linenumber int4 not null, l_quantity numeric(15, 2) not null,
    l_extendedprice numeric(15, 2) not null, l_discount numeric(15, 2) not null,
    l_tax numeric(15, 2) not null, l_returnflag char(1) not null, l_linestatus char(1) not null,
    l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
    l_shipinstruct char(25) not null, l_shipmode char(10) not null,
    l_comment varchar(44) not null
);
create table orders (
    o_orderkey int8 primary key, o_custkey int4 not null, o_orderstatus char(1) not null,
    o_totalprice numeric(15, 2) not null, o_orderdate date not null,
    o_orderpriority char(15) not null, o_clerk char(15) not null, o_shippriority int4 not null,
    o_comment varchar(79) not null
);
"""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(180))  # seconds: processes start and die


def generated(table: str) -> pd.DataFrame:
    """Let TPC-H's generator make the rows of a table."""
    program = Path(sys.executable).with_name("tpchgen-cli")
    command = [program, "csv", "--scale-factor", SCALE, "--tables", table, "--stdout"]
    made = subprocess.run(command, capture_output=True, check=True)
    dates = {"lineitem": ["l_shipdate", "l_commitdate", "l_receiptdate"], "orders": ["o_orderdate"]}
    return pd.read_csv(io.BytesIO(made.stdout), parse_dates=dates[table])


@pytest.fixture(scope="session")
def tpch() -> Mapping[str, pd.DataFrame]:
    """All rows on one machine, as the generator wrote them."""
    return {table: generated(table) for table in ("lineitem", "orders")}


async def fill(dsn: str, tables: Mapping[str, pd.DataFrame]) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLES)
    for table, rows in tables.items():
        text = io.BytesIO(rows.to_csv(index=False, header=False).encode())
        await connection.copy_to_table(table, source=text, format="csv")
    await connection.execute("create index on lineitem (l_orderkey); analyze")
    await connection.close()


@pytest.fixture(scope="session")
def addresses(
    server: Server, second_server: Server, tpch: Mapping[str, pd.DataFrame]
) -> Iterator[Mapping[str, str]]:
    """The DSN of each database, with its password. An order is in one, with all its items."""
    homes = dict(zip(NAMES, (server, second_server, second_server), strict=True))

    async def execute(home: Server, sql: str) -> None:
        connection = await asyncpg.connect(home.dsn())
        await connection.execute(sql)
        await connection.close()

    try:
        for number, (name, home) in enumerate(homes.items()):
            asyncio.run(execute(home, f"create database {name}"))
            mine = {
                table: rows[rows.iloc[:, 0] % len(homes) == number] for table, rows in tpch.items()
            }
            asyncio.run(fill(home.dsn(name), mine))
        yield {name: home.dsn(name) for name, home in homes.items()}
    finally:
        for name, home in homes.items():
            asyncio.run(execute(home, f"drop database if exists {name} with (force)"))


@pytest.fixture(scope="module")
def configured(
    addresses: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """What the workers know: a file with names of variables, and the variables."""
    folder = tmp_path_factory.mktemp("workers")
    lines = [f'[databases.{name}]\ndsn_env = "{name.upper()}_DSN"\n' for name in addresses]
    lines.append('[databases.down]\nhost = "/nonexistent"\nuser = "nobody"\ndatabase = "none"\n')
    lines.append(f"[groups]\ntpch = {list(addresses)}\n")
    (folder / "pgmagic.toml").write_text("".join(lines))
    settings = {f"{name.upper()}_DSN": dsn for name, dsn in addresses.items()}
    settings["PGMAGIC_CONFIG"] = str(folder / "pgmagic.toml")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in settings.items():
            patch.setenv(variable, value)
        pgmagic.dask.close()  # what this process knew before
        yield folder
        pgmagic.dask.close()


@pytest.fixture(scope="module")
def cluster(configured: Path) -> Iterator[Client]:
    """Several worker processes of two threads each, for the tests of one file."""
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=2, dashboard_address="127.0.0.1:0"
        ) as workers,
        Client(workers) as client,
    ):
        yield client
