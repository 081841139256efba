"""A cursor that is opened, read and closed so that nothing of it stays, whatever happens.

The connections here are the driver's own, not what a pool lends: those raise where they are lost,
in place of the error that is being handled.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from pgmagic.errors import QueryTimeout
from pgmagic.grace import CANCEL_GRACE

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["opened", "within_a_transaction", "within_its_time"]

LIMIT: Final = """
select extract(epoch from pg_catalog.current_setting('statement_timeout')::interval)::float8
"""


@asynccontextmanager
async def within_its_time(
    connection: "asyncpg.Connection[Any]", database: str
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """End the block where the server would end one statement: to it, each fetch is one.

    Gives what is to be called before each further fetch; the limit is looked up by the first call,
    and counts from the beginning. Raises `QueryTimeout`.
    """
    started, seconds = asyncio.get_running_loop().time(), None

    async def goes_on() -> None:
        nonlocal seconds
        if seconds is None:
            seconds = float(await connection.fetchval(LIMIT) or 0)
            if seconds > 0:
                timeout.reschedule(started + seconds)

    try:
        async with asyncio.timeout(None) as timeout:
            yield goes_on
    except TimeoutError:
        if not timeout.expired():
            raise
        raise QueryTimeout(
            f"the statement took longer than the server's statement_timeout of {seconds:g} s",
            database=database,
            hint="the setting statement_timeout sets it for a database, and --timeout SECONDS "
            "for a cell",
        ) from None


@asynccontextmanager
async def within_a_transaction(connection: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
    """Stand in a transaction, begun and ended here where none is open.

    asyncpg's own would wait without an end for the rollback of a server that is gone.
    """
    if connection.is_in_transaction():
        yield
        return
    try:
        await connection.execute("begin")
        yield
        await connection.execute("commit")
    except asyncpg.PostgresError:
        if connection.is_in_transaction():  # a COMMIT that was refused has ended it
            await _in_time(connection, connection.execute("rollback"))
        raise
    except BaseException:
        # Where it was stopped, a BEGIN on its way may have taken effect.
        await _in_time(connection, connection.execute("rollback"))
        raise


@asynccontextmanager
async def opened(
    connection: "asyncpg.Connection[Any]", statement: "PreparedStatement[Any]"
) -> AsyncIterator[Any]:
    """Open a cursor, and close it where the transaction can go on: its tables can be altered then.

    asyncpg has no public way to close one.
    """
    cursor: Any = await statement.cursor()
    try:
        yield cursor
    except asyncpg.PostgresError:
        raise  # the transaction has failed, and the cursor goes with it
    except BaseException:
        await _in_time(connection, cursor._close_portal(None))
        raise
    await cursor._close_portal(None)


async def _in_time(connection: "asyncpg.Connection[Any]", cleaning: Awaitable[Any]) -> None:
    """Clean up after an error, or give the connection up; the error itself goes on."""
    try:
        async with asyncio.timeout(CANCEL_GRACE):
            await cleaning
    except BaseException as failure:
        connection.terminate()
        if not isinstance(failure, Exception):
            raise
