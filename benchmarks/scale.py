"""What workers of Dask read per second, and what that means for a terabyte.

    python benchmarks/scale.py [--scale 1] [--workers 1 2 4] [--write]

Starts a server with three databases, spreads TPC-H's lineitem over them, and reads it with clusters
of several sizes. `--write` puts the tables and the arithmetic into docs/scale.md.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
from bench_tables import LINEITEM

from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

DATABASES = ("north", "south", "west")
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
PARTITIONS = 8  # of each database
EMPTY_PARTITIONS = 100
MEGA, TERA = 1e6, 1e12
TARGETS, NETWORK = 100, 10e9 / 8  # databases; bytes per second of a link


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one size of cluster did. Times are in seconds."""

    workers: int
    read: float
    grouped: float
    written: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What the arithmetic is made of. Rates are bytes of the wire per second."""

    rows: int
    wire: int  # bytes of all rows
    parquet: int  # bytes of the files
    server_one: float  # of one connection, when nobody decodes
    server_two: float  # of two connections
    worker: float  # of one worker process of one thread
    empty: float  # seconds that a partition without rows takes one worker
    planning: float  # seconds until the frame is there
    memory: tuple[int, int]  # the asking process's peak: a tenth of the rows, and all


def main() -> None:
    """Measure, print, and write the page if told."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="TPC-H's scale factor")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--write", action="store_true", help="put the result into docs/scale.md")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder), options.scale) as dsns:
        wire, one, two = asyncio.run(served(dsns))
        runs, parquet = [], 0
        for workers in options.workers:
            run, parquet = measured(workers, Path(folder))
            runs.append(run)
            print(asdict(run), flush=True)
        empty, planning = overhead()
        constants = Constants(
            rows=asyncio.run(counted(dsns)),
            wire=wire,
            parquet=parquet,
            server_one=one,
            server_two=two,
            worker=wire / next(run.read for run in runs if run.workers == min(options.workers)),
            empty=empty,
            planning=planning,
            memory=(peak("lineitem_tenth"), peak("lineitem")),
        )
    print(asdict(constants))
    text = report(constants, runs, load)
    print(text)
    if options.write:
        before, mark, rest = PAGE.read_text().partition("<!-- measured: ")
        head, _, rest = rest.partition("\n")
        _, end, after = rest.partition("<!-- /measured -->")
        PAGE.write_text(f"{before}{mark}{head}\n{text}{end}{after}")


@contextmanager
def databases(folder: Path, scale: float) -> Iterator[dict[str, str]]:
    """Start a server, fill its databases, and say in the environment where they are."""
    with Server(binaries=find_binaries(), settings={"fsync": "off"}) as server:
        dsns = {name: server.dsn(name) for name in DATABASES}
        asyncio.run(fill(server, dsns, scale, folder))
        lines = [f'[databases.{name}]\ndsn_env = "{name.upper()}_DSN"\n' for name in dsns]
        lines.append("[defaults]\nstatement_timeout = 600\n")
        (folder / "pgmagic.toml").write_text("".join(lines))
        os.environ["PGMAGIC_CONFIG"] = str(folder / "pgmagic.toml")
        os.environ.update({f"{name.upper()}_DSN": dsn for name, dsn in dsns.items()})
        yield dsns


