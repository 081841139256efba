"""Strike between any two steps of a cell: at its k-th await, for every k until it has no more.

A step is what a task does from one await to the next. All tasks that a cell starts are counted
together, those that give its connections back included, so that every order in which a fault and
the cell's own work can meet comes about.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Steps", "stepping", "without_steps"]


class Steps:
    """Counts the steps of one cell; calls `strike` after the k-th, or raises at its await."""

    def __init__(
        self, at: int, strike: Callable[[], None] | None = None, error: BaseException | None = None
    ) -> None:
        self.taken = 0
        self._at = at
        self._strike = strike
        self._error = error

    @property
    def struck(self) -> bool:
        """Whether the cell had so many steps at all."""
        return self.taken >= self._at

    def before(self, *, first: bool) -> BaseException | None:
        """Count a step that begins; give what is to be raised in its place, if anything.

        A coroutine's first step is not replaced: nothing is raised in what has not begun.
        """
        self.taken += 1
        return self._error if self.taken == self._at and not first else None

    def after(self) -> None:
        """Strike, where this was the step."""
        if self.taken == self._at and self._strike is not None:
            asyncio.get_running_loop().call_soon(self._strike)
            self._strike = None


_steps: contextvars.ContextVar[Steps | None] = contextvars.ContextVar("steps", default=None)


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are counted."""

    def __init__(self, work: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._work = work
        self._steps = steps
        self._begun = False

    def send(self, value: Any) -> Any:
        error = self._steps.before(first=not self._begun)
        self._begun = True
        try:
            return self._work.send(value) if error is None else self._work.throw(error)
        finally:
            self._steps.after()

    def throw(self, *error: Any) -> Any:
        self._steps.before(first=True)
        self._begun = True
        try:
            return self._work.throw(*error)
        finally:
            self._steps.after()

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._work.__await__()


@contextmanager
def stepping(steps: Steps) -> Iterator[None]:
    """Count the steps of all tasks that are started in the block, and by those in turn."""
    loop = asyncio.get_running_loop()

    def factory(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> "asyncio.Task[Any]":
        counting = _steps.get()
        counted = work if counting is None else _Stepped(work, counting)
        return asyncio.Task(counted, loop=loop, **options)

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    token = _steps.set(steps)
    try:
        yield
    finally:
        _steps.reset(token)
        # The factory stays: tasks of the cell may start others until they have ended.


@contextmanager
def without_steps() -> Iterator[None]:
    """Count nothing that is started in the block."""
    token = _steps.set(None)
    try:
        yield
    finally:
        _steps.reset(token)
