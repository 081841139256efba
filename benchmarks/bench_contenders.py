"""The ways to read a query into memory, and one of them in a process of its own.

    python benchmarks/bench_contenders.py NAME < task.json

The task has `dsns`, `query`, `warm_up` and `repeats`. Each contender imports, connects and reads
the result of `warm_up` first, so that what is measured is the reading alone. Then it prints as
JSON: `seconds`, the median of the repeats; `peak`, by how many bytes the resident memory of the
process grew at most; `size`, the bytes that the result says it takes; and its `rows`.
"""

import asyncio
import contextlib
import gc
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["CONTENDERS", "LIMIT", "Contender"]

Read = Callable[[str], Any]
Prepare = Callable[[Sequence[str]], Read]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to read. `prepare` gets the DSN of each database and gives what reads a query.

    `packages` are those whose versions matter; a `slow` one runs fewer rounds.
    """

    prepare: Prepare
    packages: tuple[str, ...] = ()
    slow: bool = False


def psql(dsns: Sequence[str]) -> Read:
    """Send the rows over the wire and drop them, one database after the other."""
    program = shutil.which(os.environ.get("BENCH_PSQL", "psql"))
    if program is None:
        raise SystemExit("there is no program psql")

    def read(query: str) -> None:
        copy = f"copy ({query}) to stdout (format binary)"
        for dsn in dsns:
            command = [program, "-XqAt", "-c", copy]
            # Not as an argument: everybody may see those.
            subprocess.run(
                command, env=os.environ | _libpq(dsn), stdout=subprocess.DEVNULL, check=True
            )

    return read


def pgmagic(as_: Literal["pandas", "arrow"]) -> Prepare:
    """Ask all databases at once, through the pools of a client."""

    def prepare(dsns: Sequence[str]) -> Read:
        from pgmagic import Client
        from pgmagic.database.settings import DatabaseSettings

        names = [f"db{number}" for number in range(len(dsns))]
        os.environ |= {f"BENCH_{name}": dsn for name, dsn in zip(names, dsns, strict=True)}
        client = Client()
        client.databases |= {
            name: DatabaseSettings(name=name, dsn_env=f"BENCH_{name}") for name in names
        }
        loop = asyncio.new_event_loop()
        return lambda query: loop.run_until_complete(client.query(query, on=names, as_=as_))

    return prepare


def asyncpg_records(dsns: Sequence[str]) -> Read:
    import asyncpg
    import pandas as pd

    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(dsns[0]))

    async def read(query: str) -> Any:
        statement = await connection.prepare(query)
        names = [attribute.name for attribute in statement.get_attributes()]
        return pd.DataFrame(await statement.fetch(), columns=names)

    return lambda query: loop.run_until_complete(read(query))


def psycopg3(dsns: Sequence[str]) -> Read:
    import pandas as pd
    import psycopg

    cursor = psycopg.connect(dsns[0], autocommit=True).cursor(binary=True)

    def read(query: str) -> Any:
        cursor.execute(query)
        names = [column.name for column in cursor.description or ()]
        return pd.DataFrame(cursor.fetchall(), columns=names)

    return read


def connectorx(returns: str) -> Prepare:
    def prepare(dsns: Sequence[str]) -> Read:
        import connectorx as cx

        return lambda query: cx.read_sql(dsns[0], query, return_type=returns)

    return prepare


def adbc(fetch: str) -> Prepare:
    def prepare(dsns: Sequence[str]) -> Read:
        from adbc_driver_postgresql import dbapi

        cursor = dbapi.connect(dsns[0]).cursor()

        def read(query: str) -> Any:
            cursor.execute(query)
            return getattr(cursor, fetch)()

        return read

    return prepare


def polars_uri(dsns: Sequence[str]) -> Read:
    import polars

    return lambda query: polars.read_database_uri(query, dsns[0])


def pandas_read_sql(dsns: Sequence[str]) -> Read:
    import pandas as pd
    import sqlalchemy

    connection = sqlalchemy.create_engine(_sqlalchemy(dsns[0])).connect()
    return lambda query: pd.read_sql(sqlalchemy.text(query), connection)


def jupysql(dsns: Sequence[str]) -> Read:
    from IPython.core.interactiveshell import InteractiveShell

    os.environ |= {"DATABASE_URL": _sqlalchemy(dsns[0]), "PLOOMBER_STATS_ENABLED": "false"}
    shell = InteractiveShell.instance()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        shell.run_line_magic("load_ext", "sql")
        shell.run_line_magic("config", "SqlMagic.autopandas = True")
        shell.run_line_magic("config", "SqlMagic.feedback = 0")

    def read(query: str) -> Any:
        with contextlib.redirect_stdout(said):
            return shell.run_cell_magic("sql", "", query)

    return read


def _sqlalchemy(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg2://")


def _libpq(dsn: str) -> dict[str, str]:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(dsn)
    return {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
    }


LIMIT = "psql"
CONTENDERS = {
    LIMIT: Contender(prepare=psql),
    "pgmagic, Arrow": Contender(prepare=pgmagic("arrow"), packages=("asyncpg", "pyarrow")),
    "pgmagic, pandas": Contender(prepare=pgmagic("pandas"), packages=("pandas",)),
    "ADBC, Arrow": Contender(
        prepare=adbc("fetch_arrow_table"), packages=("adbc-driver-postgresql",)
    ),
    "ADBC, pandas": Contender(prepare=adbc("fetch_df")),
    "ConnectorX, Arrow": Contender(prepare=connectorx("arrow"), packages=("connectorx",)),
    "ConnectorX, pandas": Contender(prepare=connectorx("pandas")),
    "polars.read_database_uri": Contender(prepare=polars_uri, packages=("polars",)),
    "psycopg 3, pandas": Contender(prepare=psycopg3, packages=("psycopg",), slow=True),
    "asyncpg records, pandas": Contender(prepare=asyncpg_records, slow=True),
    "pandas.read_sql": Contender(
        prepare=pandas_read_sql, packages=("sqlalchemy", "psycopg2-binary"), slow=True
    ),
    "JupySQL, pandas": Contender(prepare=jupysql, packages=("jupysql",), slow=True),
}


def measure(read: Read, query: str, repeats: int) -> dict[str, Any]:
    """Read `repeats` times; see the top of the file."""
    times = []
    gc.collect()
    before = _forget_peak()
    kept = None
    for _ in range(repeats):
        started = time.perf_counter()
        kept = read(query)
        times.append(time.perf_counter() - started)
    peak = _peak() - before
    size, rows = _size(kept), None if kept is None else len(kept)
    return {"seconds": statistics.median(times), "peak": peak, "size": size, "rows": rows}


def _forget_peak() -> int:
    """Begin to watch the peak of resident memory; give where it stands, in bytes."""
    with contextlib.suppress(OSError):  # only Linux has it, and not every container
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _size(value: Any) -> int | None:
    if hasattr(value, "memory_usage"):
        return int(value.memory_usage(index=True, deep=True).sum())
    if hasattr(value, "estimated_size"):
        return int(value.estimated_size())
    return getattr(value, "nbytes", None)


def main() -> None:
    """Run the contender that the command line names."""
    task = json.load(sys.stdin)
    read = CONTENDERS[sys.argv[1]].prepare(task["dsns"])
    read(task["warm_up"])
    print(json.dumps(measure(read, task["query"], task["repeats"])), flush=True)
    os._exit(0)  # taking the result apart again is no part of the race


if __name__ == "__main__":
    main()
