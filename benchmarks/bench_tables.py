"""What is read in the benchmark: TPC-H's lineitem, and tables that are hard in other ways.

https://www.tpc.org/tpch/ describes lineitem; tpchgen-cli makes its rows.
"""

import asyncio
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

__all__ = ["DATABASES", "TABLES", "Table", "fill"]

DATABASES = ("one", "two", "three")  # lineitem is in each, the others in the first alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table to read whole. `rows` is how many there are at scale factor 1, or always.

    `columns` is the select list that makes them out of a number `n`, empty where tpchgen-cli
    does. It is read `repeats` times in one process, and the median counts.
    """

    about: str
    rows: int
    columns: str = ""
    scales: bool = True
    repeats: int = 1


TABLES = {
    "lineitem": Table(about="TPC-H: 16 columns of numbers, dates and text", rows=6_000_000),
    "numeric": Table(
        about="12 columns: 5 integers, 4 doubles, 3 numerics",
        rows=2_000_000,
        columns="""
            n::int8 as id, (n * 7919)::int8 as big, (n % 100000)::int4 as a,
            (n % 977)::int4 as b, (n % 31)::int2 as c,
            n * 0.37::float8 as u, sqrt(n) as v, sin(n) as w, 1e9 / n::float8 as x,
            (n % 1000000 / 100.0)::numeric(12, 2) as price, (n * 0.0173)::numeric(16, 4) as sum,
            (n % 100 / 1000.0)::numeric(6, 3) as rate
        """,
    ),
    "text": Table(
        about="6 columns of text, 5 to 200 characters, some beyond ASCII",
        rows=2_000_000,
        columns="""
            'item ' || n as name, md5(n::text) as digest,
            repeat(md5((n * 3)::text) || ' ', 1 + (n % 6)::int4) as body,
            (array['Zürich', 'São Paulo', '東京', 'Kraków', 'Oslo'])[1 + n % 5] as city,
            'https://example.org/items/' || n || '?page=' || n % 17 as url,
            (array['new', 'open', 'closed'])[1 + n % 3]::varchar(10) as state
        """,
    ),
    "nulls": Table(
        about="10 columns of many types, half to nearly all of them NULL",
        rows=2_000_000,
        columns="""
            n::int8 as id, case when n % 2 = 0 then n::int4 end as a,
            case when n % 3 = 0 then n::int8 end as b, case when n % 5 = 0 then sqrt(n) end as c,
            case when n % 4 = 0 then (n / 100.0)::numeric(12, 2) end as d,
            case when n % 7 = 0 then n % 2 = 0 end as e,
            case when n % 6 = 0 then 'value ' || n end as f,
            case when n % 10 = 0 then date '2000-01-01' + (n % 9000)::int4 end as g,
            case when n % 20 = 0 then timestamptz '2020-01-01' + n * interval '1 s' end as h,
            case when n % 100 = 0 then md5(n::text)::uuid end as i
        """,
    ),
    "small": Table(
        about="20 rows of 6 columns, 30 times over one connection",
        rows=20,
        columns="""
            n::int4 as id, 'row ' || n as name, n * 1.5::float8 as x,
            (n / 3.0)::numeric(10, 2) as price, date '2024-01-01' + n::int4 as day,
            n % 2 = 0 as even
        """,
        scales=False,
        repeats=30,
    ),
}

LINEITEM = """
create unlogged table lineitem (
    l_orderkey int8 not null, l_partkey int4 not null, l_suppkey int4 not null,
    l_linenumber int4 not null, l_quantity numeric(15, 2) not null,
    l_extendedprice numeric(15, 2) not null, l_discount numeric(15, 2) not null,
    l_tax numeric(15, 2) not null, l_returnflag char(1) not null, l_linestatus char(1) not null,
    l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
    l_shipinstruct char(25) not null, l_shipmode char(10) not null,
    l_comment varchar(44) not null
)
"""


async def fill(server: Any, scale: float) -> dict[str, int]:
    """Make the databases and all tables in them; give how many rows each table has."""
    administrator = await asyncpg.connect(server.dsn())
    first, *others = DATABASES
    await administrator.execute(f"create database {first}")
    connection = await asyncpg.connect(server.dsn(first))
    await connection.execute(LINEITEM)
    await connection.copy_to_table(
        "lineitem", source=await asyncio.to_thread(_lineitem, scale), format="csv", header=True
    )
    # So that no contender is the first to write hint bits.
    await connection.execute("vacuum (freeze, analyze) lineitem")
    await connection.close()  # nobody may be in a database that is copied
    for name in others:
        await administrator.execute(f"create database {name} template {first}")
    await administrator.close()

    connection = await asyncpg.connect(server.dsn(first))
    for name, table in TABLES.items():
        if table.columns:
            rows = max(1, round(table.rows * scale)) if table.scales else table.rows
            await connection.execute(
                f"create unlogged table {name} as select {table.columns} "
                f"from generate_series(1::int8, {rows}) n"
            )
            await connection.execute(f"vacuum (freeze, analyze) {name}")
    rows = {name: await connection.fetchval(f"select count(*) from {name}") for name in TABLES}
    await connection.close()
    return rows


def _lineitem(scale: float) -> Any:
    """Start to write the rows of lineitem as CSV; give the file to read them from."""
    beside = Path(sys.executable).with_name("tpchgen-cli")
    program = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if program is None:
        raise SystemExit("there is no tpchgen-cli: pip install --group bench")
    command = [program, "csv", "--scale-factor", str(scale), "--tables", "lineitem", "--stdout"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return process.stdout
