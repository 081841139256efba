"""The stop button: SIGINT while a cell waits."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

__all__ = ["CellInterrupted", "Interrupts"]

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None


class CellInterrupted(KeyboardInterrupt):
    """The user stopped the cell; its statements are cancelled on every server."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


CellInterrupted.__name__ = KeyboardInterrupt.__name__  # front ends go by the name


class Interrupts:
    """Hands SIGINT to all that is waited for on a loop, and gives it back when nothing is.

    ipykernel's own handler does not wake a loop that waits: an interrupt would take effect when
    the query ends. https://github.com/ipython/ipykernel/issues/881
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []
        self._before: Handler = signal.SIG_DFL

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` on the loop for every interrupt while the block runs.

        Blocks need not end in the order in which they began. Python gives signals to the main
        thread only; elsewhere this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._waiting.append(stop)
        before = signal.getsignal(signal.SIGINT)
        if before != self._handle:
            self._before = before
            signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            self._waiting.remove(stop)
            ours = signal.getsignal(signal.SIGINT) == self._handle
            if ours and not self._waiting:
                signal.signal(signal.SIGINT, self._before or signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._waiting:
            # Thread-safe although this is the loop's own thread: only so does the loop wake up.
            self._loop.call_soon_threadsafe(self._stop)
        elif callable(self._before):  # somebody has put us back in place who found us there
            self._before(number, frame)

    def _stop(self) -> None:
        for stop in tuple(self._waiting):
            stop()
