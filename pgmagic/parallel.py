"""Read the parts of one result on several connections that see the same snapshot.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from pgmagic.columns import Reading
from pgmagic.database.pool import DatabasePool, Lease
from pgmagic.database.translation import translated
from pgmagic.errors import ConnectFailed, PoolTimeout, QueryError

__all__ = ["ISOLATION", "read_parts"]

# Who exported the snapshot is gone: what a server says depends on the moment and its version.
# object_not_in_prerequisite_state, undefined_object, invalid_parameter_value
NO_SNAPSHOT = frozenset({"55000", "42704", "22023"})
ISOLATION = "isolation level repeatable read"

ReadPart: TypeAlias = Callable[[Any, str], Awaitable[Reading]]


async def read_parts(
    keeper: Lease,
    pool: DatabasePool,
    parts: Sequence[str],
    read: ReadPart,
    settings: Sequence[str] = (),
) -> list[Reading]:
    """Read every part, on as many connections as there are parts and the pool can lend.

    `keeper` is in a transaction of `ISOLATION`, in which it stays while others use its snapshot;
    it reads as well, so the parts are read even where no other connection comes free. `read` is
    given a connection and a part; `settings` are statements that each transaction begins with.
    Gives the readings in the order of `parts`. The first failure stops the others on the server
    and is raised.
    """
    with translated(pool.name):
        snapshot = await keeper.connection.fetchval("select pg_export_snapshot()")
    begin = [f"begin {ISOLATION} read only", f"set transaction snapshot '{snapshot}'", *settings]
    left = iter(enumerate(parts))
    done: dict[int, Reading] = {}

    async def work(connection: Any) -> None:
        for number, part in left:
            done[number] = await read(connection, part)

    async def join() -> None:
        try:
            async with pool.acquire() as lease:
                try:
                    with translated(pool.name):
                        await lease.connection.execute("; ".join(begin))
                except QueryError as error:
                    if error.sqlstate in NO_SNAPSHOT:
                        return  # the keeper has ended, and its own end says why
                    raise
                await work(lease.connection)
        except (PoolTimeout, ConnectFailed):
            pass  # the others have to do

    width = min(len(parts), pool.settings.max_size)
    tasks = [asyncio.create_task(work(keeper.connection))]
    tasks += [asyncio.create_task(join()) for _ in range(width - 1)]
    try:
        running = set(tasks)
        while running and len(done) < len(parts):
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
    finally:
        for task in tasks:
            task.cancel()  # does nothing to those that are done
        await asyncio.wait(tasks)
    return [done[number] for number in range(len(parts))]
