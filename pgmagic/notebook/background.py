"""A cell that runs while others go on."""

import asyncio
import sys
from collections.abc import Callable, Generator
from typing import Any

from pgmagic.answers import Answers
from pgmagic.errors import PgMagicError, QueryCancelled
from pgmagic.notebook.loop import NotebookLoop

__all__ = ["Background"]

STILL_RUNNING = "stopped waiting; the query goes on, and its cancel() ends it"


class Background:
    """A query that was started with `--background`: `await` it, in any cell, for its frame.

    The first cell that awaits shows the caption, with the notes and what the servers said.
    Interrupting the cell that awaits leaves the query running; `cancel()` stops it on its servers.
    """

    def __init__(
        self,
        home: NotebookLoop,
        task: asyncio.Task[Answers],
        targets: tuple[str, ...],
        conclude: Callable[[Answers], None],
    ) -> None:
        self._home = home
        self._task = task
        self._targets = targets
        self._conclude = conclude
        self._awaited = False
        self._concluded = False
        task.add_done_callback(self._tell)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._home.cell(self._ended(), stopped=STILL_RUNNING).__await__()

    def __repr__(self) -> str:
        return f"<background query on {', '.join(self._targets)}: {self._state()}>"

    def _state(self) -> str:
        if not self._task.done():
            return "running; await it for the frame"
        if self._task.cancelled():
            return "cancelled"
        return "failed; await it for the error" if self._task.exception() else "done; await it"

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._task.done()

    def result(self) -> Any:
        """Give its frame, or raise its error. Raises `InvalidStateError` while it runs."""
        self._awaited = self._awaited or self._task.done()
        if self._task.cancelled():
            raise self._cancelled()
        return self._task.result().value

    def cancel(self) -> None:
        """Cancel it on its servers. May be called from any thread."""
        self._awaited = True
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    async def _ended(self) -> Any:
        self._awaited = True
        try:
            answers = await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._awaited = self._task.done()
            if self._task.cancelled():
                raise self._cancelled() from None
            raise
        if not self._concluded:
            self._concluded = True
            self._conclude(answers)
        return answers.value

    def _cancelled(self) -> QueryCancelled:
        return QueryCancelled(f"cancelled on {', '.join(self._targets)}")

    def _tell(self, task: asyncio.Task[Answers]) -> None:
        """Report a failure that nobody is waiting for."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._awaited:
            lines = error.report() if isinstance(error, PgMagicError) else [repr(error)]
            print("in the background:", *lines, sep="\n", file=sys.stderr)
