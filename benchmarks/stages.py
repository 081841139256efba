"""Where the time of a small cell goes: reading it, the database, the frame, the caption, pandas.

    python benchmarks/stages.py [--cells 200] [--write-docs]

Runs a `%%pg` cell of 20 rows again and again in a real ipykernel, shown as somebody at a notebook
has it shown, and prints the median milliseconds of its stages. With `--write-docs` the table goes
into docs/performance.md.
"""

import argparse
import re
import statistics
from pathlib import Path

from bench_cells import start_kernel
from bench_machine import describe_machine
from overhead import printed, run

from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

SQL = "select n, n * 1.5 as x, 'row ' || n as t from generate_series(1, 20) n"
DOCS = Path(__file__).parent.parent / "docs/performance.md"
BETWEEN = re.compile(r"(<!-- stages: begin -->\n).*(<!-- stages: end -->)", re.DOTALL)
WARM_UP = 20  # cells that are not counted

# Each stage is one function; what runs inside another stage is no stage of its own.
WATCH = """
import asyncio, statistics, time
import pgmagic.client, pgmagic.notebook.progress
taken = {}
def watch(owner, name, stage):
    plain = getattr(owner, name)
    def note(started):
        taken.setdefault(stage, []).append((time.perf_counter() - started) * 1000)
    if asyncio.iscoroutinefunction(plain):
        async def watched(*words, **named):
            started = time.perf_counter()
            try:
                return await plain(*words, **named)
            finally:
                note(started)
    else:
        def watched(*words, **named):
            started = time.perf_counter()
            try:
                return plain(*words, **named)
            finally:
                note(started)
    setattr(owner, name, watched)
watch(pgmagic.client.Client, "plan", "reading the cell")
watch(pgmagic.client, "dispatch", "the database: prepare, rows, over the loop")
watch(pgmagic.client, "assemble", "making the frame")
watch(pgmagic.notebook.progress.CellProgress, "conclude", "showing the caption")
class Watched(type(get_ipython().display_formatter)):
    def format(self, value, *words, **named):
        started = time.perf_counter()
        try:
            return super().format(value, *words, **named)
        finally:
            if hasattr(value, "to_html"):
                taken.setdefault("pandas' own display of it", []).append(
                    (time.perf_counter() - started) * 1000)
get_ipython().display_formatter.__class__ = Watched
"""
TAKEN = "print({stage: statistics.median(times) for stage, times in taken.items()})"


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description="where the time of a small cell goes")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    table = as_table(measure(arguments.cells), arguments.cells)
    print(table)
    about = describe_machine("")
    measured = f"Measured {about['day']}, pgmagic {about['pgmagic']}, {about['machine']}."
    if arguments.write_docs:
        text = BETWEEN.sub(
            lambda found: f"{found[1]}\n{measured}\n\n{table}\n\n{found[2]}", DOCS.read_text()
        )
        DOCS.write_text(text)


def measure(cells: int) -> dict[str, float]:
    """Give the median milliseconds of each stage, and of the whole cell."""
    with (
        Server(binaries=find_binaries()) as server,
        start_kernel(server.dsn("postgres", tcp=True), ("%load_ext pgmagic",)) as kernel,
    ):
        for _ in range(WARM_UP):
            run(kernel, f"%%pg one\n{SQL}")
        run(kernel, WATCH)
        whole = statistics.median(run(kernel, f"%%pg one\n{SQL}") for _ in range(cells))
        stages = printed(kernel, TAKEN)
    return {**stages, "the kernel and the rest": whole - sum(stages.values()), "whole": whole}


def as_table(stages: dict[str, float], cells: int) -> str:
    """Write the stages as Markdown."""
    lines = [f"| stage of a cell of 20 rows, median of {cells} | ms |", "| :-- | --: |"]
    lines += [f"| {stage} | {milliseconds:.1f} |" for stage, milliseconds in stages.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
