"""How many connections to one database all workers of a cluster have, together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from distributed import Semaphore, Status

__all__ = ["Leases"]

# A worker that dies while it waits may be given a lease all the same; it does not wait for long.
WAIT = 2.0  # seconds


class Leases:
    """Leases of one database, which the scheduler of a cluster keeps count of.

    A lease that a dead worker had comes free when the scheduler has not heard of it for its
    `distributed.scheduler.locks.lease-timeout`, 30 seconds by default.
    """

    def __init__(self, database: str, most: int, worker: Any) -> None:
        self._worker = worker
        self._loop: asyncio.AbstractEventLoop = worker.loop.asyncio_loop
        self._semaphore = Semaphore(
            max_leases=most,
            name=f"pgmagic {database} {most}",
            scheduler_rpc=worker.scheduler,
            loop=worker.loop,
        )

    async def acquire(self) -> None:
        """Wait for a lease."""
        while not await self._on_worker(lambda: self._semaphore.acquire(timeout=WAIT)):
            pass

    async def release(self) -> None:
        """Give a lease back, unless the worker is about to end: then it times out."""
        if self._worker.status != Status.running:
            return
        await self._on_worker(self._semaphore.release)

    async def _on_worker(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call the semaphore on the loop of Dask's worker, which it belongs to."""

        async def work() -> Any:
            return await call()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))
