"""What a soak has found: for the terminal, and for the documentation."""

import os
import platform
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from tests.soak.ledger import Said
from tests.soak.record import Durations
from tests.soak.schedule import Fault
from tests.soak.soak import Findings

__all__ = ["conditions", "lines", "put"]

ROWS = 12  # of the table of memory
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def lines(findings: Findings) -> Iterator[str]:
    """Write the report in Markdown, which a terminal shows as well."""
    record = findings.record
    cells, faults = record.cells.total(), record.faults.total()
    yield (
        f"{cells:,} cells in {findings.seconds / 60:.1f} minutes by {findings.workers} workers, "
        f"seed {findings.seed}; {record.cancelled.total():,} cancelled in time, "
        f"{faults:,} faults."
    )
    yield from _table(("must be 0", "found"), _defects(findings))
    yield from _table(("cells", "asked", "answered"), _cells(findings))
    yield from _table(
        ("fault", "times", "recoveries measured", "p50", "p99", "longest"), _recoveries(findings)
    )
    yield from _table(("errors shown by", "class", "during", "times"), _errors(findings))
    yield from _table(("time", "times", "p50", "p99", "longest"), _times(findings))
    yield from _table(("writes", "reported", "in the table"), _writes(findings))
    head = ("memory after", "resident", "in use by C", "by Arrow", "pieces in use by Python")
    yield from _table(head, _memory(findings))
    growth = findings.growth
    yield (
        "In the last two thirds of the time, by the hour: resident "
        f"{growth.per_hour(lambda each: each.resident) / 1e6:+.1f} MB, in use by C "
        f"{growth.per_hour(lambda each: each.allocated) / 1e6:+.1f} MB, pieces in use by Python "
        f"{growth.per_hour(lambda each: each.blocks):+,.0f}."
    )


def conditions(command: str, major: int) -> str:
    """Say when and where it was measured, and by which command."""
    return (
        f"Measured {date.today():%Y-%m-%d} by `{command}`, PostgreSQL {major}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores."
    )


def put(section: str, text: str) -> None:
    """Put a text between the marks of a section of docs/reliability.md."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, found, rest = PAGE.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{PAGE.name} has no place for {section}")
    PAGE.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def _table(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> Iterator[str]:
    body = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    if body:
        rule = "|---" + "|--:" * (len(head) - 1) + "|"
        yield "\n".join(["| " + " | ".join(head) + " |", rule, *body])


def _defects(findings: Findings) -> Iterator[tuple[object, ...]]:
    for kind, found in findings.defects.items():
        yield kind, len(found)


def _cells(findings: Findings) -> Iterator[tuple[object, ...]]:
    record = findings.record
    for kind, count in record.cells.most_common():
        yield kind, f"{count:,}", f"{record.answered[kind]:,}"


def _recoveries(findings: Findings) -> Iterator[tuple[object, ...]]:
    record = findings.record
    for fault in Fault:
        took = record.recoveries.get(fault, Durations())
        yield fault, record.faults[fault], took.count, *_percentiles(took)


def _errors(findings: Findings) -> Iterator[tuple[object, ...]]:
    for error, count in sorted(findings.record.errors.items(), key=lambda item: -item[1]):
        yield error.cell, f"`{error.name}`", error.during, f"{count:,}"


def _times(findings: Findings) -> Iterator[tuple[object, ...]]:
    record = findings.record
    for name, took in (
        ("a cell", record.took),
        ("from a cancellation to the end of the cell", record.cancels),
        ("the same during a black hole, a delay, a restart", record.cancels_in_trouble),
        ("delay of our own loop, and of every cell on it", record.lags),
    ):
        yield name, f"{took.count:,}", *_percentiles(took)


def _memory(findings: Findings) -> Iterator[tuple[object, ...]]:
    samples = findings.growth.samples
    for sample in samples[:: max(1, len(samples) // ROWS)]:
        yield (
            f"{(sample.at - findings.started) / 60:.0f} min",
            *(f"{each / 1e6:.0f} MB" for each in (sample.resident, sample.allocated, sample.arrow)),
            f"{sample.blocks:,}",
        )


def _writes(findings: Findings) -> Iterator[tuple[object, ...]]:
    words = {
        Said.DONE: ("done", "exactly once"),
        Said.NOT_DONE: ("not done", "never"),
        Said.UNKNOWN: ("unknown", "at most once"),
    }
    for said, (word, times) in words.items():
        yield word, f"{findings.writes[said]:,}", times


def _percentiles(took: Durations) -> tuple[str, ...]:
    if not took.count:
        return "", "", ""
    return _time(took.percentile(0.5)), _time(took.percentile(0.99)), _time(took.longest)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
