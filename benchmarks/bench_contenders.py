"""One way to read a query into memory, in a process of its own: for bench.py.

    python benchmarks/bench_contenders.py NAME DSN QUERY

Prints the seconds it took and the peak of memory in MB (of resident memory) as JSON. Each
contender is a function that imports, connects, and returns another function that reads.
"""

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

Read = Callable[[], Any]


def psql(dsn: str, query: str) -> Read:
    """The server and the wire alone: nothing is decoded, nothing kept."""
    program = shutil.which("psql")
    if program is None:
        raise SystemExit("there is no psql")
    command = [program, "-XqAt", dsn, "-c", f"copy ({query}) to stdout (format binary)"]
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def pgmagic(as_: Literal["pandas", "arrow"]) -> Callable[[str, str], Read]:
    def prepare(dsn: str, query: str) -> Read:
        import asyncpg

        from pgmagic.columns import FrameOptions, describe, read, to_frame

        loop = asyncio.new_event_loop()
        connection = loop.run_until_complete(asyncpg.connect(dsn))
        options = FrameOptions(as_=as_)

        async def run() -> Any:
            statement = await connection.prepare(query)
            columns = await describe(connection, statement.get_attributes(), {})
            reading = await read(
                connection,
                query,
                (),
                columns,
                statement=statement,
                copyable=True,
                wrappable=True,
                verb="select",
                options=options,
            )
            return to_frame(reading.table, columns, options)[0]

        return lambda: loop.run_until_complete(run())

    return prepare


def asyncpg_records(dsn: str, query: str) -> Read:
    import asyncpg

    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(dsn))
    return lambda: loop.run_until_complete(connection.fetch(query))


def connectorx(returns: str) -> Callable[[str, str], Read]:
    def prepare(dsn: str, query: str) -> Read:
        import connectorx as cx

        return lambda: cx.read_sql(dsn, query, return_type=returns)

    return prepare


def adbc(dsn: str, query: str) -> Read:
    from adbc_driver_postgresql import dbapi

    cursor = dbapi.connect(dsn).cursor()

    def read() -> Any:
        cursor.execute(query)
        return cursor.fetch_arrow_table()

    return read


def pandas_read_sql(dsn: str, query: str) -> Read:
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
    connection = engine.connect()
    return lambda: pd.read_sql(query, connection)


CONTENDERS: dict[str, Callable[[str, str], Read]] = {
    "psql, copy to /dev/null": psql,
    "pgmagic, arrow": pgmagic("arrow"),
    "pgmagic, pandas": pgmagic("pandas"),
    "connectorx, arrow": connectorx("arrow"),
    "connectorx, pandas": connectorx("pandas"),
    "adbc, arrow": adbc,
    "asyncpg, records": asyncpg_records,
    "pandas.read_sql": pandas_read_sql,
}


def main() -> None:
    name, dsn, query = sys.argv[1:]
    read = CONTENDERS[name](dsn, query)
    started = time.perf_counter()
    kept = read()
    seconds = time.perf_counter() - started
    whose = resource.RUSAGE_CHILDREN if name.startswith("psql") else resource.RUSAGE_SELF
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = resource.getrusage(whose).ru_maxrss / unit
    print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)
    del kept
    os._exit(0)  # taking the table apart again is no part of the race


if __name__ == "__main__":
    main()
