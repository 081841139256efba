"""Who is on the call stack: a cell, or a task of the user's own."""

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType

from IPython.core.interactiveshell import InteractiveShell

__all__ = ["in_own_task", "inside_cell"]

_RUN_CODE = InteractiveShell.run_code.__code__


def inside_cell() -> bool:
    """Whether a cell is being executed on this stack, however far up."""
    return any(frame.f_code is _RUN_CODE for frame in _frames())


def in_own_task() -> bool:
    """Whether a task runs this code by itself, with no cell between the task and here.

    A KeyboardInterrupt that is raised there is caught by nobody and ends the kernel's loop.
    """
    if asyncio._get_running_loop() is None or (task := asyncio.current_task()) is None:
        return False
    coroutine = task.get_coro()
    root = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    for frame in _frames():
        if frame.f_code is _RUN_CODE:
            return False
        if frame is root:
            break
    return True


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
