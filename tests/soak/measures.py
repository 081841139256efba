"""What a process holds, and how long it takes: after much use, and with many databases.

Each function measures one thing at any size: the tests take small ones, the report large ones.
"""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from pgmagic import Client, DatabaseSettings, ResultTooLarge
from tests.kernels import Kernel
from tests.servers import TestDatabase
from tests.soak.leaks import Footprint

__all__ = [
    "CELLS",
    "PLAIN",
    "Use",
    "guarded",
    "hundred_databases",
    "hundred_in_a_notebook",
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

PLAIN = ("import pandas; pandas.DataFrame({'n': range(20), 'x': ['x' * 32] * 20})",)


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


def many_cells(kernel: Kernel, counts: Sequence[int], cells: Sequence[str] = CELLS) -> list[Use]:
    """Run cells in a kernel, in turns; give what it holds after so many of them."""
    kernel.run(PREPARE).ok()
    kernel.run("number = 1").ok()
    uses = []
    for number in range(1, max(counts) + 1):
        kernel.run(cells[number % len(cells)])
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
            "from Python: to configure them": configured - started,
            "connections that are open when ten were asked": few,
            "connections that are open when all were asked": sum(
                each.size for each in pg.statistics()
            ),
            "from Python: all, for the first time": all_once - asked,
            "from Python: all, once more": all_twice - all_once,
        }


def hundred_in_a_notebook(kernel: Kernel) -> dict[str, float]:
    """Use what shows the databases, of which there are many; give seconds.

    The kernel has not loaded pgmagic yet.
    """
    code = "%%pg "
    steps = {
        "`%load_ext`": "%load_ext pgmagic",
        "`%pg_connect`, which lists them": "%pg_connect",
        "a cell on ten of them, for the first time": "%%pg shard_00*\nselect 1 as one",
        "the same once more": "%%pg shard_00*\nselect 1 as one",
        "`%pg_pools` with ten open": "%pg_pools",
        "a cell on all, for the first time": "%%pg *\nselect 1 as one",
        "the same on all": "%%pg *\nselect 1 as one",
        "`%pg_pools` with all open": "%pg_pools",
    }
    found = {what: kernel.run(cell).ok().seconds for what, cell in steps.items()}
    started = time.perf_counter()
    request = kernel.send("complete_request", {"code": code, "cursor_pos": len(code)})
    matches = kernel.reply(request)["content"]["matches"]
    found["Tab after `%%pg`"] = time.perf_counter() - started
    assert "shard_042" in matches
    return found


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
