"""Raise the driver's errors as pgmagic's own, in words that hold no secret."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from pgmagic.database.conditions import condition
from pgmagic.database.fault import Fault, fault_of, origin, why, words
from pgmagic.database.framing import ProtocolBroken
from pgmagic.errors import (
    CellError,
    ConnectFailed,
    ConnectionLost,
    PgMagicError,
    QueryCancelled,
    QueryError,
    QueryTimeout,
)

if TYPE_CHECKING:
    from pgmagic.language.statement import Statement

__all__ = ["not_connected", "translated"]

HINTS = {
    "25006": "cells are READ ONLY: --write allows changes",
    "25P02": "an earlier statement of this transaction failed: rollback ends it",
    "26000": (
        "PREPARE lasts for its cell, or its --session; behind PgBouncer, the setting "
        "pooler = true does without prepared statements of our own"
    ),
    "28P01": "the server did not accept the password",
    "3D000": "the setting `database` names one that the server has; \\l lists them",
    "42P05": "behind PgBouncer, the setting pooler = true does without prepared statements",
    "53300": "the server, the role or the database allows no further connection",
}

LOST_IN_STATEMENT = frozenset({Fault.OUTAGE, Fault.CLOSED, Fault.GARBLED, Fault.UNSENT})


@contextmanager
def translated(
    database: str,
    statement: "Statement | None" = None,
    *,
    prefix: int = 0,
    statement_timeout: float | None = None,
) -> Iterator[None]:
    """Raise the driver's errors as pgmagic's own; cancellation passes.

    `prefix` is the number of characters that were sent before the statement's own text,
    `statement_timeout` the server's limit in seconds, for the message.
    """
    try:
        yield
    except Exception as error:
        ours = _in_statement(error, database, statement, prefix, statement_timeout)
        if ours is None:
            raise
        # The driver's frames hold the password and the values: nobody shall see them.
        raise ours from None


def not_connected(
    error: BaseException, *, database: str, where: str, timeout: float
) -> ConnectFailed:
    """Say why no connection could be made. `timeout`, in seconds, is what ran out, if it did."""
    error = origin(error)
    sqlstate = getattr(error, "sqlstate", None)
    return ConnectFailed(
        f"cannot connect to {where}: {why(error, timeout=timeout)}",
        database=database,
        sqlstate=sqlstate,
        hint=HINTS.get(sqlstate or ""),
    )


def _in_statement(
    error: Exception,
    database: str,
    statement: "Statement | None",
    prefix: int,
    statement_timeout: float | None,
) -> PgMagicError | None:
    fault = None if isinstance(error, PgMagicError) else fault_of(error)
    # An error that closed the connection says so by what asyncpg put around it.
    lost = isinstance(error, asyncpg.ConnectionDoesNotExistError)
    error = _as_exception(origin(error))
    if fault is None:
        return None
    if lost or fault in LOST_IN_STATEMENT:
        return _lost(error, fault, database)
    if fault is Fault.LIMIT:
        return _stopped(error, database, statement_timeout)
    if fault is Fault.ARGUMENT:
        return _misfit(error, statement)
    return _refused(error, database, statement, prefix)


def _as_exception(error: BaseException) -> Exception:
    assert isinstance(error, Exception)
    return error


def _lost(error: Exception, fault: Fault, database: str) -> ConnectionLost:
    if fault is Fault.UNSENT:
        return ConnectionLost(
            "the connection was gone before the statement was sent",
            database=database,
            sent=False,
        )
    said = words(error)
    if isinstance(error, ProtocolBroken):
        said = f"the server does not speak PostgreSQL's protocol: {error}"
    elif fault is Fault.GARBLED:
        said = f"the driver can make no sense of what the server sent ({type(error).__name__})"
    return ConnectionLost(
        "the connection was lost" + (f": {said}" if said else ""),
        database=database,
        hint="a change may have taken effect or not: look before it is repeated",
    )


def _stopped(
    error: Exception, database: str, statement_timeout: float | None
) -> QueryTimeout | QueryCancelled:
    if isinstance(error, asyncpg.PostgresError):
        # What we cancel ourselves never comes back as an error. Of the two others the server
        # gives one SQLSTATE, and tells them apart in words only, in its own language.
        if "user request" in words(error):
            return QueryCancelled(
                "somebody cancelled the statement on the server", database=database
            )
        limit = f" of {statement_timeout:g} s" if statement_timeout else ""
        return QueryTimeout(
            f"the statement took longer than the server's statement_timeout{limit}",
            database=database,
            hint="--timeout SECONDS sets the limit of a cell, the setting statement_timeout "
            "that of a database",
        )
    return QueryTimeout("the statement took too long", database=database)


def _misfit(error: Exception, statement: "Statement | None") -> CellError:
    # asyncpg's own message repeats the value.
    found = re.search(r"\$(\d+)", str(error))
    if found is None or statement is None:
        return CellError("a value does not fit the type of its parameter")
    number = int(found[1])
    name = "".join(f" {{{path}}}" for path in statement.parameters[number - 1 : number])
    spot = statement.placeholder(number)
    return CellError(
        f"the value of{name} does not fit the type that the server expects for ${number}",
        cell=spot.text,
        offset=spot.offset,
        saved=spot.saved,
    )


def _refused(
    error: Exception, database: str, statement: "Statement | None", prefix: int
) -> QueryError:
    if not isinstance(error, asyncpg.PostgresError):
        return QueryError(
            "a type changed on the server while its rows were read; the statement did run",
            database=database,
            cell=statement.cell if statement else None,
        )
    place, inside = _count(error.position), _count(error.internal_position)
    position = None if place is None else place - prefix
    internal = None if inside is None else inside - 1
    spot = statement.spot(position) if statement and position else None
    return QueryError(
        words(error),
        database=database,
        sqlstate=error.sqlstate,
        condition=condition(error),
        cell=spot.text if spot else statement.cell if statement else None,
        position=spot.offset if spot else None,
        saved=spot.saved if spot else None,
        statement=statement.sql if statement else None,
        detail=error.detail,
        hint=HINTS.get(error.sqlstate or "") or error.hint,
        context=error.context,
        internal_query=error.internal_query,
        internal_position=internal,
    )


def _count(text: str | None) -> int | None:
    """Read where an error stands; a server may write anything there."""
    return int(text) if text and len(text) < 12 and text.isascii() and text.isdigit() else None
