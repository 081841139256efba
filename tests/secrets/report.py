"""The table of docs/security.md: each fault, under how many places, and what was found."""

import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.catalogue import Record
from tests.faults.report import _server
from tests.secrets.product import Pair
from tests.secrets.trials import Search

__all__ = ["write_docs"]

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- secrets: begin -->", "<!-- secrets: end -->"

Runs = Mapping[Pair, tuple[Record, Search]]


def write_docs(runs: Runs, command: str) -> None:
    """Put the table between the marks of docs/security.md."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [BEGIN, "\n".join(_totals(runs, command)), "\n".join(_table(runs)), END]
    PAGE.write_text(before + "\n\n".join(parts) + after)


def _totals(runs: Runs, command: str) -> Iterator[str]:
    sources = list(dict.fromkeys(pair.source for pair in runs))
    searched = sum(search.searched for _, search in runs.values())
    found = sum(len(search.found) for _, search in runs.values())
    yield (
        f"Measured {time.strftime('%Y-%m-%d')} by `{command}` on Python "
        f"{platform.python_version()}, {_server()}."
    )
    yield ""
    yield (
        f"{len(runs):,} runs of {len({pair.fault for pair in runs})} faults, with the password "
        f"from {len(sources)} places ({', '.join(f'`{each}`' for each in sources)}). "
        f"{searched:,} texts, pickles and files were searched; the canary stands in {found}."
    )


def _table(runs: Runs) -> Iterator[str]:
    yield "| | fault | places | runs | cells | errors | searched | found |"
    yield "| --: | :-- | --: | --: | --: | --: | --: | --: |"
    rows: dict[tuple[int, str], list[tuple[Pair, Record, Search]]] = {}
    for pair, (record, search) in runs.items():
        rows.setdefault((pair.fault.number, pair.fault.row), []).append((pair, record, search))
    for (number, name), each in sorted(rows.items(), key=lambda row: row[0]):
        cells = sum(record.told.total() for _, record, _ in each)
        answered = sum(record.told["answered"] for _, record, _ in each)
        searched = sum(search.searched for *_, search in each)
        found = sum(len(search.found) for *_, search in each)
        places = len({pair.source for pair, *_ in each})
        yield (
            f"| {number} | {name.partition(':')[0]} | {places} | {len(each)} | {cells:,} "
            f"| {cells - answered:,} | {searched:,} | {found} |"
        )
