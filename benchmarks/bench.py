"""From the server to a table in memory: pgmagic beside the other ways.

    make bench SF=0.5
    python benchmarks/bench.py [--sf 0.1] [--rounds 7] [--write-docs]

Starts a server of its own and fills the tables of bench_tables.py. Every contender reads every
table whole over TCP, each time in a fresh process, one after the other, round after round, so
that a busy machine is fair to all. Then one frame of three databases is read at once, beside
psql on one after the other; and cells of 20 rows are run in a kernel. Prints medians, and writes
them to build/bench.json with all single measurements. With `--write-docs` they go into
docs/performance.md as well. What can't run is named, with the reason.
"""

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench_cells import measure_cells
from bench_contenders import CONTENDERS, LIMIT
from bench_machine import describe_machine
from bench_report import as_text, write_docs
from bench_results import Race, verdicts
from bench_tables import DATABASES, TABLES, fill

from pgmagic.sandbox.binaries import find_binaries
from pgmagic.sandbox.server import Server

CONTENDER = Path(__file__).with_name("bench_contenders.py")
BUILD = Path("build/bench.json")
WARM_UP = "select * from small"
SETTINGS = {"shared_buffers": "512MB", "autovacuum": "off", "max_wal_size": "4GB"}
FAN_OUT = (LIMIT, "pgmagic, pandas", "pgmagic, Arrow")


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    with Server(binaries=find_binaries(), settings=SETTINGS) as server:
        inside = server.binaries.bindir / "psql"
        if inside.exists():
            os.environ["BENCH_PSQL"] = str(inside)
        print(
            f"PostgreSQL {server.binaries.version}: filling at scale factor {arguments.sf:g}",
            flush=True,
        )
        rows = asyncio.run(fill(server, arguments.sf))
        dsns = [server.dsn(name, tcp=True) for name in DATABASES]
        contenders = [LIMIT, *(one for one in arguments.only if one != LIMIT)]
        races: dict[str, Race] = {}
        for name in arguments.tables:
            race = races[name] = Race(rows=rows[name], about=TABLES[name].about)
            compete(race, contenders, dsns[:1], name, arguments)
            print(as_text(name, race), flush=True)
        if "fan-out" in arguments.also:
            about = "lineitem of three databases on one server; psql reads one after the other"
            race = races["fan-out"] = Race(rows=len(dsns) * rows["lineitem"], about=about)
            compete(race, FAN_OUT, dsns, "lineitem", arguments)
            print(as_text("fan-out", race), flush=True)
        if "cells" in arguments.also:
            race = races["cells"] = Race(
                rows=20, about="a cell of %%pg and of %%sql, both with pandas"
            )
            for name, times in measure_cells(dsns[0], WARM_UP, arguments.cells).items():
                if isinstance(times, str):
                    race.missing[name] = times
                else:
                    race.measured[name] = [{"seconds": seconds} for seconds in times]
            print(as_text("cells", race), flush=True)
        machine = describe_machine(server.binaries.version)
    wanted = verdicts(races)
    for verdict in wanted:
        print(verdict)
    result = {
        "command": command(),
        "scale_factor": arguments.sf,
        "rounds": arguments.rounds,
        "machine": machine,
        "races": {name: race.as_json() for name, race in races.items()},
        "wanted": [verdict.as_json() for verdict in wanted],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.write_docs:
        write_docs(result, races, wanted)


def compete(
    race: Race,
    contenders: Iterable[str],
    dsns: Sequence[str],
    table: str,
    arguments: argparse.Namespace,
) -> None:
    """Let all read in turn, each round beginning with another one."""
    left = list(contenders)
    for turn in range(arguments.rounds):
        first = turn % max(1, len(left))
        for name in left[first:] + left[:first]:
            if CONTENDERS[name].slow and turn >= arguments.slow_rounds:
                continue
            task = {
                "dsns": list(dsns),
                "query": f"select * from {table}",
                "warm_up": WARM_UP if len(dsns) == 1 else "select 1 as one",
                "repeats": TABLES[table].repeats,
            }
            found = measure(name, task, arguments.timeout)
            if isinstance(found, dict) and found["rows"] not in (None, race.rows):
                found = f"gave {found['rows']:,} rows of {race.rows:,}"
            if isinstance(found, str):
                race.missing[name] = found
                race.measured.pop(name, None)
                left.remove(name)
            else:
                race.measured.setdefault(name, []).append(found)


def measure(name: str, task: dict[str, Any], timeout: float) -> dict[str, Any] | str:
    """Run one contender in a process of its own; give what it measured, or why it can't run."""
    try:
        done = subprocess.run(
            [sys.executable, str(CONTENDER), name],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {timeout:g} s"
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}, as for too much memory"
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    if not lines:
        return "ended without a word"
    if done.returncode:
        return lines[-1]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def command() -> str:
    """Give the command that was run, as one would write it."""
    return shlex.join(["python", "benchmarks/bench.py", *sys.argv[1:]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sf", type=float, default=0.1, help="scale factor, as in TPC-H")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slow-rounds", type=int, default=3, help="of those that are slow")
    parser.add_argument("--cells", type=int, default=100, help="cells of 20 rows, of each magic")
    parser.add_argument("--tables", nargs="*", choices=[*TABLES], default=[*TABLES])
    parser.add_argument("--only", nargs="*", choices=[*CONTENDERS], default=[*CONTENDERS])
    parser.add_argument(
        "--also", nargs="*", choices=["fan-out", "cells"], default=["fan-out", "cells"]
    )
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of one reading")
    parser.add_argument("--out", type=Path, default=BUILD)
    parser.add_argument("--write-docs", action="store_true", help="into docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
