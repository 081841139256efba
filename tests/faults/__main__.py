"""Let every fault happen many times, at moments that a seed decides.

    python -m tests.faults --runs 200 --seed 1 --write-docs

One that strikes at every await is let happen a hundredth as often, one in a kernel a tenth. A run
is repeated by its seed: `--only 9 --seed 37 --runs 1`. Ends with 1 where anything was violated.
"""

import argparse
import logging
import sys
import time

from tests.faults import every_fault
from tests.faults.catalogue import Fault, Record, run
from tests.faults.report import as_text, goals, write_docs
from tests.faults.world import binaries_of, opened
from tests.pgbouncer import installed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; then counted on")
    parser.add_argument("--only", default="", help="numbers of faults, with commas")
    parser.add_argument("--pg", default="auto", help="PostgreSQL: auto, system or embedded")
    parser.add_argument("--write-docs", action="store_true", help="write docs/reliability.md")
    options = parser.parse_args()
    logging.getLogger("pgmagic").addHandler(logging.NullHandler())
    wanted = {int(number) for number in options.only.split(",") if number}
    faults = [each for each in every_fault() if not wanted or each.number in wanted]
    runs: dict[Fault, list[Record]] = {}
    with opened(binaries_of(options.pg)) as world:
        for fault in faults:
            if fault.number == 31 and not installed():
                print(f"{fault}: left out, pgbouncer is not installed")
                continue
            began = time.monotonic()
            seeds = range(options.seed, options.seed + _count(fault, options.runs))
            runs[fault] = [run(fault, world, seed) for seed in seeds]
            print(as_text(fault, runs[fault]), f"[{time.monotonic() - began:.0f} s]", flush=True)
    print("\n".join(goals(runs)))
    if options.write_docs:
        words = f"--runs {options.runs} --seed {options.seed}"
        write_docs(runs, f"python -m tests.faults {words}")
    return int(any(record.violation for records in runs.values() for record in records))


def _count(fault: Fault, runs: int) -> int:
    if fault.steps:
        return max(1, runs // 100)
    return max(2, runs // 10) if fault.run_by else runs


if __name__ == "__main__":
    sys.exit(main())
