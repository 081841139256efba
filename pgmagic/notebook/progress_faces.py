"""Where the lines of a running cell are drawn: in a notebook or in a terminal."""

import shutil
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO
from uuid import uuid4

import ipywidgets
from IPython.display import display, update_display

from pgmagic.notebook.caption import Drawn
from pgmagic.notebook.progress_lines import Line, lines_html, lines_text
from pgmagic.notebook.style import STYLE

__all__ = ["Face", "NotebookFace", "TerminalFace", "show"]

INTERRUPT = "■ in the toolbar stops it"


class Face(Protocol):
    """Shows the lines until they are replaced by what remains."""

    def draw(self, drawn: Sequence[Line], elapsed: float) -> None: ...

    def replace(self, remains: Drawn) -> None: ...


def show(drawn: Drawn) -> None:
    """Display a line of text that is also HTML."""
    display(_bundle(drawn), raw=True)


class NotebookFace:
    """A widget while the cell runs, static HTML afterwards: saved widgets can't be shown again.

    `cancel` is called when the button is pressed, in whatever thread the front end's message
    arrives; None means that no click would arrive in time, and there is no button.
    """

    def __init__(self, cancel: Callable[[], None] | None) -> None:
        self._cancel = cancel
        self._display_id = uuid4().hex
        self._lines = ipywidgets.HTML()
        self._style = ipywidgets.HTML(STYLE)
        self._children = [self._style, self._lines]
        if cancel is not None:
            self._button = ipywidgets.Button(
                description="■ Cancel", tooltip="Cancel the cell on all its databases"
            )
            self._button.add_class("pgm-button")
            self._button.on_click(self._pressed)
            self._children.append(self._button)
        self._root = ipywidgets.HBox(self._children)
        self._root.add_class("pgm-run")
        self._shown = False

    def draw(self, drawn: Sequence[Line], elapsed: float) -> None:
        self._lines.value = lines_html(drawn, elapsed, "" if self._cancel else INTERRUPT)
        if not self._shown:
            self._shown = True
            bundle = dict(self._root._repr_mimebundle_())
            bundle["text/plain"] = "\n".join(lines_text(drawn))
            display(bundle, raw=True, display_id=self._display_id)

    def replace(self, remains: Drawn) -> None:
        """May be called again: the latest remains."""
        update_display(_bundle(remains), raw=True, display_id=self._display_id)
        for widget in (*self._children, self._root):
            widget.close()
        self._children = []

    def _pressed(self, button: ipywidgets.Button) -> None:
        button.disabled = True
        button.description = "cancelling …"
        if self._cancel is not None:
            self._cancel()


class TerminalFace:
    """Lines that are written over again and again, and wiped away at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._height = 0

    def draw(self, drawn: Sequence[Line], elapsed: float) -> None:
        columns, height = shutil.get_terminal_size()
        self._rewrite(lines_text(drawn, columns)[: max(1, height - 2)])

    def replace(self, remains: Drawn) -> None:
        self._rewrite([])
        show(remains)

    def _rewrite(self, text: Sequence[str]) -> None:
        up = f"\x1b[{self._height}A" if self._height else ""
        self._stream.write(f"\r{up}\x1b[J" + "".join(f"{line}\n" for line in text))
        self._stream.flush()
        self._height = len(text)


def _bundle(drawn: Drawn) -> dict[str, str]:
    return {"text/html": drawn.html, "text/plain": drawn.text}
