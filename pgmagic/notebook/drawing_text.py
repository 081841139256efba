"""The pools as plain text, for terminals and for wherever HTML is not rendered."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from wcwidth import wcswidth

from pgmagic.database.statistics import DatabaseStatistics, Sample
from pgmagic.notebook import sparkline
from pgmagic.notebook.activity import activities
from pgmagic.notebook.drawing import History
from pgmagic.notebook.visible import visible
from pgmagic.units import count, milliseconds

__all__ = ["render_text"]

HEADINGS = (
    "database",
    "in use",
    "last minute",
    "idle",
    "waiting",
    "p50",
    "p95",
    "requests",
    "errors",
    "breaker",
)
LEFT = {"database", "in use", "last minute", "breaker"}


def render_text(
    statistics: Sequence[DatabaseStatistics],
    history: History,
    *,
    now: float,
    when: datetime,
) -> str:
    """Draw a table of all pools, and under it what goes on.

    `now` is of the monotonic clock of the history, `when` the same instant on the wall.
    """
    lines = [f"PostgreSQL pools at {when:%Y-%m-%d %H:%M:%S}"]
    if not statistics:
        return "\n".join([*lines, "no pool is open yet: the first query on a database opens it"])
    lines += _table([_cells(each, history.get(each.database, ()), now) for each in statistics])
    lines += _notes(statistics)
    lines += (
        f"{each.kind}: {visible(each.database)}  {each.what}  ({each.since})"
        for each in activities(statistics)
    )
    return "\n".join(lines)


def _cells(each: DatabaseStatistics, history: Sequence[Sample], now: float) -> list[str]:
    breaker = each.breaker
    return [
        visible(each.database),
        f"{each.in_use} / {each.max_size}",
        sparkline.blocks(sparkline.levels(history, now), each.max_size),
        count(each.idle),
        count(each.waiting),
        milliseconds(each.acquire_p50_ms),
        milliseconds(each.acquire_p95_ms),
        count(each.requests_num),
        count(each.requests_errors),
        f"{breaker}, next try in {each.retry_in:.0f} s" if breaker == "open" else breaker,
    ]


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    columns = list(zip(HEADINGS, *rows, strict=True))
    widths = [max(_width(cell) for cell in column) for column in columns]
    for row in (HEADINGS, *rows):
        yield "  ".join(
            _padded(cell, width, left=heading in LEFT)
            for cell, width, heading in zip(row, widths, HEADINGS, strict=True)
        ).rstrip()


def _width(text: str) -> int:
    return max(0, wcswidth(text))


def _padded(text: str, width: int, *, left: bool) -> str:
    blank = " " * (width - _width(text))
    return text + blank if left else blank + text


def _notes(statistics: Sequence[DatabaseStatistics]) -> Iterator[str]:
    for each in statistics:
        name = visible(each.database)
        yield from (f"! {name}: {visible(alert)}" for alert in each.alerts)
        if each.last_error is not None:
            clock = each.last_error.when.astimezone().strftime("%H:%M:%S")
            yield f"  {name}: last error at {clock}: {visible(each.last_error.message)}"
