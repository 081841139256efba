"""`python -m tests.soak.resources [--report]`: what grows with use, and how far.

Each function measures one thing at any size: the tests take small ones, the report large ones.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pgmagic import Client, DatabaseSettings, ResultTooLarge
from pgmagic.sandbox.server import Server
from tests.kernels import Kernel, configure, start_kernel
from tests.servers import TestDatabase
from tests.soak.leaks import Footprint
from tests.soak.report import conditions, put

__all__ = [
    "Use",
    "guarded",
    "hundred_databases",
    "many_cells",
    "many_reloads",
    "opened_and_closed",
    "settings_of",
]

# What a kernel holds. Of the objects, those of pgmagic and of asyncpg are counted by their class.
PREPARE = """
import asyncio, collections, gc, psutil, threading
def _use():
    gc.collect()
    process, shell = psutil.Process(), get_ipython()
    classes = [type(each) for each in gc.get_objects()]
    counts = collections.Counter(
        f"{each.__module__}.{each.__qualname__}" for each in classes
        if str(each.__module__).split(".")[0] in ("pgmagic", "asyncpg")
    )
    return {
        "memory": process.memory_info().rss,
        "files": process.num_fds(),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks(shell.pgmagic.home.loop)),
        "samples": max([len(shell.pgmagic.client.history(name)) for name in "ab"]),
        "objects": dict(counts),
    }
"""

# One of each: a frame kept by IPython, one in a variable, a fan-out, a mistake, a session, a panel.
CELLS = (
    "%%pg a\nselect n, md5(n::text) from generate_series(1, 20) n",
    "x = %pg b select {number} as n",
    "%%pg a b --into frame\nselect n from generate_series(1, 20) n",
    "%pg a select 1 / 0",
    "%%pg a --session s\nselect count(*) from pg_class",
    "%pg_pools",
    "%%pg a b --stats\nshow work_mem",
    "%pg b select * from nowhere",
    "kept << %pg a select 1",
    "%%pg b --timeout 5\nselect pg_sleep(0.001)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a process holds: bytes, and counts."""

    memory: int
    files: int
    threads: int
    tasks: int
    samples: int
    objects: Counter[str]

    @classmethod
    def of(cls, kernel: Kernel) -> "Use":
        found = kernel.value("_use()")
        return cls(**found | {"objects": Counter(found["objects"])})

    def grown(self, before: "Use", *, least: int) -> dict[str, int]:
        """Give the classes of which there are at least so many objects more than `before`."""
        more = {name: count - before.objects[name] for name, count in self.objects.items()}
        return {name: count for name, count in more.items() if count >= least}


def many_cells(kernel: Kernel, counts: Sequence[int]) -> list[Use]:
    """Run cells in a kernel; give what it holds after so many of them."""
    kernel.run(PREPARE).ok()
    kernel.run("number = 1").ok()
    uses = []
    for number in range(1, max(counts) + 1):
        kernel.run(CELLS[number % len(CELLS)])
        if number in counts:
            kernel.settle()
            uses.append(Use.of(kernel))
    return uses


def many_reloads(kernel: Kernel, counts: Sequence[int]) -> list[Use]:
    """Load the extension anew, use it, and give what the kernel holds after so many times."""
    kernel.run(PREPARE).ok()
    uses = []
    for number in range(1, max(counts) + 1):
        kernel.run("%reload_ext pgmagic").ok()
        kernel.run("%%pg a b\nselect 1").ok()
        if number in counts:
            kernel.settle()
            uses.append(Use.of(kernel))
    return uses


def settings_of(name: str, database: TestDatabase) -> DatabaseSettings:
    return DatabaseSettings(
        name=name,
        host=database.host,
        port=database.port,
        user=database.user,
        database=database.name,
        password=lambda: database.password,
    )


async def opened_and_closed(
    database: TestDatabase, counts: Sequence[int]
) -> list[tuple[int, Footprint]]:
    """Open clients one after the other, ask, close; give the memory and the rest after each."""
    found = []
    for number in range(1, max(counts) + 1):
        async with Client() as pg:
            await pg.add(settings_of("a", database))
            await asyncio.gather(*(pg.query("select 1", on="a") for _ in range(3)))
        if number in counts:
            found.append((psutil.Process().memory_info().rss, Footprint.now()))
    return found


async def hundred_databases(database: TestDatabase, count: int = 100) -> dict[str, float]:
    """Configure many databases and ask few and all of them; give seconds and connections."""
    async with Client() as pg:
        started = time.perf_counter()
        for number in range(count):
            await pg.add(settings_of(f"shard_{number:03}", database))
        configured = time.perf_counter()
        assert pg.statistics() == (), "nothing is opened before it is asked"
        await pg.query("select 1 as one", on="shard_00*")
        few = sum(each.size for each in pg.statistics())
        asked = time.perf_counter()
        first = await pg.query("select 1 as one", on="*")
        all_once = time.perf_counter()
        again = await pg.query("select 1 as one", on="*")
        all_twice = time.perf_counter()
        assert len(first) == len(again) == count
        return {
            "to configure": configured - started,
            "connections of ten": few,
            "connections of all": sum(each.size for each in pg.statistics()),
            "all, for the first time": all_once - asked,
            "all, once more": all_twice - all_once,
        }


