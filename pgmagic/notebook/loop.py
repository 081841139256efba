"""Run coroutines on the notebook's own event loop, and let an interrupt stop them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from pgmagic.errors import PgMagicError
from pgmagic.grace import CANCEL_GRACE
from pgmagic.notebook.interrupt import CellInterrupted, Interrupts
from pgmagic.notebook.reentry import make_reentrant, within_a_pass
from pgmagic.notebook.stack import in_own_task

__all__ = ["LoopBlocked", "NotebookLoop"]

T = TypeVar("T")

FORWARD_GRACE = 5.0  # seconds until a loop that does not answer counts as blocked
PASSES = 20  # of a loop that is driven at exit
CANCELLED = "cancelled on the server"


class LoopBlocked(PgMagicError):
    """Another thread asked, and the notebook's loop is held up by synchronous code."""


class NotebookLoop:
    """The event loop on which all pools of a notebook live, for the life of the kernel.

    `tasks` are the coroutines that run on it for pgmagic, background ones included.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.get_ident()
        self._interrupts = Interrupts(loop)

    async def cell(self, work: Coroutine[Any, Any, T], *, stopped: str = CANCELLED) -> T:
        """Wait for work in an await: the loop goes on meanwhile. In any thread.

        `stopped` is what an interrupt that has ended the work says.
        """
        if not self._is_here():
            return await asyncio.wrap_future(self._submitted(work))
        if asyncio.get_running_loop() is not self.loop:
            work.close()
            raise PgMagicError(
                "the work belongs to the notebook's event loop",
                hint="await in the notebook itself, not inside asyncio.run()",
            )
        with self._interruptible(work, stopped) as waiting:
            return await waiting

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work from synchronous code: a line magic, a function, another thread.

        Raises `ReentryError` where the running loop can't be entered again, and `LoopBlocked`
        where the notebook's thread does not answer another thread.
        """
        if not self._is_here():
            return self._submitted(work).result()
        if asyncio._get_running_loop() is not None:
            try:
                make_reentrant(self.loop)
            except PgMagicError:
                work.close()
                raise
        with self._interruptible(work) as waiting, within_a_pass(self.loop):
            return self.loop.run_until_complete(waiting.ended())

    def background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work and return at once with its task, which goes on between cells."""
        if self._is_here():
            return self._start(work)

        async def start() -> asyncio.Task[T]:
            return self._start(work)

        return self._submitted(start()).result()

    def close(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Drive the loop once more, at exit, until `work()` is done.

        The kernel stops its loop without closing it. A stop that is still pending ends the first
        pass early, so the loop is started again until the work is done.
        """
        if self.loop.is_closed() or self.loop.is_running():
            return
        self.loop.set_default_executor(_InPlace())
        task = self.loop.create_task(work())
        task.add_done_callback(lambda _: self.loop.stop())
        for _ in range(PASSES):
            if task.done():
                break
            self.loop.run_forever()

    async def cancel_tasks(self) -> None:
        """Cancel all that runs for pgmagic and wait, at most `CANCEL_GRACE`, for it to end."""
        running = {task for task in self.tasks if task is not asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CANCEL_GRACE)

    def _is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # fetched, so that asyncio never complains of one nobody waits for

    def _submitted(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Hand work of another thread, such as a subshell's, to the notebook's."""
        answers = threading.Event()
        self.loop.call_soon_threadsafe(answers.set)
        if not answers.wait(FORWARD_GRACE):
            work.close()
            raise LoopBlocked(
                "the notebook's loop does not answer: another cell is blocking it",
                hint="await the other work in its cell, or run %pg in the main thread",
            )

        async def started() -> T:
            return await self._start(work)

        return asyncio.run_coroutine_threadsafe(started(), self.loop)

    @contextmanager
    def _interruptible(
        self, work: Coroutine[Any, Any, T], stopped: str = CANCELLED
    ) -> Iterator["_Waiting[T]"]:
        """Start work that an interrupt cancels. Raises `CellInterrupted` after one."""
        waiting = _Waiting(self.loop, self._start(work), stopped)
        try:
            with self._interrupts.calling(waiting.interrupt):
                yield waiting
        except _Interrupted as interrupted:
            message = str(interrupted)
        else:
            return
        if in_own_task():  # where a KeyboardInterrupt would end the kernel
            raise asyncio.CancelledError(message) from None
        raise CellInterrupted(message) from None


class _Interrupted(Exception):
    """Carries an interrupt out of a task, which a KeyboardInterrupt must not leave."""


class _Waiting(Generic[T]):
    """A task that a cell waits for. The first interrupt cancels it, a second stops waiting."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[T], stopped: str
    ) -> None:
        self._loop = loop
        self._task = task
        self._stopped = stopped
        self._interrupted = False
        self._give_up: asyncio.Future[None] = loop.create_future()

    def __await__(self) -> Generator[Any, None, T]:
        return self.ended().__await__()

    def interrupt(self) -> None:
        if self._interrupted:
            self._give_up.cancel()
        elif not self._task.done():
            self._interrupted = True
            self._task.cancel()
            self._loop.call_later(CANCEL_GRACE, self._give_up.cancel)

    async def ended(self) -> T:
        try:
            ends: set[asyncio.Future[Any]] = {self._task, self._give_up}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # somebody else cancels the cell
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CANCEL_GRACE)
            raise
        finally:
            self._give_up.cancel()
        if self._interrupted and not self._task.done():
            raise _Interrupted("stopped waiting; the servers have been asked to cancel")
        if self._interrupted and self._task.cancelled():
            raise _Interrupted(self._stopped)
        return self._task.result()


class _InPlace(ThreadPoolExecutor):
    """Does everything at once where it is asked to: at exit Python lets no thread start.

    Without it the loop could not even look the name of a server up, to cancel what runs there.
    """

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future
