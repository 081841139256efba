"""A cursor that is opened, read and closed so that it leaves what COPY would leave.

The connections here are the driver's own, not what a pool lends: those raise where they are lost,
in place of the error that is being handled.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from pgmagic.columns.abilities import statement_timeout
from pgmagic.errors import QueryTimeout
from pgmagic.grace import CANCEL_GRACE

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["opened", "within_a_transaction", "within_its_time"]


@asynccontextmanager
async def within_its_time(
    connection: "asyncpg.Connection[Any]", database: str
) -> AsyncIterator[None]:
    """End the block where the server would end one statement: to it, each fetch is one.

    Raises `QueryTimeout`.
    """
    seconds = await statement_timeout(connection)
    limit = asyncio.timeout(seconds or None)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
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

    One that was open is aborted where the block is left early, as by any statement that is stopped:
    what it has written must not be committed later.
    """
    # asyncpg's own would wait without an end for the rollback of a server that is gone.
    begun = not connection.is_in_transaction()
    try:
        if begun:
            await connection.execute("begin")
        yield
        if begun:
            await connection.execute("commit")
    except asyncpg.PostgresError:
        # The server has aborted it; a COMMIT that was refused has ended it as well.
        if begun and not connection.is_closed() and connection.is_in_transaction():
            await _in_time(connection, connection.execute("rollback"))
        raise
    except BaseException:
        # Where it was stopped, a BEGIN on its way may have taken effect.
        end = connection.execute("rollback") if begun else _abort(connection)
        await _in_time(connection, end)
        raise


@asynccontextmanager
async def opened(statement: "PreparedStatement[Any]") -> AsyncIterator[Any]:
    """Open a cursor, and close it where the transaction goes on: its tables can be altered then.

    asyncpg has no public way to close one.
    """
    cursor: Any = await statement.cursor()
    yield cursor
    await cursor._close_portal(None)


async def _abort(connection: "asyncpg.Connection[Any]") -> None:
    """Let the server refuse something: until the transaction is ended it takes nothing then."""
    with suppress(asyncpg.InvalidSavepointSpecificationError):
        await connection.execute("rollback to pgmagic_stopped_a_statement")


async def _in_time(connection: "asyncpg.Connection[Any]", cleaning: Awaitable[Any]) -> None:
    """Clean up after an error, or give the connection up; the error itself goes on."""
    try:
        async with asyncio.timeout(CANCEL_GRACE):
            await cleaning
    except BaseException as failure:
        connection.terminate()
        if not isinstance(failure, Exception):
            raise
