"""What a `%%pg` cell costs over the same asyncpg call on a connection that is held already.

    python benchmarks/overhead.py [--cells 300]

Starts a server of its own and a real ipykernel, and runs cells in it, in alternation: the same
`select` of 20 rows by `await connection.fetch(…)` and by `%%pg`, on one database and on three.
Prints medians in milliseconds and the differences, twice: of the awaited call alone, again and
again in one cell, and of whole cells, one message each, by the kernel's own clock from the start
of a cell to its reply. The second holds what the kernel does for any cell, with cold caches: it
is what somebody at a notebook waits for.
"""

import argparse
import ast
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client import KernelManager
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.jsonutil import parse_date

from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

SQL = "select n, n * 1.5 as x, 'row ' || n as t from generate_series(1, 20) n"
DATABASES = ("one", "two", "three")
KINDS = {
    "asyncpg": f"rows = await connection.fetch({SQL!r})",
    "%%pg, one": f"%%pg one\nrows << {SQL}",
    "%%pg, three": f"%%pg one two three\nrows << {SQL}",
}
ASSIGNED = f"rows << {SQL}"
CALLS = f"""
import statistics, time
run = get_ipython().pgmagic.cell
async def once(kind):
    started = time.perf_counter()
    if kind == "asyncpg":
        await connection.fetch({SQL!r})
    elif kind == "%%pg, one":
        await run("one", {ASSIGNED!r})
    else:
        await run("one two three", {ASSIGNED!r})
    return (time.perf_counter() - started) * 1000
times = {{kind: [] for kind in {tuple(KINDS)!r}}}
for other in tuple(times)[1:]:
    for _ in range(CELLS):
        for kind in ("asyncpg", other):
            times[kind].append(await once(kind))
print({{kind: statistics.median(values) for kind, values in times.items()}})
"""
WARM_UP = 20  # cells of each kind that are not counted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="the overhead of a %%pg cell over asyncpg's own")
    parser.add_argument("--cells", type=int, default=300, help="cells of each kind")
    for what, medians in measure(parser.parse_args().cells).items():
        print(f"median of {what}, and over asyncpg's, in ms")
        for kind, median in medians.items():
            print(f"{kind:>12} {median:7.2f} {median - medians['asyncpg']:+7.2f}")


def measure(cells: int) -> dict[str, dict[str, float]]:
    """Run cells of each kind in alternation; give the median milliseconds of each."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with Server(binaries=find_binaries()) as server, tempfile.TemporaryDirectory() as folder:
        lines = [f'[databases.{name}]\ndsn_env = "BENCH_DSN"\n' for name in DATABASES]
        Path(folder, "pgmagic.toml").write_text("".join(lines))
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=folder, env=os.environ | {"BENCH_DSN": server.dsn()})
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        try:
            run(client, "%load_ext pgmagic")
            run(client, f"import asyncpg\nconnection = await asyncpg.connect({server.dsn()!r})")
            for turn in range(WARM_UP + cells):
                for kind, cell in KINDS.items():
                    took = run(client, cell)
                    if turn >= WARM_UP:
                        times[kind].append(took)
            run(client, f"CELLS = {cells}")
            calls = printed(client, CALLS)
        finally:
            client.stop_channels()
            manager.shutdown_kernel()
    whole = {kind: statistics.median(values) for kind, values in times.items()}
    return {"the awaited call": calls, "a whole cell": whole}


def printed(client: BlockingKernelClient, cell: str) -> dict[str, float]:
    """Run a cell and read the value that it prints."""
    text: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            text.append(message["content"]["text"])

    reply = client.execute_interactive(cell, output_hook=keep, timeout=120)
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"]["traceback"]))
    return dict(ast.literal_eval("".join(text)))


def run(client: BlockingKernelClient, cell: str) -> float:
    """Run a cell; give the milliseconds that the kernel says it took."""
    request = client.execute(cell, store_history=False)
    while True:
        reply = client.get_shell_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == request:
            break
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"]["traceback"]))
    took = reply["header"]["date"] - parse_date(reply["metadata"]["started"])
    return float(took.total_seconds() * 1000)


if __name__ == "__main__":
    main()