async def guarded(database: TestDatabase, *, result: int, allowed: int) -> dict[str, float]:
    """Ask for more bytes than are allowed; give seconds, peak memory, what is left running."""
    sql = "select n, repeat('x', 1000) as x from generate_series(1, {rows}) n"
    async with Client(max_result_bytes=allowed) as pg:
        await pg.add(settings_of("a", database))
        await pg.query(sql, on="a", values={"rows": 1000})
        before, started = _peak(), time.perf_counter()
        try:
            await pg.query(sql, on="a", values={"rows": result // 1000})
        except ResultTooLarge:
            elapsed = time.perf_counter() - started
        else:
            raise AssertionError("it was not stopped")
        async with database.connection() as connection:
            active = await connection.fetchval(
                "select count(*) from pg_stat_activity where state = 'active'"
                " and application_name like 'pgmagic/%'"
            )
        await pg.query("select 1", on="a")
        return {"seconds": elapsed, "peak": _peak() - before, "running": active}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- the report


@contextmanager
def _database(server: Server) -> Iterator[TestDatabase]:
    yield TestDatabase(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        name="postgres",
    )


@contextmanager
def _kernel(database: TestDatabase) -> Iterator[Kernel]:
    with tempfile.TemporaryDirectory() as folder:
        kernel = start_kernel(Path(folder), configure(Path(folder), a=database, b=database))
        try:
            kernel.run("%load_ext pgmagic").ok()
            yield kernel
        finally:
            kernel.shutdown()


def _of_kernels(database: TestDatabase) -> Iterator[str]:
    yield "| in one kernel | memory | files | threads | tasks | samples kept | objects of ours |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    with _kernel(database) as kernel:
        yield from _rows("cells", (100, 500, 1000), many_cells(kernel, (100, 500, 1000)))
    with _kernel(database) as kernel:
        yield from _rows("`%reload_ext`", (5, 50, 100), many_reloads(kernel, (5, 50, 100)))


def _rows(what: str, counts: Sequence[int], uses: Sequence[Use]) -> Iterator[str]:
    for count, use in zip(counts, uses, strict=True):
        yield (
            f"| {count:,} {what} | {use.memory / 1e6:.0f} MB | {use.files} | {use.threads} "
            f"| {use.tasks} | {use.samples} | {use.objects.total():,} |"
        )
    grown = uses[-1].grown(uses[0], least=20)
    if grown:
        print("grown:", what, grown, file=sys.stderr)


def _of_clients(database: TestDatabase) -> Iterator[str]:
    counts = (10, 50, 100)
    yield "| a client opened, asked and closed | memory | files | threads | tasks |"
    yield "|---|--:|--:|--:|--:|"
    found = asyncio.run(opened_and_closed(database, counts))
    for count, (memory, rest) in zip(counts, found, strict=True):
        yield (
            f"| {count} times | {memory / 1e6:.0f} MB | {rest.files} | {rest.threads} "
            f"| {rest.tasks} |"
        )


def _of_databases(database: TestDatabase) -> Iterator[str]:
    found = asyncio.run(hundred_databases(database))
    yield "| 100 databases configured | |"
    yield "|---|--:|"
    for what, value in found.items():
        number = f"{value:g}" if isinstance(value, int) else f"{value * 1e3:.0f} ms"
        yield f"| {what} | {number} |"


def _of_the_guard(database: TestDatabase) -> Iterator[str]:
    found = asyncio.run(guarded(database, result=2_000_000_000, allowed=100_000_000))
    yield "| 2 GB asked for, 100 MB allowed | |"
    yield "|---|--:|"
    yield f"| stopped after | {found['seconds']:.2f} s |"
    yield f"| memory at its peak, beyond what it was before | {found['peak'] / 1e6:.0f} MB |"
    yield f"| statements left running on the server | {found['running']:g} |"


PARTS = {
    "kernels": _of_kernels,
    "clients": _of_clients,
    "databases": _of_databases,
    "guard": _of_the_guard,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.resources", description=__doc__)
    parser.add_argument("--report", action="store_true", help="write it into the documentation")
    parser.add_argument("--part", choices=PARTS, help="measure this one only, and print it")
    options = parser.parse_args()
    if options.part is not None:
        with Server() as server, _database(server) as database:
            print("\n".join(PARTS[options.part](database)))
        return
    command = [sys.executable, "-m", "tests.soak.resources", "--part"]
    # Each in a process of its own: the memory of one would be counted with the next.
    parts = [
        subprocess.run([*command, part], stdout=subprocess.PIPE, text=True, check=True).stdout
        for part in PARTS
    ]
    with Server() as server:
        major = server.binaries.major
    text = "\n\n".join(
        [conditions("python -m tests.soak.resources", major), *map(str.strip, parts)]
    )
    print(text)
    if options.report:
        put("resources", text)


if __name__ == "__main__":
    main()
