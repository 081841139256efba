"""What a database that is down costs the living ones.

    python benchmarks/outage.py [--cells 50] [--rounds 20]

Starts two servers of its own. Fifty cells at a time ask two living databases; then the same, while
as many cells ask a third that is down, first by refusing and then by not answering at all. Prints
the living ones' p50 and p99 in milliseconds, the p99 also as a ratio to that without the third.
"""

import argparse
import asyncio
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pgmagic import Client, DatabaseSettings, PgMagicError
from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

LABELS = {None: "two living", "refuses": "and one that refuses", "silent": "and one silent"}
SQL = "select n, md5(n::text) from generate_series(1, 20) n"


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what a dead database costs the living ones")
    parser.add_argument("--cells", type=int, default=50, help="cells at the same time")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    binaries = find_binaries()
    with Server(binaries=binaries) as one, Server(binaries=binaries) as two, deaf() as port:
        async with Client() as pg:
            for name, server in (("one", one), ("two", two)):
                await pg.add(
                    DatabaseSettings(
                        name=name,
                        host=server.host,
                        port=server.port,
                        user=server.user,
                        database="postgres",
                        password=lambda server=server: server.password,
                    )
                )
            for name, dead_port in (("refuses", 1), ("silent", port)):
                await pg.add(
                    DatabaseSettings(
                        name=name,
                        host="127.0.0.1",
                        port=dead_port,
                        user="nobody",
                        database="none",
                        connect_timeout=2.0,
                        fail_max=5,
                        sslmode="disable",
                        password=lambda: "none",
                    )
                )
            await round_of(pg, options.cells, None)
            # Alternating, because the machine may be slower now than it was a minute ago.
            times: dict[str | None, list[float]] = {None: [], "refuses": [], "silent": []}
            for _ in range(options.rounds):
                for down in times:
                    times[down] += await round_of(pg, options.cells, down)
    alone = percentile(times[None], 0.99)
    print(f"{options.cells} cells at a time, {options.rounds} rounds: p50, p99 in ms, ratio of p99")
    for down, values in times.items():
        label = LABELS[down]
        p99 = percentile(values, 0.99)
        print(f"{label:>20} {statistics.median(values):8.1f} {p99:8.1f} {p99 / alone:6.2f}")


async def round_of(pg: Client, cells: int, down: str | None) -> list[float]:
    """Run cells on the living, in turn, and as many on the dead; milliseconds of the living."""
    doomed = [asyncio.create_task(ignored(pg, down)) for _ in range(cells)] if down else []
    living = [timed(pg, ("one", "two")[n % 2]) for n in range(cells)]
    times = await asyncio.gather(*living)
    for task in doomed:
        task.cancel()
    await asyncio.gather(*doomed, return_exceptions=True)
    return times


async def timed(pg: Client, name: str) -> float:
    """Run one cell; give its milliseconds."""
    started = time.perf_counter()
    await pg.query(SQL, on=name)
    return (time.perf_counter() - started) * 1000


async def ignored(pg: Client, name: str) -> None:
    """Ask a database that can't answer."""
    with suppress(PgMagicError):
        await pg.query(SQL, on=name)


@contextmanager
def deaf() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield listener.getsockname()[1]


def percentile(values: list[float], share: float) -> float:
    """Give the value that this share of all stays below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    asyncio.run(main())
