"""`python -m tests.soak.resources [--report]`: what grows with use, and how far."""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pgmagic.sandbox.server import Server
from tests.kernels import Kernel, configure, start_kernel
from tests.servers import TestDatabase
from tests.soak.measures import (
    PLAIN,
    Use,
    guarded,
    hundred_databases,
    hundred_in_a_notebook,
    many_cells,
    many_reloads,
    opened_and_closed,
)
from tests.soak.report import conditions, put


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
def _kernel(**databases: TestDatabase) -> Iterator[Kernel]:
    with tempfile.TemporaryDirectory() as folder:
        kernel = start_kernel(Path(folder), configure(Path(folder), **databases))
        try:
            yield kernel
        finally:
            kernel.shutdown()


@contextmanager
def _loaded(database: TestDatabase) -> Iterator[Kernel]:
    with _kernel(a=database, b=database) as kernel:
        kernel.run("%load_ext pgmagic").ok()
        yield kernel


def _of_kernels(database: TestDatabase) -> Iterator[str]:
    yield "| after | memory | files | threads | tasks | samples kept | objects of ours |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    cells, times = (100, 500, 1000), (5, 50, 100)
    with _loaded(database) as kernel:
        yield from _rows("cells", cells, many_cells(kernel, cells))
    with _loaded(database) as kernel:
        yield from _rows("plain cells with a frame", cells, many_cells(kernel, cells, PLAIN))
    with _loaded(database) as kernel:
        yield from _rows("times `%reload_ext`", times, many_reloads(kernel, times))


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
    yield "| 100 databases configured | |"
    yield "|---|--:|"
    with _kernel(**{f"shard_{number:03}": database for number in range(100)}) as kernel:
        found = hundred_in_a_notebook(kernel)
    for what, value in (found | asyncio.run(hundred_databases(database))).items():
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
