"""`python -m tests.soak --minutes 2 --seed 1`: all kinds of cells under all kinds of faults.

Ends with 1 where anything is wrong: a result, a write, a leak, an error that no fault explains.
The seed decides what each worker does and what is broken when; how fast is up to the machine.
"""

import argparse
import asyncio
import faulthandler
import random
import sys

from tests.soak.report import conditions, lines, put
from tests.soak.soak import soak

OVERTIME = 90.0  # seconds for the servers to start, for the last cells, and for looking around


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--workers", type=int, default=20, help="cells at the same time")
    parser.add_argument("--report", action="store_true", help="write it into the documentation")
    options = parser.parse_args()
    faulthandler.dump_traceback_later(options.minutes * 60 + OVERTIME, exit=True)
    found = asyncio.run(
        soak(seconds=options.minutes * 60, seed=options.seed, workers=options.workers)
    )
    command = f"python -m tests.soak --minutes {options.minutes:g} --seed {options.seed}"
    text = "\n\n".join([conditions(command, found.major), *lines(found)])
    print(text)
    defects = [f"{kind}: {one}" for kind, examples in found.defects.items() for one in examples]
    print("\n".join(["", *defects]) if defects else "\nNothing is wrong.")
    if options.report:
        put("soak", text)
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
