"""The COPY that carries the rows of a statement.

https://www.postgresql.org/docs/current/sql-copy.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from pgmagic.columns.copybinary import HEADER, TRAILER
from pgmagic.columns.pgtypes import Cast, cast_of
from pgmagic.errors import ConnectionLost
from pgmagic.grace import CANCEL_GRACE
from pgmagic.outcome import Column

__all__ = [
    "CopyStatement",
    "behind",
    "carries_rows",
    "copy_statement",
    "has_rules",
    "is_passing",
    "needs_cast",
    "run_copy",
]

GRACE = 1.0  # seconds

PROBE = "COPY (SELECT 1) TO STDOUT (FORMAT binary)"
PROBE_ANSWER = HEADER + b"\0\1" + b"\0\0\0\4" + b"\0\0\0\1" + TRAILER
# Rules of views, which all have one, and of the system's own tables are not meant.
# https://www.postgresql.org/docs/current/catalog-pg-rewrite.html
RULES = """
select exists (
    select from pg_catalog.pg_rewrite where ev_type <> '1' and ev_class >= 16384
)
"""
# Classes of errors that say nothing about COPY: a lost connection, a state that does not fit, a
# transaction that met another, a full or failing server, one that shuts down or was told to stop.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = frozenset({"08", "25", "40", "53", "55", "57", "58"})


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


async def carries_rows(connection: "asyncpg.Connection[Any]", database: str) -> bool:
    """Ask a server whether it has binary COPY: some that only speak the protocol have not.

    A refusal would end an open transaction. Raises `ConnectionLost` where what comes has no end,
    and the driver's errors of any other kind.
    """
    itself, came = behind(connection), bytearray()

    async def take(data: bytes) -> None:
        came.extend(data)
        if len(came) > len(PROBE_ANSWER):
            itself.terminate()
            raise ConnectionLost("one row was asked for, and more came", database=database)

    try:
        await run_copy(connection, PROBE, take)
    except asyncpg.PostgresError as error:
        if itself.is_closed() or is_passing(error):
            raise
        return False
    return came == PROBE_ANSWER


async def has_rules(connection: "asyncpg.Connection[Any]") -> bool:
    """Ask whether rules may make several statements of one, which COPY would refuse to carry.

    Where nobody can tell, they may. Raises the driver's errors, in a transaction all of them.
    """
    try:
        return bool(await connection.fetchval(RULES))
    except asyncpg.PostgresError as error:
        if connection.is_closed() or connection.is_in_transaction() or is_passing(error):
            raise
        return True


def is_passing(error: asyncpg.PostgresError) -> bool:
    """Whether an error says nothing about what the server can do."""
    return (error.sqlstate or "")[:2] in PASSING


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
