"""Pools for tests: on a fresh database, closed at the end, and proven to have leaked nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from tests.proxy import FaultProxy
from tests.servers import TestDatabase


class StepClock:
    """A clock that goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: float) -> None:
        self.now += seconds


def settings_for(
    database: TestDatabase, /, *, by: FaultProxy | None = None, **changes: Any
) -> DatabaseSettings:
    """Give settings of a test database over TCP, by way of a proxy if there is one."""
    where: dict[str, Any] = {
        "name": "sales",
        "host": "127.0.0.1",
        "port": database.port if by is None else by.port,
        "user": database.user,
        "database": database.name,
        "password": lambda: database.password,
        "sslmode": "disable",
    }
    return DatabaseSettings(**(where | changes))


@asynccontextmanager
async def pool_on(
    database: TestDatabase,
    /,
    *,
    by: FaultProxy | None = None,
    clock: Callable[[], float] | None = None,
    **changes: Any,
) -> AsyncIterator[DatabasePool]:
    """Make a pool on a test database; at the end nothing of it may be left."""
    before = asyncio.all_tasks()
    options = {} if clock is None else {"clock": clock}
    pool = DatabasePool(settings_for(database, by=by, **changes), **options)
    try:
        yield pool
    finally:
        await pool.close()
    await eventually(lambda: not (asyncio.all_tasks() - before - proxy_tasks()))
    assert pool.statistics().size == 0
    assert pool.statistics().in_use == 0


def proxy_tasks() -> set[asyncio.Task[Any]]:
    return {
        task
        for task in asyncio.all_tasks()
        if "FaultProxy" in getattr(task.get_coro(), "__qualname__", "")
        or "StreamReaderProtocol" in repr(task.get_coro())
    }


async def eventually(condition: Callable[[], Any], *, within: float = 5.0) -> None:
    """Wait until a condition holds; fails where it does not `within` so many seconds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.002)


async def idle(pool: DatabasePool) -> None:
    """Wait until every connection is back."""
    await eventually(lambda: pool.statistics().in_use == 0)
    await pool.settle()


async def run(pool: DatabasePool, sql: str, *, then: Exception | None = None) -> Any:
    """Ask one question on a connection of its own, and fail afterwards if so told."""
    async with pool.acquire() as lease:
        value = await lease.connection.fetchval(sql)
        if then is not None:
            raise then
        return value


async def active_queries(database: TestDatabase) -> list[str]:
    """Say what runs in a database, other than this question."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select query from pg_stat_activity"
            " where datname = $1 and state <> 'idle' and pid <> pg_backend_pid()"
            " and backend_type = 'client backend'",
            database.name,
        )
    return [row["query"] for row in rows]


async def until_active(database: TestDatabase) -> None:
    """Wait until a `pg_sleep` runs in a database: not just what a new connection asks."""
    async with asyncio.timeout(5):
        while not any("pg_sleep" in query for query in await active_queries(database)):
            pass


async def until_quiet(database: TestDatabase, *, within: float = 3.0) -> None:
    """Wait until nothing runs in a database any more."""
    async with asyncio.timeout(within):
        while await active_queries(database):
            pass


async def terminate_backends(database: TestDatabase) -> int:
    """End all connections of the pools to a database and wait for it; give how many there were."""
    async with database.connection() as connection:
        return await connection.fetchval(
            "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
            " where datname = $1 and pid <> pg_backend_pid() and backend_type = 'client backend'",
            database.name,
        )
