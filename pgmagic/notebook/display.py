"""Put text beside a result: every output carries HTML and plain text."""

import time
from collections.abc import Sequence
from html import escape

from IPython.display import DisplayHandle, display

from pgmagic.legible import legible
from pgmagic.outcome import Outcome

__all__ = ["LineProgress", "notices", "show_html", "show_text"]


def show_html(html: str, text: str) -> None:
    """Show HTML, with the same in plain text for where HTML is not rendered."""
    display({"text/html": html, "text/plain": text}, raw=True)


def show_text(text: str) -> None:
    """Show a line or two of plain text, in which nothing acts or hides."""
    text = legible(text)
    show_html(f"<pre>{escape(text)}</pre>", text)


def notices(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Give what the servers said beside the results: `NOTICE: …`, each once."""
    said: dict[str, list[str]] = {}
    for outcome in outcomes:
        for notice in outcome.notices:
            said.setdefault(f"{notice.severity}: {notice.message}", []).append(outcome.database)
    several = len(outcomes) > 1
    return tuple(
        f"{', '.join(dict.fromkeys(names))} {text}" if several else text
        for text, names in said.items()
    )


class LineProgress:
    """One line that says how far something is, replaced as it goes on.

    It may be called from other threads; nothing is shown where all is done within half a second.
    """

    PATIENCE = 0.5  # seconds
    INTERVAL = 0.2

    def __init__(self, what: str) -> None:
        self._what = what
        self._line: DisplayHandle | None = None
        self._drawn = time.monotonic() + self.PATIENCE - self.INTERVAL

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take the progress: a stage, what is done of it, and what there is of it."""
        if time.monotonic() - self._drawn >= self.INTERVAL:
            self._drawn = time.monotonic()
            self._show(f"{self._what}: {stage}, {done:,} of {total:,}")

    def conclude(self, text: str) -> None:
        """Put the last word where the progress was."""
        self._show(text)

    def _show(self, text: str) -> None:
        bundle = {"text/html": f"<pre>{escape(text)}</pre>", "text/plain": text}
        if self._line is None:
            self._line = display(bundle, raw=True, display_id=True)
        else:
            self._line.update(bundle, raw=True)
