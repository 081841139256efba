"""Turn a top-level `%%pg` cell into an awaited call, so that nothing blocks the loop."""

import asyncio
import re

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.interactiveshell import InteractiveShell

from pgmagic.notebook.stack import inside_cell

__all__ = ["CellTransformer"]

_HEAD = re.compile(r"%%pg(?:[ \t]+(.*?))?[ \t]*\r?\n?\Z")


class CellTransformer:
    """An input transformer of IPython: rewrites `%%pg` cells where an await can run."""

    has_side_effects = True  # keeps it out of the check whether a cell is complete

    def __init__(self, shell: InteractiveShell, loop: asyncio.AbstractEventLoop) -> None:
        self._shell = shell
        self._loop = loop

    def __call__(self, lines: list[str]) -> list[str]:
        head = _HEAD.match(lines[0]) if lines else None
        if head is None or not self._can_await():
            return lines
        line, body = head[1] or "", "".join(lines[1:])
        return [f"await get_ipython().pgmagic.cell({line!r}, {body!r})\n"]

    def _can_await(self) -> bool:
        return (
            asyncio._get_running_loop() is self._loop
            and bool(self._shell.autoawait)
            and self._shell.loop_runner is _asyncio_runner
            and not inside_cell()  # %%time, %run and the like transform again
        )