async def fill(server: Server, dsns: dict[str, str], scale: float, folder: Path) -> None:
    """Give each database every third order, and a table of a tenth of them."""
    administrator = await asyncpg.connect(server.dsn())
    program = Path(sys.executable).with_name("tpchgen-cli")
    for number, (name, dsn) in enumerate(dsns.items(), 1):
        await administrator.execute(f"create database {name}")
        connection = await asyncpg.connect(dsn)
        await connection.execute(LINEITEM)
        command = [program, "csv", "--scale-factor", scale, "--tables", "lineitem", "--stdout"]
        command += ["--parts", len(dsns), "--part", number]
        file = folder / f"{name}.csv"
        with file.open("wb") as rows:
            words = [str(word) for word in command]
            await asyncio.to_thread(
                subprocess.run, words, stdout=rows, stderr=subprocess.DEVNULL, check=True
            )
        await connection.copy_to_table("lineitem", source=file, format="csv", header=True)
        file.unlink()
        await connection.execute("create index on lineitem (l_orderkey)")
        await connection.execute(
            "create unlogged table lineitem_tenth as "
            "select * from lineitem where l_orderkey / 8 % 10 = 0"
        )
        await connection.execute("vacuum (freeze, analyze)")
        await connection.close()
    await administrator.close()


async def counted(dsns: dict[str, str]) -> int:
    """Count the rows of all databases."""
    total = 0
    for dsn in dsns.values():
        connection = await asyncpg.connect(dsn)
        total += await connection.fetchval("select count(*) from lineitem")
        await connection.close()
    return total


