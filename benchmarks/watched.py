"""What the progress of a running cell costs: the same read with it and without.

    python benchmarks/watched.py [--rounds 21] [--rows 2000000] [--write-docs]

Starts a server of its own and a real ipykernel, which shows the progress as it would in a
notebook, and runs the same cell in alternation with `%config PgMagics.progress` on and off.
Prints the medians of the kernel's own clock and their ratio; the spread of the cells without it
says what could be seen at all.
"""

import argparse
import re
import statistics
from pathlib import Path

from bench_cells import start_kernel
from bench_machine import describe_machine
from overhead import run

from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

DOCS = Path(__file__).parents[1] / "docs" / "performance.md"
BETWEEN = re.compile(r"(<!-- watched: begin -->\n).*?(<!-- watched: end -->)", re.DOTALL)
TABLE = """%%pg one --write --timeout 300
create unlogged table many as
select n, n * 1.5 as x, 'row ' || n as t, now() + n * interval '1 s' as at
from generate_series(1, {rows}) n"""
CELL = "%%pg one\nframe << table many"
MODES = ("off", "on")


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description="what the progress of a running cell costs")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    table = as_table(measure(arguments.rounds, arguments.rows), arguments)
    print(table)
    if arguments.write_docs:
        about = describe_machine("")
        measured = f"Measured {about['day']}, pgmagic {about['pgmagic']}, {about['machine']}."
        text = BETWEEN.sub(
            lambda found: f"{found[1]}\n{measured}\n\n{table}\n\n{found[2]}", DOCS.read_text()
        )
        DOCS.write_text(text)


def measure(rounds: int, rows: int) -> dict[str, list[float]]:
    """Give the milliseconds of all cells, by whether they had a progress."""
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    with (
        Server(binaries=find_binaries()) as server,
        start_kernel(server.dsn("postgres", tcp=True), ("%load_ext pgmagic",)) as kernel,
    ):
        run(kernel, TABLE.format(rows=rows))
        for turn in range(rounds + 1):
            for mode in MODES if turn % 2 else reversed(MODES):
                run(kernel, f"%config PgMagics.progress = '{mode}'")
                took = run(kernel, CELL)
                if turn:
                    times[mode].append(took)
    return times


def as_table(times: dict[str, list[float]], arguments: argparse.Namespace) -> str:
    """Write the medians, their ratio and the spread as Markdown."""
    medians = {mode: statistics.median(values) for mode, values in times.items()}
    first, _, third = statistics.quantiles(times["off"], n=4)
    lines = [
        f"| {arguments.rows:,} rows, median of {arguments.rounds} | ms |",
        "| :-- | --: |",
        *(f"| progress {mode} | {median:,.0f} |" for mode, median in medians.items()),
        f"| on to off | {medians['on'] / medians['off']:.3f} |",
        f"| half of those without it lie between | {first:,.0f} and {third:,.0f} |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
