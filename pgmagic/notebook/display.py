"""Put text beside a result: every output carries HTML and plain text."""

from collections.abc import Sequence
from html import escape

from IPython.display import display

from pgmagic.language.plan import Plan
from pgmagic.outcome import Answer, Outcome

__all__ = ["SandboxProgress", "show_caption", "show_html", "show_text"]


def show_html(html: str, text: str) -> None:
    """Show HTML, with the same in plain text for where HTML is not rendered."""
    display({"text/html": html, "text/plain": text}, raw=True)


def show_text(text: str) -> None:
    """Show a line or two of plain text."""
    show_html(f"<pre>{escape(text)}</pre>", text)


def show_caption(
    plan: Plan,
    outcomes: Sequence[Outcome],
    notes: Sequence[str] = (),
    elapsed: float | None = None,
    *,
    brief: bool = False,
) -> None:
    lines = []
    if not brief:
        parts = [
            f"{o.database} {o.results[-1].table.num_rows:,}" if isinstance(o, Answer) and o.results[-1].table is not None else o.database
            for o in outcomes
        ]
        lines.append(" · ".join(parts))
    lines += notes
    for o in outcomes:
        lines += [f"{o.database} {n.severity}: {n.message}" for n in o.notices]
    if lines:
        show_text("\n".join(lines))


class SandboxProgress:
    """Says how far the sandbox is."""

    def __enter__(self) -> "SandboxProgress":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, stage: str, done: int, total: int) -> None:
        pass
