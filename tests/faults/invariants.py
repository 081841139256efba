"""What must hold after every fault, whatever it was, checked in one place.

I1  nothing is left: connections are back in their pools, no task runs, no file is open
I2  nothing of it runs on the server any more
I3  no wrong value, and no write done twice, or done where it was said not to be
I4  one clean error for each cell that failed, which names its database, and no other noise
I5  other databases notice nothing
I6  the next cells work, soon
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pgmagic.errors import CellError, PgMagicError
from tests.faults.trial import Told, Trial, Violation
from tests.pools import proxy_tasks
from tests.servers import TestDatabase

__all__ = ["after_close", "after_fault", "assert_clean", "no_file_left", "nothing_left"]

SETTLED = 1.0  # seconds for connections to come back, and for tasks to end
ORPHANED = 2.0  # seconds that a statement may outlive its client
NOT_OURS = ("asyncpg", "Traceback", "pybreaker", "<coroutine")


async def after_fault(trial: Trial, *, within: float) -> float:
    """Check what can be checked while the client lives; give the seconds of recovery."""
    await trial.stop_disturbing()
    recovery = await trial.recover(within=within)
    await nothing_left(trial)
    await _as_owed(trial)
    for told in trial.told:
        assert_clean(told, secret=trial.world.far.password)
    return recovery


async def nothing_left(trial: Trial) -> None:
    """Check that every connection is back in its pool and no statement runs on."""
    await _settled(trial)
    for database in (trial.world.far, trial.world.near):
        await _nothing_runs(database, state="state <> 'idle'")


async def after_close(trial: Trial, before: set["asyncio.Task[Any]"]) -> None:
    """Check that a closed client left nothing. `before` are the tasks before it was made."""
    for database in (trial.world.far, trial.world.near):
        await _nothing_runs(database, state="true")
    others = before | {asyncio.current_task()}
    await _within(
        SETTLED,
        lambda: not (asyncio.all_tasks() - others - proxy_tasks()),
        lambda: f"I1: tasks run: {asyncio.all_tasks() - others - proxy_tasks()}",
    )


@contextmanager
def no_file_left() -> Iterator[None]:
    """Check that all files and sockets that the block opened are closed."""
    files = Path("/proc/self/fd")
    before = len([*files.iterdir()])
    yield
    left = len([*files.iterdir()]) - before
    if left > 0:
        raise Violation(f"I1: {left} files or sockets are left open")


def assert_clean(told: Told, *, secret: str) -> None:
    """Check that a cell that failed says so once, in our words, and names its databases."""
    if isinstance(told.error, asyncio.CancelledError | KeyboardInterrupt | None):
        return
    if not isinstance(told.error, PgMagicError):
        raise Violation(f"I4: {told.error!r} is none of ours") from told.error
    text = "\n".join(told.error.report())
    for database in told.failures():
        # A cell that can't be read is nobody's fault but its own.
        if database not in text and not isinstance(told.error, CellError):
            raise Violation(f"I4: {database} is not named: {text}")
    if found := [word for word in (*NOT_OURS, secret) if word in text]:
        raise Violation(f"I4: {found} in {text}")
    shown_too = told.error.__cause__ or told.error.__context__
    if told.error.__cause__ or not (shown_too is None or told.error.__suppress_context__):
        raise Violation(f"I4: {shown_too!r} is shown before {text}")


async def _settled(trial: Trial) -> None:
    def left() -> list[str]:
        return [
            f"{now.database}: {now.size} open, {now.idle} idle, {now.in_use} in use, "
            f"{now.waiting} waiting, {len(now.running)} running"
            for now in trial.client.statistics()
            if now.size != now.idle or now.in_use or now.waiting or now.running
        ]

    await _within(SETTLED, lambda: not left(), lambda: f"I1: {left()}")


async def _nothing_runs(database: TestDatabase, *, state: str) -> None:
    """Wait until no backend of a client of ours is in this state."""
    deadline = time.monotonic() + ORPHANED
    async with database.connection() as connection:
        while rows := await connection.fetch(
            "select pid, state, query from pg_stat_activity"
            f" where application_name like 'pgmagic/%' and {state}"
        ):
            if time.monotonic() > deadline:
                raise Violation(f"I2: after {ORPHANED:g} s {[tuple(row) for row in rows]}")
            await asyncio.sleep(0.005)


async def _as_owed(trial: Trial) -> None:
    """Compare the ledgers with what was said of each write."""
    for name, database in (("far", trial.world.far), ("near", trial.world.near)):
        owed = {number: may for (where, number), may in trial.owed.items() if where == name}
        if not owed:
            continue
        async with database.connection() as connection:
            rows = await connection.fetch(
                "select id, count(*) from ledger where id = any($1) group by id", list(owed)
            )
        stands = dict(map(tuple, rows))
        for number, may in owed.items():
            if (times := stands.get(number, 0)) not in may:
                raise Violation(f"I3: {name} has write {number} {times} times, of {sorted(may)}")


async def _within(
    seconds: float, condition: Callable[[], bool], complaint: Callable[[], str]
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Violation(complaint())
        await asyncio.sleep(0.002)
