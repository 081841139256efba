"""Read random cells, and say how many and how fast: `python tests/fuzz_scanner.py 1000000`.

Every cell is read, or refused with a `CellError` inside it; its tokens, put end to end, are the
cell. Anything else is shown, with the seed that gives it again, and ends the run with status 1.
"""

import argparse
import random
import sys
import time

from pgmagic.errors import CellError
from pgmagic.language.scanner import tokens
from pgmagic.language.statements import read

FRAGMENTS = [
    *"'\"$}[]();:,.-/*+=<>@#%&|!?~_ \n\r\t\f\v;aeEuUbBxXnN01é日😀\u00a0\ufeff",
    *("E'", "U&'", 'U&"', "B'", "$$", "$a$", "--", "/*", "*/", "''", "\\'", "::", "\r\n"),
    *("{x}", "{x:i}", "{x:l}", "{d['k']}", "{xs[0]}", "{d}", "{xs}", "{1,2}"),
    *("select ", "insert ", "update ", "delete ", "merge ", "values ", "table ", "copy ", "set "),
    *("with ", "recursive ", "as ", "into ", "where ", "order by ", "returning ", "for ", "from "),
    *("create ", "or replace ", "function ", "procedure ", "begin ", "atomic ", "case ", "end "),
    *("explain ", "analyze ", "concurrently ", "stdin ", "standard_conforming_strings ", "in ("),
    *("prepare ", "vacuum ", "search ", "cycle "),
]
RISKY = [
    *("\0", "\ud800", "\\", "{", "$1", "{missing}", "{x.y}", "{x"),
    *("\\d", "\\d ", "\\dt+ ", "\\copy "),
]
NAMESPACE = {"x": "5", "d": {"k": "o'k\\"}, "xs": [1, None, "a"]}
LENGTH_MAX = 30  # fragments of a cell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    chance = random.Random(seed)
    refused = characters = 0
    slowest = (0.0, "")
    begun = time.perf_counter()
    for number in range(options.count):
        fragments = chance.choices(FRAGMENTS, k=chance.randint(1, LENGTH_MAX))
        if chance.random() < 0.3:
            fragments.insert(chance.randint(0, len(fragments)), chance.choice(RISKY))
        cell = "".join(fragments)
        characters += len(cell)
        started = time.perf_counter()
        try:
            refused += not check(cell, standard_strings=chance.random() < 0.8)
        except Exception as error:
            print(f"seed {seed}, cell {number}: {cell!r}\n{type(error).__name__}: {error}")
            return 1
        slowest = max(slowest, (time.perf_counter() - started, cell))
    seconds = time.perf_counter() - begun
    print(
        f"seed {seed}: {options.count} cells, {characters} characters, {refused} refused, "
        f"in {seconds:.0f} s; the slowest took {slowest[0] * 1000:.1f} ms: {slowest[1]!r}"
    )
    return 0


def check(cell: str, *, standard_strings: bool) -> bool:
    """Read a cell; say whether it could be read. Raises whatever is wrong with pgmagic."""
    found = list(tokens(cell, standard_strings=standard_strings))
    assert "".join(cell[token.start : token.stop] for token in found) == cell
    try:
        reading = read(cell, NAMESPACE, standard_strings=standard_strings)
    except CellError as error:
        check_refusal(error, cell)
        return False
    end = 0
    for statement in reading.statements:
        assert end <= statement.start < statement.stop <= len(cell)
        end = statement.stop
        for position in range(1, len(statement.sql) + 1):
            assert statement.start <= statement.locate(position) <= statement.stop
    return True


def check_refusal(error: CellError, cell: str) -> None:
    assert error.offset is not None
    assert 0 <= error.offset <= len(cell)
    error.report()


if __name__ == "__main__":
    sys.exit(main())
