"""A queue in front of a pool: first come, first served, and counted."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Slots"]


class Slots:
    """So many may be inside at once; the others wait in the order in which they came.

    asyncpg's own pool serves its waiters in no particular order.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def inside(self) -> int:
        return self._inside

    @property
    def waiting(self) -> int:
        return sum(not place.done() for place in self._queue)

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        """Let more in, or wait until enough have left."""
        self._limit = max(1, limit)
        self._let_in()

    @property
    def is_free(self) -> bool:
        """Whether the next to come need not wait."""
        return self._inside < self._limit and not self._queue

    @asynccontextmanager
    async def slot(self, *, first: bool = False) -> AsyncIterator[None]:
        """Wait for a slot and leave it at the end. `first` goes to the head of the queue."""
        await self.enter(first=first)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, *, first: bool = False) -> None:
        if self.is_free:
            self._inside += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._queue.appendleft(place)
        else:
            self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # let in and cancelled at the same moment: the next one may go
            elif place in self._queue:
                self._queue.remove(place)
            raise

    def leave(self) -> None:
        self._inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._queue and self._inside < self._limit:
            place = self._queue.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)
