"""Let every fault happen with a canary in every place of a password, and search all that is told.

    python -m tests.secrets --seed 1 --write-docs

Ends with 1 where the canary was found. `--only 13` runs some faults, `--sources prompt,URI` some
places. A promise of tests/faults that is broken meanwhile is shown, and is that command's affair.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from tests.secrets.report import write_docs
from tests.secrets.shares import Share, run_share
from tests.secrets.sources import SOURCES

if TYPE_CHECKING:
    from tests.faults.catalogue import Record
    from tests.secrets.product import Pair
    from tests.secrets.trials import Search

SCRIPTED = "tests/secrets/test_program_secrets.py"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.secrets", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all runs")
    parser.add_argument("--only", default="", help="numbers of faults, with commas")
    parser.add_argument("--sources", default="", help="places of the password, with commas")
    parser.add_argument("--jobs", type=int, default=2, help="processes, with servers of their own")
    parser.add_argument("--pg", default="auto", help="PostgreSQL: auto, system or embedded")
    parser.add_argument(
        "--lies", action="store_true", help="also every lie of a scripted server, under each place"
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/security.md")
    options = parser.parse_args()
    wanted = {int(number) for number in options.only.split(",") if number}
    sources = tuple(options.sources.split(",")) if options.sources else SOURCES
    share = [
        Share(
            wanted=frozenset(wanted), sources=sources, seed=options.seed, pg=options.pg,
            first=first, step=options.jobs,
        )
        for first in range(options.jobs)
    ]  # fmt: skip
    chosen = share[0].all_pairs()
    runs: dict[Pair, tuple[Record, Search]] = {}
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for done in pool.map(run_share, share):
            runs |= {chosen[number]: each for number, each in done.items()}
    found = sum(len(search.found) for _, search in runs.values())
    if options.write_docs:
        words = f"--seed {options.seed}"
        words += f" --only {options.only}" if options.only else ""
        words += f" --sources {options.sources}" if options.sources else ""
        write_docs(runs, f"python -m tests.secrets {words}")
    lied = _lies() if options.lies else 0
    print(f"{len(runs)} runs, the canary was found {found} times")
    return int(bool(found or lied))


def _lies() -> int:
    environment = os.environ | {"PGMAGIC_EVERY_PAIR": "1"}
    command = [sys.executable, "-m", "pytest", "-q", SCRIPTED]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
