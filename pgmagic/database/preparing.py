"""Prepare a statement, with casts where the server can't tell a parameter's type."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from pgmagic.database.translation import translated
from pgmagic.language.casts import UNDECIDED, coerced, needs_casts, recast, with_casts
from pgmagic.language.statement import Statement

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["Prepared", "prepare"]

Prepare: TypeAlias = Callable[["asyncpg.Connection[Any]", str], Awaitable["PreparedStatement[Any]"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A statement that the server has read: as it was sent at last, with its arguments."""

    statement: Statement
    handle: "PreparedStatement[Any]"
    arguments: tuple[object, ...] = ()


async def prepare(
    connection: "asyncpg.Connection[Any]",
    statement: Statement,
    database: str,
    *,
    by: Prepare,
) -> Prepared:
    """Prepare a statement as it was written; where that can't be, with casts at its parameters.

    `by` prepares a text, as `connection.prepare` does.
    Raises `QueryError`, and `CellError` at a placeholder whose value would not arrive as it is.
    """
    if not statement.arguments:
        with translated(database, statement):
            return Prepared(statement=statement, handle=await by(connection, statement.sql))
    while True:
        with translated(database, statement):
            try:
                async with _undone_on_error(connection):
                    handle = await by(connection, statement.sql)
                break
            except asyncpg.PostgresError as error:
                undecided = error.sqlstate in UNDECIDED
                again = recast(statement, str(error)) if undecided else None
                if again is None:
                    raise
        statement = again
    types = [parameter.name for parameter in handle.get_parameters()]
    if needs_casts(statement, types):
        statement = with_casts(statement, types)
        with translated(database, statement):
            handle = await by(connection, statement.sql)
        types = [parameter.name for parameter in handle.get_parameters()]
    return Prepared(statement=statement, handle=handle, arguments=coerced(statement, types))


@asynccontextmanager
async def _undone_on_error(connection: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
    """Keep the transaction, where there is one, usable after a statement that was refused."""
    if not connection.is_in_transaction():
        yield
        return
    await connection.execute("savepoint pgmagic_prepare")
    try:
        yield
    except asyncpg.PostgresError:
        await connection.execute("rollback to pgmagic_prepare; release pgmagic_prepare")
        raise
    await connection.execute("release pgmagic_prepare")
