"""A running cell, one line per database: pure drawing."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from wcwidth import wcswidth

from pgmagic.errors import QueryCancelled
from pgmagic.notebook.style import STALE_AFTER
from pgmagic.notebook.visible import escaped, visible
from pgmagic.outcome import Failure, Outcome
from pgmagic.units import duration, rate, rows, size

__all__ = ["Line", "Speed", "Watched", "lines", "lines_html", "lines_text", "parts"]

MOST = 16  # lines
WEIGHTY = 1000  # bytes: a COPY of no rows has some as well
TURN, SWEEP = 1.0, 3.2  # seconds of the two animations, as the style sheet has them

Look: TypeAlias = Literal["running", "waiting", "done", "failed"]
LOOKS: dict[Look, tuple[str, str]] = {
    "running": ("", "▸"),
    "waiting": ("warn", "◷"),
    "done": ("ok", "✓"),
    "failed": ("bad", "✗"),
}
WAITING = ("waiting", "connecting")


class _Counted(Protocol):
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class Watched(Protocol):
    """What can be seen of a running cell, by database.

    `state` says in a word or two what a database without an outcome is busy with.
    """

    @property
    def progress(self) -> Mapping[str, _Counted]: ...
    @property
    def outcomes(self) -> Mapping[str, Outcome]: ...
    @property
    def state(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One database of a running cell: what came so far, in how many bytes of the wire.

    `speed` is in rows per second, `elapsed` in seconds.
    """

    database: str
    look: Look
    state: str
    rows: int
    bytes: int
    speed: float
    elapsed: float

    @property
    def said(self) -> str:
        """How far it is, in words."""
        if self.look == "failed" or (not self.rows and self.look != "done"):
            return self.state
        return rows(self.rows)

    @property
    def weight(self) -> str:
        """How many bytes came, where that is worth a word."""
        return size(self.bytes) if self.bytes >= WEIGHTY and self.look != "failed" else ""

    @property
    def pace(self) -> str:
        elapsed = duration(self.elapsed)
        running = self.look == "running" and self.rows
        return f"{rate(self.speed)} · {elapsed}" if running else elapsed


class Speed:
    """Rows per second over the last few looks, so that it neither jumps nor lags."""

    def __init__(self, looks: int = 12) -> None:
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=looks)

    def look(self, elapsed: float, count: int) -> float:
        if count < self._seen[-1][1]:  # sent again: counted anew
            self._seen.clear()
        self._seen.append((elapsed, count))
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - then) if now > then else 0.0


def lines(
    watch: Watched, targets: Sequence[str], elapsed: float, speeds: Mapping[str, Speed]
) -> tuple[Line, ...]:
    """Look at every database of the cell, `elapsed` seconds after it began."""
    return tuple(_line(watch, name, elapsed, speeds[name]) for name in targets)


def _line(watch: Watched, name: str, elapsed: float, speed: Speed) -> Line:
    came = watch.progress.get(name)
    count = came.rows if came else 0
    state = watch.state.get(name, "running")
    look: Look = "waiting" if state.startswith(WAITING) and not count else "running"
    outcome = watch.outcomes.get(name)
    if isinstance(outcome, Failure):
        look = "failed"
        state = "cancelled" if isinstance(outcome.error, QueryCancelled) else "failed"
    elif outcome is not None:
        look, state = "done", "done"
    return Line(
        database=name,
        look=look,
        state=state,
        rows=count,
        bytes=came.bytes if came else 0,
        speed=speed.look(elapsed, count),
        elapsed=elapsed if outcome is None else outcome.elapsed,
    )


def lines_html(drawn: Sequence[Line], elapsed: float, note: str = "") -> str:
    """Draw the lines as a table. `note` says what else stops the cell, where no button does."""
    shown, left = _foremost(drawn)
    body = "".join(_row(line, elapsed) for line in shown)
    under = [escaped(text) for text in (left, note) if text]
    body += "".join(
        f'<tr><td></td><td class="left dim" colspan="5">{text}</td></tr>' for text in under
    )
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("state", "database", "progress", "rows", "size", "time")
    )
    return (
        '<section class="pgm lines live" aria-label="Running cell"><div class="fading">'
        f'<table><thead class="unseen"><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<span class="stale">no update for {STALE_AFTER} s: kernel busy or gone</span>'
        '<span class="gone" role="status">kernel gone</span></section>'
    )


def lines_text(drawn: Sequence[Line], columns: int = 100) -> list[str]:
    """Draw the lines as text, none wider than `columns` of a terminal."""
    shown, left = _foremost(drawn)
    width = max((wcswidth(visible(line.database)) for line in shown), default=0)
    said = max((len(line.said) for line in shown), default=0)
    weight = max((len(line.weight) for line in shown), default=0)
    text = []
    for line in shown:
        name = visible(line.database)
        name += " " * (width - wcswidth(name))
        mark = LOOKS[line.look][1]
        came = f"{visible(line.said):>{said}}  "
        came += f"{line.weight:>{weight}}  " if weight else ""
        text.append(f"{mark} {name}  {came}{line.pace}")
    if left:
        text.append(f"  {left}")
    return [_cut(each, columns) for each in text]


def parts(drawn: Iterable[Line]) -> list[tuple[str | None, str]]:
    """Say in a few words per database how far it came, for the line that remains of a cell."""
    return [
        (line.database, rows(line.rows) if line.look == "done" else _ended(line)) for line in drawn
    ]


def _ended(line: Line) -> str:
    state = line.state if line.look == "failed" else "stopped"
    return f"{state} after {rows(line.rows)}" if line.rows else state


def _foremost(drawn: Sequence[Line]) -> tuple[Sequence[Line], str]:
    """Choose the lines that fit on a screen, those that still run first; count the others."""
    if len(drawn) <= MOST:
        return drawn, ""
    ordered = sorted(drawn, key=lambda line: line.look == "done")
    left = ordered[MOST:]
    done = sum(line.look == "done" for line in left)
    return ordered[:MOST], f"and {len(left)} more, {done} of them done"


def _row(line: Line, elapsed: float) -> str:
    look, mark = LOOKS[line.look]
    state = escaped(line.state)
    if line.look == "running":
        # Redrawn from scratch four times a second: the delay lets the wheel go on turning.
        drawn = f'<span class="wheel" style="animation-delay:-{elapsed % TURN:.2f}s"></span>'
        track = f'class="track moving"><i style="animation-delay:-{elapsed % SWEEP:.2f}s"></i'
    else:
        drawn = f'<span class="{look}">{mark}</span>'
        track = {
            "waiting": 'class="track"',
            "done": 'class="track full"><i></i',
            "failed": 'class="track broken"><i></i',
        }[line.look]
    return (
        f'<tr><td class="mark"><span aria-hidden="true">{drawn}</span>'
        f'<span class="unseen">{state}</span></td>'
        f'<th scope="row"><bdi>{escaped(line.database)}</bdi></th>'
        f'<td class="flow" aria-hidden="true"><span {track}></span></td>'
        f'<td class="{look if line.look != "done" else ""}">{escaped(line.said)}</td>'
        f'<td class="dim">{line.weight}</td><td class="dim">{line.pace}</td></tr>'
    )


def _cut(text: str, columns: int) -> str:
    if wcswidth(text) < columns:
        return text
    while wcswidth(text) > columns - 2:
        text = text[:-1]
    return f"{text}…"
