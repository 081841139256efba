"""The table of docs/reliability.md: fault, promise, measured."""

import platform
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults.catalogue import Fault, Record

__all__ = ["as_text", "goals", "write_docs"]

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

Runs = Mapping[Fault, Sequence[Record]]

# What is promised of a figure, in seconds: its name, at which percentile, and the most it may be.
GOALS = (
    ("interrupt, healthy server", 0.99, 0.1),
    ("interrupt, dead network", 1.0, 2.0),
    ("--timeout passed, dead network", 1.0, 2.0),
    ("first answer after a restart", 1.0, 1.0),
    ("orphans gone after SIGKILL", 1.0, 2.0),
)


def as_text(fault: Fault, records: Sequence[Record]) -> str:
    """Tell one fault's runs in a line, and what was violated in further ones."""
    lines = [f"{fault}: {_measured(records)}"]
    lines += [f"  seed {each.seed}: {each.violation}" for each in records if each.violation]
    return "\n".join(lines)


def goals(runs: Runs) -> list[str]:
    """Say of each goal what was measured, and whether it is met."""
    lines = []
    for what, share, most in GOALS:
        seconds = sorted(_figure(runs, what))
        if not seconds:
            continue
        measured = percentile(seconds, share)
        words = "at most" if share == 1.0 else f"p{share * 100:.0f}"
        met = "met" if measured <= most else "**not met**"
        lines.append(
            f"- {what}: {words} {_time(measured)} of {len(seconds)} (goal {_time(most)}): {met}"
        )
    return [*lines, *_neighbours(runs)]


def write_docs(runs: Runs, command: str) -> None:
    """Put the table between the marks of docs/reliability.md."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [BEGIN, *_totals(runs, command), "\n".join(goals(runs)), _table(runs), END]
    PAGE.write_text(before + "\n\n".join(parts) + after)


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _totals(runs: Runs, command: str) -> Iterator[str]:
    records = [record for records in runs.values() for record in records]
    cells = sum(record.told.total() for record in records)
    steps = sum(int(sum(record.figures.get("strikes", []))) for record in records)
    kinds = Counter(record.violation[:2] for record in records if record.violation)
    yield (
        f"Measured {time.strftime('%Y-%m-%d')} by `{command}` on Python "
        f"{platform.python_version()}, {_server()}."
    )
    yield (
        f"{len(records):,} runs of {len(runs)} faults, in which {cells:,} cells were run, "
        f"{steps:,} of them struck at a chosen await. "
        f"{kinds.get('I3', 0)} gave a wrong value or wrote twice, "
        f"{kinds.get('I1', 0) + kinds.get('I2', 0)} left something behind, "
        f"{kinds.total() - kinds.get('I1', 0) - kinds.get('I2', 0) - kinds.get('I3', 0)} broke "
        "another promise."
    )


def _table(runs: Runs) -> str:
    rows: dict[tuple[int, str], tuple[Fault, list[Record]]] = {}
    for fault, records in runs.items():
        if fault.number:
            rows.setdefault((fault.number, fault.row), (fault, []))[1].extend(records)
    lines = ["| | fault | promise | measured |", "| --: | :-- | :-- | :-- |"]
    lines += [
        f"| {number} | {name} | {fault.promise} | {_measured(records)} |"
        for (number, name), (fault, records) in sorted(rows.items(), key=lambda each: each[0])
    ]
    return "\n".join(lines)


def _measured(records: Sequence[Record]) -> str:
    told = sum((record.told for record in records), Counter())
    answered = told.pop("answered", 0)
    words = [f"{len(records):,} runs, {answered + told.total():,} cells"]
    words.append(f"{answered:,} answered")
    words += [f"{count:,} {kind}" for kind, count in told.most_common()]
    recoveries = sorted(record.recovery for record in records if record.recovery)
    if recoveries:
        words.append(f"back within {_time(recoveries[-1])}")
    for what in dict.fromkeys(name for record in records for name in record.figures):
        seconds = sorted(s for record in records for s in record.figures.get(what, []))
        if what == "strikes":
            words.append(f"{int(sum(seconds)):,} awaits struck")
        else:
            words.append(
                f"{what}: p50 {_time(percentile(seconds, 0.5))}, most {_time(seconds[-1])}"
            )
    violations = sum(bool(record.violation) for record in records)
    return "; ".join([*words, f"**{violations} violations**" if violations else "0 violations"])


def _neighbours(runs: Runs) -> Iterator[str]:
    """Compare the other database's cells during faults with those of no fault at all."""
    quiet = sorted(_near(runs, lambda fault: fault.number == 0))
    meanwhile = sorted(_near(runs, lambda fault: fault.number != 0))
    if quiet and meanwhile:
        yield (
            f"- cells of another database, p99: {_time(percentile(meanwhile, 0.99))} while "
            f"faults happen ({len(meanwhile):,}), {_time(percentile(quiet, 0.99))} while none "
            f"does ({len(quiet):,}); p50 {_time(percentile(meanwhile, 0.5))} and "
            f"{_time(percentile(quiet, 0.5))}"
        )


def _near(runs: Runs, chosen) -> Iterator[float]:
    for fault, records in runs.items():
        if chosen(fault):
            for record in records:
                yield from record.near_seconds


def _figure(runs: Runs, what: str) -> Iterator[float]:
    for records in runs.values():
        for record in records:
            yield from record.figures.get(what, [])


def _server() -> str:
    from tests.faults.world import binaries_of

    program = binaries_of("auto").bindir / "postgres"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return " ".join(said.stdout.replace("(PostgreSQL)", "").split()[:2]).replace(
        "postgres", "PostgreSQL"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
