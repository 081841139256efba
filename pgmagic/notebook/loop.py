"""Run coroutines on the notebook's own event loop, and let an interrupt stop them."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from pgmagic.errors import PgMagicError
from pgmagic.notebook.reentry import make_reentrant

__all__ = ["CellInterrupted", "LoopBlocked", "NotebookLoop"]

T = TypeVar("T")

CANCEL_GRACE = 2.5  # seconds: a pool terminates a connection that isn't cancelled within 2 s
FORWARD_GRACE = 5.0  # seconds until a loop that does not answer counts as blocked


class CellInterrupted(KeyboardInterrupt):
    """The user stopped the cell; its statements are cancelled on every server."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


class LoopBlocked(PgMagicError):
    """Another thread asked, and the notebook's loop is held up by synchronous code."""


class _Interrupted(Exception):
    """Carries an interrupt out of a task: a KeyboardInterrupt would end the kernel's loop."""


class NotebookLoop:
    """The event loop on which all pools of a notebook live, for the life of the kernel.

    `tasks` are the coroutines that run on it for pgmagic, background ones included.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_running_here(self) -> bool:
        """Whether this very code is called from the notebook's running loop."""
        return asyncio._get_running_loop() is self.loop

    async def cell(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a top-level cell's work without blocking the loop."""
        try:
            return await self._supervised(work)
        except _Interrupted as interrupted:
            message = str(interrupted)
        raise CellInterrupted(message)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work from synchronous code: a line magic, a function, another thread.

        Raises `ReentryError` where the running loop can't be entered again, and `LoopBlocked`
        where the notebook's thread does not answer another thread.
        """
        try:
            if threading.get_ident() != self.thread:
                return self._forwarded(work)
            if asyncio._get_running_loop() is not None:
                make_reentrant(self.loop)
        except BaseException:
            work.close()
            raise
        try:
            return self.loop.run_until_complete(self._supervised(work))
        except _Interrupted as interrupted:
            message = str(interrupted)
        raise CellInterrupted(message)

    def background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work and return at once with its task, which goes on between cells."""
        task = self.loop.create_task(work)
        self._keep(task)
        return task

    def close(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Drive the loop once more, at exit, until `work()` is done.

        The kernel stops its loop without closing it. A stop that is still pending ends the first
        pass early, so the loop is started again until the work is done.
        """
        if self.loop.is_closed() or self.loop.is_running():
            return
        task = self.loop.create_task(work())
        task.add_done_callback(lambda _: self.loop.stop())
        for _ in range(20):
            if task.done():
                break
            self.loop.run_forever()

    async def cancel_tasks(self, grace: float) -> None:
        """Cancel all that runs for pgmagic and wait, at most `grace` seconds, for it to end."""
        running = {task for task in self.tasks if task is not asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=grace)

    def _forwarded(self, work: Coroutine[Any, Any, T]) -> T:
        answers = threading.Event()
        self.loop.call_soon_threadsafe(answers.set)
        if not answers.wait(FORWARD_GRACE):
            raise LoopBlocked(
                "the notebook's loop does not answer: another cell is blocking it",
                hint="await the other work in its cell, or run %pg in the main thread",
            )
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _supervised(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work as a task of its own. The first interrupt cancels it, a second stops waiting."""
        task = self.loop.create_task(work)
        self._keep(task)
        give_up = self.loop.create_future()
        interrupts: list[int] = []

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            interrupts.append(1)
            # Thread-safe although this is the loop's thread: only so does the loop wake up.
            self.loop.call_soon_threadsafe(stop)

        def stop() -> None:
            if len(interrupts) > 1:
                give_up.cancel()
            elif not task.done():
                task.cancel()
                self.loop.call_later(CANCEL_GRACE, give_up.cancel)

        with _on_interrupt(interrupt):
            try:
                await asyncio.wait({task, give_up}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:  # somebody else cancels the cell
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_GRACE)
                raise
            finally:
                give_up.cancel()
        if interrupts:
            if not task.done():
                raise _Interrupted("stopped waiting; the servers have been asked to cancel")
            if task.cancelled():
                raise _Interrupted("cancelled on the server")
        return task.result()


@contextmanager
def _on_interrupt(handler: Callable[[int, FrameType | None], None]) -> Any:
    """Handle SIGINT ourselves: ipykernel's own handler does not wake a loop that waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)
