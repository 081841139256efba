"""Hold several databases at the states that they are in now: all of them or none."""

import asyncio
from collections.abc import Sequence

from pgmagic.database.pool import DatabasePool
from pgmagic.database.snapshot import Snapshot
from pgmagic.errors import CellError, FanOutError, PgMagicError
from pgmagic.outcome import Failure

__all__ = ["SECONDS", "hold", "let_go"]

SECONDS = 600.0
"""How long a snapshot lasts where nobody says otherwise."""

MOST = 86_400.0  # seconds


async def hold(pools: Sequence[DatabasePool], seconds: float) -> tuple[Snapshot, ...]:
    """Take a snapshot of every database at the same time, and let all cells read them.

    Those that were held before end. Where one database fails, or the wait is cancelled, nothing
    has changed. Raises the database's own error, `FanOutError` where several failed, and
    `CellError` for a time that is no good.
    """
    if not 0 < seconds <= MOST:
        raise CellError(f"a snapshot lasts a number of seconds up to {MOST:.0f}: {seconds:g}")
    tasks = [asyncio.create_task(pool.take_snapshot(seconds)) for pool in pools]
    try:
        await asyncio.wait(tasks)
        taken = _all_of(pools, tasks)
        for pool in pools:
            if pool.is_closed:
                raise PgMagicError("its pool was closed meanwhile", database=pool.name)
        before = [pool.hold(snapshot) for pool, snapshot in zip(pools, taken, strict=True)]
    except BaseException:
        await _give_up(tasks)
        raise
    await _end([snapshot for snapshot in before if snapshot is not None])
    return tuple(taken)


async def let_go(pools: Sequence[DatabasePool]) -> tuple[str, ...]:
    """End what these databases are held at; give the names of those that were."""
    held = [pool for pool in pools if pool.snapshot is not None]
    before = [pool.hold(None) for pool in held]
    await _end([snapshot for snapshot in before if snapshot is not None])
    return tuple(pool.name for pool in held)


def _all_of(
    pools: Sequence[DatabasePool], tasks: Sequence[asyncio.Task[Snapshot]]
) -> list[Snapshot]:
    failures = []
    for pool, task in zip(pools, tasks, strict=True):
        error = task.exception()
        if isinstance(error, PgMagicError):
            failures.append(Failure(database=pool.name, error=error, elapsed=0.0))
        elif error is not None:
            raise error
    if len(failures) > 1:
        raise FanOutError(failures, failures)
    if failures:
        raise failures[0].error
    return [task.result() for task in tasks]


async def _give_up(tasks: Sequence[asyncio.Task[Snapshot]]) -> None:
    """Leave no connection behind of snapshots that were taken, or are about to be."""
    for task in tasks:
        task.cancel()  # does nothing to those that are done
    await asyncio.wait(tasks)
    await _end([t.result() for t in tasks if not t.cancelled() and t.exception() is None])


async def _end(snapshots: Sequence[Snapshot]) -> None:
    try:
        await asyncio.gather(*(snapshot.end() for snapshot in snapshots))
    except BaseException:  # stopped, perhaps before any of them began to end
        for snapshot in snapshots:
            snapshot.terminate()
        raise
