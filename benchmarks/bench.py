"""From the server to a table in memory: pgmagic beside the other ways.

    python benchmarks/bench.py [--sf 0.1] [--rounds 5] [--out build/bench.json]

Starts a server of its own and fills a table of the shape of TPC-H's lineitem, six million rows
for `--sf 1`, with generated values. Every contender then reads all of it over TCP from a fresh
process, one after the other, round after round, so that a busy machine is fair to all. Prints
the medians: seconds from the query to the finished table, connections made and modules imported
before, and the peak of the process's memory. A contender that isn't installed is left out:
`pip install --group bench`.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
from bench_contenders import CONTENDERS

from pgmagic.columns import accelerated
from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

ROWS = 6_000_000  # at --sf 1
QUERY = "select * from lineitem"
TABLE = """
create unlogged table lineitem as select
    (n / 4)::int8 as l_orderkey,
    (n * 7919 % 200000)::int4 as l_partkey,
    (n * 104729 % 10000)::int4 as l_suppkey,
    (n % 4 + 1)::int4 as l_linenumber,
    (n % 50 + 1)::numeric(15, 2) as l_quantity,
    (n * 31 % 10000000 / 100.0)::numeric(15, 2) as l_extendedprice,
    (n % 11 / 100.0)::numeric(15, 2) as l_discount,
    (n % 9 / 100.0)::numeric(15, 2) as l_tax,
    (array['A', 'N', 'R'])[n % 3 + 1]::char(1) as l_returnflag,
    (array['O', 'F'])[n % 2 + 1]::char(1) as l_linestatus,
    date '1992-01-02' + (n % 2500)::int4 as l_shipdate,
    date '1992-01-31' + (n % 2460)::int4 as l_commitdate,
    date '1992-01-03' + (n % 2550)::int4 as l_receiptdate,
    (array['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[n % 4 + 1]::char(25)
        as l_shipinstruct,
    (array['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[n % 7 + 1]::char(10)
        as l_shipmode,
    ('carefully final deposits ' || n)::varchar(44) as l_comment
from generate_series(1::int8, $1) n
"""
CONTENDER = Path(__file__).with_name("bench_contenders.py")


async def fill(dsn: str, rows: int) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE.replace("$1", str(rows)))
    await connection.execute("vacuum analyze lineitem")
    # Once over all pages, so that no contender is the first to read them.
    await connection.execute(f"select count(l) from ({QUERY}) l")
    await connection.close()


def measure(name: str, dsn: str) -> dict[str, float] | None:
    """Run one contender in a process of its own; None where it can't run."""
    done = subprocess.run(
        [sys.executable, str(CONTENDER), name, dsn, QUERY],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(done.stdout)
    return found


def race(dsn: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in list(measured):
            one = measure(name, dsn)
            if one is None:
                del measured[name]
            else:
                measured[name].append(one)
    return measured


def summary(measured: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: statistics.median(one[key] for one in ones) for key in ones[0]}
        for name, ones in measured.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sf", type=float, default=0.1, help="scale factor, as in TPC-H")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    rows = round(ROWS * arguments.sf)
    with Server(binaries=find_binaries()) as server:
        dsn = server.dsn(tcp=True)
        asyncio.run(fill(dsn, rows))
        measured = race(dsn, arguments.rounds)
    medians = summary(measured)
    least = min(one["seconds"] for one in medians.values())
    print(f"{rows:,} rows of lineitem, median of {arguments.rounds}")
    for name, one in sorted(medians.items(), key=lambda item: item[1]["seconds"]):
        print(
            f"{name:<28} {one['seconds']:8.3f} s  {one['seconds'] / least:6.2f} x "
            f"{one['peak_mb']:8.0f} MB"
        )
    result: dict[str, Any] = {
        "rows": rows,
        "rounds": arguments.rounds,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "accelerated": accelerated,
        "medians": medians,
        "all": measured,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
