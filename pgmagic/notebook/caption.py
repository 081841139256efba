"""The line over a result: who answered how much, in what time, and what one should know."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from pgmagic.notebook.visible import escaped, visible
from pgmagic.outcome import Answer, Failure, Outcome
from pgmagic.units import count, duration, rows

__all__ = ["Drawn", "caption", "summary"]

CountRows: TypeAlias = Callable[[Outcome], int | None]

MOST = 8  # databases named one by one

DIM = "color:var(--jp-ui-font-color2,#616161)"
FONT = (
    "font:12px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);font-variant-numeric:tabular-nums"
)


class Drawn(NamedTuple):
    """The same said twice: plain text, and HTML that carries its own style."""

    text: str
    html: str


def caption(
    outcomes: Sequence[Outcome],
    elapsed: float,
    *,
    read_only: bool,
    every: bool = False,
    notes: Sequence[str] = (),
) -> Drawn:
    """Say in one line what came back, and below it one line per note.

    `ewr 120,835 · jfk 111,279 · lga 104,662 rows · 0.41 s · read only`. Where a statement has no
    rows, PostgreSQL's command tag stands instead. `elapsed` is the whole cell's, in seconds.
    Counted are the rows of the last result, or of `every` one.
    """
    count_rows = _all_rows if every else _rows
    parts = [*_answers(outcomes, count_rows)]
    results = max((_results(each) for each in outcomes), default=0) if every else 0
    if results > 1:
        parts.append((None, f"{count(results)} results"))
    parts.append((None, duration(elapsed, 2)))
    if read_only:
        parts.append((None, "read only"))
    return summary(parts, notes=notes, failed=any(_failed(each) for each in outcomes))


def summary(
    parts: Sequence[tuple[str | None, str]], *, notes: Sequence[str] = (), failed: bool = False
) -> Drawn:
    """Draw a line of parts, each about a database or (None) about all of them."""
    text = " · ".join(visible(" ".join(filter(None, part))) for part in parts)
    html = " · ".join(
        (f"<b><bdi>{escaped(name)}</bdi></b> " if name else "") + escaped(what)
        for name, what in parts
    )
    mark = "✗" if failed else "✓"
    lines = "".join(f'<div style="{DIM}">note: {escaped(note)}</div>' for note in notes)
    return Drawn(
        text="\n".join([text, *(f"note: {visible(note)}" for note in notes)]),
        html=f'<div class="pgm" style="{FONT}"><div><span aria-hidden="true">{mark}</span> '
        f"{html}</div>{lines}</div>",
    )


def _failed(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure)


def _answers(outcomes: Sequence[Outcome], count_rows: CountRows) -> list[tuple[str | None, str]]:
    """Say what every database gave. The unit stands once, after the last of those that share it."""
    if len(outcomes) > MOST:
        return _together(outcomes, count_rows)
    said: list[tuple[str | None, str]] = []
    for counted, group in groupby(outcomes, key=lambda each: count_rows(each) is not None):
        members = list(group)
        if not counted:
            said += _without_rows(members)
            continue
        words = [count(count_rows(each) or 0) for each in members]
        words[-1] += " row" if words == ["1"] else " rows"
        said += [(each.database, word) for each, word in zip(members, words, strict=True)]
    return said


def _without_rows(outcomes: Sequence[Outcome]) -> list[tuple[str | None, str]]:
    """Name the databases that did the same together: `ewr, jfk CREATE TABLE`."""
    return [
        (", ".join(each.database for each in group), word)
        for word, group in groupby(outcomes, key=_word)
    ]


def _together(outcomes: Sequence[Outcome], count_rows: CountRows) -> list[tuple[str | None, str]]:
    """Count the databases where naming them would fill the screen."""
    numbers = [number for each in outcomes if (number := count_rows(each)) is not None]
    failures = [each.database for each in outcomes if isinstance(each, Failure)]
    said: list[tuple[str | None, str]] = []
    if numbers:
        said.append((None, f"{count(len(numbers))} databases, {rows(sum(numbers))}"))
    tags: dict[str, int] = {}
    for each in outcomes:
        if isinstance(each, Answer) and count_rows(each) is None:
            tags[_word(each)] = tags.get(_word(each), 0) + 1
    said += [(None, f"{count(number)} databases, {tag}") for tag, number in tags.items()]
    if failures:
        named = ", ".join(failures[:MOST]) + (" …" if len(failures) > MOST else "")
        said.append((None, f"{count(len(failures))} failed: {named}"))
    return said


def _rows(outcome: Outcome) -> int | None:
    """Count the rows of the last result that has any; None where nothing has."""
    if isinstance(outcome, Failure):
        return None
    for result in reversed(outcome.results):
        if result.rows is not None:
            return result.rows
    return None


def _all_rows(outcome: Outcome) -> int | None:
    """Count the rows of all results; None where none has any."""
    if isinstance(outcome, Failure):
        return None
    numbers = [result.rows for result in outcome.results if result.rows is not None]
    return sum(numbers) if numbers else None


def _results(outcome: Outcome) -> int:
    if isinstance(outcome, Failure):
        return 0
    return sum(result.rows is not None for result in outcome.results)


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Failure):
        return f"failed ({type(outcome.error).__name__})"
    return outcome.results[-1].tag if outcome.results else "done"
