"""How many parts of one database are read at the same time: here, and with all other workers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

__all__ = ["Places"]

LINGER = 0.5  # seconds that a lease is kept for the next part


class Leases(Protocol):
    """What is shared with other processes."""

    async def acquire(self) -> None:
        """Wait for a lease."""

    async def release(self) -> None:
        """Give one back."""


class Places:
    """Places to read one database, at most so many in this process.

    With `leases` each place needs one of them. A lease is kept for as long as its connection is
    open: the next part of this process takes over both. Where there is none for half a second,
    `disconnect` closes what is idle before the lease goes to somebody else.
    """

    def __init__(
        self,
        most: int,
        leases: Leases | None,
        disconnect: Callable[[], Awaitable[None]],
    ) -> None:
        self._room = asyncio.Semaphore(most)
        self._leases = leases
        self._disconnect = disconnect
        self._free = 0  # leases that nobody here uses
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._fetching: set[asyncio.Task[None]] = set()
        self._lingering: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and have it while the block runs."""
        async with self._room:
            if self._leases is None:
                yield
                return
            await self._take()
            try:
                yield
            finally:
                self._pass_on()

    async def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        if len(self._fetching) < len(self._waiting):
            fetching = asyncio.create_task(self._fetch())
            self._fetching.add(fetching)
            fetching.add_done_callback(self._fetched)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._pass_on()
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def _fetch(self) -> None:
        assert self._leases is not None
        await self._leases.acquire()
        self._pass_on()

    def _fetched(self, fetching: "asyncio.Task[None]") -> None:
        self._fetching.discard(fetching)
        if not fetching.cancelled() and (error := fetching.exception()) and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)

    def _pass_on(self) -> None:
        """Give a lease to who has waited longest here, or keep it for a moment."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._free += 1
        if self._lingering is None:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(LINGER, self._give_up)

    def _give_up(self) -> None:
        self._lingering = None
        free, self._free = self._free, 0
        if free:
            self._leaving = asyncio.get_running_loop().create_task(self._release(free))

    async def _release(self, leases: int) -> None:
        assert self._leases is not None
        try:
            await self._disconnect()
        finally:
            for _ in range(leases):
                await self._leases.release()