async def served(dsns: dict[str, str]) -> tuple[int, float, float]:
    """Let the server send all rows to nobody; give the bytes, and the rates of 1 and 2 senders."""
    sent = 0

    async def take(data: bytes) -> None:
        nonlocal sent
        sent += len(data)

    async def send(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        await connection.copy_from_query("select * from lineitem", output=take, format="binary")
        await connection.close()

    started = time.perf_counter()
    for dsn in dsns.values():
        await send(dsn)
    one = sent / (time.perf_counter() - started)
    whole, sent = sent, 0
    started = time.perf_counter()
    await asyncio.gather(*(send(dsn) for dsn in list(dsns.values())[:2]))
    return whole, one, sent / (time.perf_counter() - started)


@contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """Start so many worker processes of one thread each."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as processes,
        Client(processes) as client,
    ):
        yield client


def lineitem(partitions: int = PARTITIONS, where: str = "true", table: str = "lineitem") -> Any:
    """Plan to read all rows."""
    import pgmagic.dask

    return pgmagic.dask.read(
        f"select * from {table} where {where}", on=DATABASES, partitions=partitions
    )


def timed(work: Callable[[], Any]) -> float:
    """Give the seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured(workers: int, folder: Path) -> tuple[Run, int]:
    """Read, group and write with a cluster of this size; give the times and the files' bytes."""
    with cluster(workers) as client:
        client.compute(lineitem(where="l_orderkey < 0").map_partitions(len), sync=True)  # imports
        files = folder / f"by_{workers}"
        run = Run(
            workers=workers,
            read=timed(lambda: lineitem().map_partitions(len, meta=("n", int)).sum().compute()),
            grouped=timed(
                lambda: (
                    lineitem()
                    .groupby(["l_returnflag", "l_linestatus"])[["l_quantity", "l_tax"]]
                    .sum()
                    .compute()
                )
            ),
            written=timed(lambda: lineitem().to_parquet(files)),
        )
        return run, sum(file.stat().st_size for file in files.glob("*.parquet"))


def overhead() -> tuple[float, float]:
    """Give the seconds of one partition without rows on one worker, and of planning."""
    with cluster(1):
        planning = timed(lambda: lineitem())
        frame = lineitem(partitions=EMPTY_PARTITIONS, where="l_orderkey < 0")
        frame["l_tax"].count().compute()
        took = timed(lambda: frame["l_tax"].count().compute())
        return took / frame.npartitions, planning


def peak(table: str) -> int:
    """Give the peak memory, in bytes, of a process that lets two workers group a table."""
    code = f"import scale; scale.group_and_tell({table!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return int(done.stdout.split()[-1])


def group_and_tell(table: str) -> None:
    """Group a table and print the bytes that this process took at most."""
    with cluster(2):
        lineitem(table=table).groupby("l_shipmode")["l_tax"].mean().compute()
    # On Linux, ru_maxrss is the parent's where that is larger.
    status = Path("/proc/self/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    print(int(kilobytes) * 1024)


def report(constants: Constants, runs: list[Run], load: float) -> str:
    """Write the section of the page."""
    wire = constants.wire / MEGA
    about = (
        f"TPC-H's lineitem, {constants.rows:,} rows of 16 columns, {wire:,.0f} MB on the wire,\n"
        f"over three databases of one server, in {PARTITIONS} partitions each. Workers are\n"
        f"processes of one thread, on the server's own machine of {os.cpu_count()} cores, whose\n"
        f"load was {load:.1f} before."
    )
    lines = [
        about,
        "",
        "| workers | read | | grouped, 4 of 16 columns | written to Parquet | |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        rates = [f"{constants.rows / seconds / MEGA:.2f} M rows/s" for seconds in (run.read,)]
        lines.append(
            f"| {run.workers} | {run.read:.1f} s | {rates[0]}, {wire / run.read:.0f} MB/s | "
            f"{run.grouped:.1f} s | {run.written:.1f} s | {wire / run.written:.0f} MB/s |"
        )
    tenth, whole = (size / MEGA for size in constants.memory)
    lines += [
        "",
        "| measured | |",
        "|---|---|",
        f"| a server sends to one connection | {constants.server_one / MEGA:.0f} MB/s |",
        f"| a server sends to two | {constants.server_two / MEGA:.0f} MB/s |",
        f"| one worker reads, into pandas | {constants.worker / MEGA:.0f} MB/s |",
        f"| a partition without rows takes | {constants.empty * 1e3:.0f} ms of a worker |",
        f"| planning takes | {constants.planning * 1e3:.0f} ms |",
        f"| Parquet's size, to the wire's | {constants.parquet / constants.wire:.2f} |",
        f"| peak memory of the asking process, for a tenth of the rows | {tenth:.0f} MB |",
        f"| the same for all of them | {whole:.0f} MB |",
        "",
        *arithmetic(constants),
        "",
    ]
    return "\n".join(lines)


def arithmetic(constants: Constants) -> list[str]:
    """Say what a terabyte in a hundred databases takes, and what limits it."""
    each = TERA / TARGETS
    servers = each / constants.server_two
    work = TERA / constants.worker
    balanced = work / servers
    partitions = TERA / 100e6
    network = TERA / NETWORK
    own = partitions * constants.empty
    link = (
        "the servers are slower, so one link is enough."
        if network < servers
        else f"longer than the servers need, so it takes {network / servers:.0f} such links to "
        "keep up with them all."
    )
    sending, reading = constants.server_two / MEGA, constants.worker / MEGA
    points = [
        (
            f"*Servers.* Each sends its {each / 1e9:.0f} GB at {sending:.0f} MB/s in "
            f"{minutes(servers)}, all at the same time, where each has cores like this one's. More "
            f"connections than a server has idle cores add nothing."
        ),
        (
            f"*Workers.* 1 TB at {reading:.0f} MB/s is {work / 3600:.1f} hours of one worker. "
            f"{balanced:.0f} workers keep up with {TARGETS} servers; {balanced / 10:.0f} take ten "
            f"times as long, {minutes(servers * 10)}."
        ),
        f"*Network.* Through one link of 10 Gbit/s a terabyte takes {minutes(network)}: {link}",
        (
            f"*Partitions.* Of 100 MB there are {partitions:,.0f}. Their own cost, "
            f"{constants.empty * 1e3:.0f} ms each, is {own / 60:.1f} minutes of one worker in all, "
            f"{100 * own / work:.1f} % of the reading."
        ),
        f"*Files.* They take {constants.parquet / constants.wire * TERA / 1e9:,.0f} GB.",
    ]
    heading = f"A terabyte on {TARGETS} databases, {each / 1e9:.0f} GB in each, by these constants:"
    return [heading, "", *(f"* {point}" for point in points)]


def minutes(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


if __name__ == "__main__":
    main()
