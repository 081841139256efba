"""What a cell shows while it runs."""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self, TextIO, TypeAlias

from IPython.core.getipython import get_ipython

from pgmagic.errors import QueryCancelled
from pgmagic.notebook.caption import Drawn, summary
from pgmagic.notebook.front_end import FrontEnd, clicks_arrive, front_end
from pgmagic.notebook.progress_faces import Face, NotebookFace, TerminalFace, show
from pgmagic.notebook.progress_lines import Line, Speed, Watched, lines, parts
from pgmagic.units import duration

__all__ = ["CellProgress", "Mode"]

logger = logging.getLogger(__name__)

Mode: TypeAlias = Literal["auto", "on", "off"]

DELAY = 1 / 3  # seconds: what is faster needs no progress
INTERVAL = 0.25  # seconds between two redraws


class CellProgress:
    """Shows how far a cell is on each database, while the block runs.

        async with CellProgress(watch, plan.targets, awaited=True) as progress:
            answers = await client.run(plan, watch)
            progress.conclude(caption(…))

    A cell that is done within a third of a second shows nothing. Its button cancels the task that
    entered the block, and the block then raises `QueryCancelled`. `awaited` is a cell that does not
    block the loop. `auto` shows nothing where nobody looks, `on` shows it there as well. In a
    terminal it is written to `stream`, standard error.
    """

    def __init__(
        self,
        watch: Watched,
        targets: Sequence[str],
        *,
        awaited: bool,
        mode: Mode = "auto",
        stream: TextIO | None = None,
    ) -> None:
        self._watch = watch
        self._targets = tuple(targets)
        self._awaited = awaited
        self._mode = mode
        self._stream = sys.stderr if stream is None else stream
        self._face: Face | None = None
        self._concluded = False
        self._cancelled = False
        self._running = False
        self._starter: asyncio.TimerHandle | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancels_before = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._started = time.monotonic()
        self._speeds = {name: Speed() for name in self._targets}
        self._running = True
        if self._mode != "off":
            self._starter = self._loop.call_later(DELAY, self._start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Nothing is awaited here: a late cancellation has no place to arrive at.
        self._running = False
        self._stop()
        if not self._concluded and self._face is not None:
            self._face.replace(self._remains(failed=error is not None))
        if (
            isinstance(error, asyncio.CancelledError)
            and self._cancelled
            and self._task.uncancel() <= self._cancels_before
        ):
            names = ", ".join(self._targets)
            raise QueryCancelled(f"cancelled on {names} after {duration(self.elapsed)}") from None

    def conclude(self, drawn: Drawn) -> None:
        """Put the caption where the progress was, or show it where there was none."""
        self._stop()
        self._concluded = True
        if self._face is None:
            show(drawn)
        else:
            self._face.replace(drawn)

    def cancel(self) -> None:
        """Stop the cell. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._cancel)

    @property
    def elapsed(self) -> float:
        """Seconds since the cell began."""
        return time.monotonic() - self._started

    def _cancel(self) -> None:
        if self._running and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def _start(self) -> None:
        self._ticker = self._loop.create_task(self._follow())

    def _stop(self) -> None:
        if self._starter is not None:
            self._starter.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _follow(self) -> None:
        self._face = self._choose_face()
        try:
            while self._face is not None:
                self._face.draw(self._lines(), self.elapsed)
                await asyncio.sleep(INTERVAL)
        except Exception:
            # The cell goes on: it matters more than the picture of it.
            logger.exception("the progress of the cell has stopped")

    def _choose_face(self) -> Face | None:
        shell: Any = get_ipython()
        match front_end(shell, self._stream):
            case FrontEnd.LIVE:
                pass
            case FrontEnd.STATIC if self._mode == "on":
                pass
            case FrontEnd.TERMINAL:
                return TerminalFace(self._stream)
            case _:
                return None
        return NotebookFace(self.cancel if clicks_arrive(shell, awaited=self._awaited) else None)

    def _lines(self) -> tuple[Line, ...]:
        return lines(self._watch, self._targets, self.elapsed, self._speeds)

    def _remains(self, *, failed: bool) -> Drawn:
        return summary([*parts(self._lines()), (None, duration(self.elapsed, 2))], failed=failed)
