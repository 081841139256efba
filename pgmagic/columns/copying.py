"""The COPY that carries the rows of a statement.

https://www.postgresql.org/docs/current/sql-copy.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from pgmagic.columns.pgtypes import Cast, cast_of
from pgmagic.grace import CANCEL_GRACE
from pgmagic.outcome import Column

__all__ = [
    "CopyStatement",
    "behind",
    "copy_statement",
    "needs_cast",
    "run_copy",
]

GRACE = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStatement:
    """A COPY around a statement. `prefix` is what stands before it, in characters."""

    sql: str
    prefix: int


def needs_cast(columns: Sequence[Column]) -> bool:
    """Whether the server has to write some columns as text, for lack of a decoder."""
    return any(cast_of(column.type) is not Cast.NONE for column in columns)


def copy_statement(
    sql: str, columns: Sequence[Column], *, limit: int | None = None
) -> CopyStatement:
    """Put COPY around a statement.

    It is put into a subquery as well where columns must be cast or rows limited; columns go by
    position there, because names may stand twice. A line break before each closing parenthesis
    ends a comment that the statement may end with.
    """
    sql = sql.rstrip().removesuffix(";")
    before, after = "COPY (", "\n) TO STDOUT (FORMAT binary)"
    if needs_cast(columns):
        names = [f"c{number}" for number in range(1, len(columns) + 1)]
        selected = ", ".join(
            _cast(name, cast_of(column.type)) for name, column in zip(names, columns, strict=True)
        )
        before += f"SELECT {selected} FROM ("
        after = f"\n) AS t({', '.join(names)})" + _limit(limit) + after
    elif limit is not None:
        before += "SELECT * FROM ("
        after = "\n) AS t" + _limit(limit) + after
    return CopyStatement(sql=before + sql + after, prefix=len(before))


async def run_copy(
    connection: "asyncpg.Connection[Any]",
    sql: str,
    take: Callable[[bytes], Awaitable[None]],
) -> str:
    """Run a COPY … TO STDOUT that is written already, and return its command tag.

    Commands without rows may stand before it. Where `take` raises, or the task is cancelled, it
    is stopped on the server.
    """
    stopped = False

    async def take_or_drop(data: bytes) -> None:
        if not stopped:
            await take(data)

    # asyncpg has no public way to run one; its own copy_from_query() calls this.
    itself = behind(connection)
    copying: asyncio.Task[str] = asyncio.ensure_future(itself._copy_out(sql, take_or_drop, None))
    limit: float | None = itself._config.command_timeout
    # asyncpg keeps to it by itself, but where it lost its place among the server's messages.
    async with asyncio.timeout(None if limit is None else limit + GRACE):
        try:
            return await asyncio.shield(copying)
        except asyncio.CancelledError:
            stopped = True
            await _stop(itself, copying)
            raise


def behind(connection: "asyncpg.Connection[Any]") -> Any:
    """Give the connection behind the one that a pool lends, for what asyncpg keeps private.

    Raises `InterfaceError` where it was lost; the private parts would fail in ways of their own.
    """
    if connection.is_closed():  # what a pool lent raises by itself, once it is lost
        raise asyncpg.InterfaceError("connection is closed")
    return getattr(connection, "_con", connection)


async def _stop(connection: Any, copying: "asyncio.Task[str]") -> None:
    """Cancel a COPY on the server and read to its end, so that the connection can be used.

    asyncpg 0.32 loses its place when a COPY is cancelled in the moment data arrive, which in
    the middle of a stream is most of the time. A server that does not stop in time, or a second
    cancellation, ends the connection.
    """
    if copying.done():
        return
    sent = asyncio.get_running_loop().create_future()
    connection._cancel_current_command(sent)
    try:
        await asyncio.wait([copying, sent], timeout=CANCEL_GRACE)
    finally:
        if not (copying.done() and sent.done()):
            connection.terminate()
        # Somebody has to look at the error, if only to forget it.
        copying.add_done_callback(lambda done: done.cancelled() or done.exception())


def _limit(limit: int | None) -> str:
    return "" if limit is None else f" LIMIT {limit}"


def _cast(name: str, cast: Cast) -> str:
    match cast:
        case Cast.NONE:
            return name
        case Cast.TEXT:
            # A cast may be anybody's function, inet's adds a mask; concat() writes a value as
            # the type's output function does. It makes NULL an empty text, so that goes around.
            return f"CASE WHEN {name} IS DISTINCT FROM NULL THEN concat({name}) END"
        case Cast.TEXT_ARRAY:
            return f"{name}::text[]"
