"""What an error of the driver means: one of ours, and what the breaker learns from it.

One table decides both, so that the two cannot disagree.
"""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

import asyncpg

from pgmagic.database.conditions import condition
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

__all__ = [
    "Fault",
    "Verdict",
    "fault_of",
    "not_connected",
    "translated",
    "verdict",
    "why",
]


class Verdict(Enum):
    """What a call says about the health of its database."""

    OUTAGE = "outage"
    ANSWERED = "answered"
    NEUTRAL = "neutral"


class Fault(Enum):
    """What went wrong, as far as pgmagic cares."""

    OUTAGE = "out of reach, or going down"
    DAMAGED = "the server cannot read its own files"
    FULL = "no connection left on the server"
    REFUSED = "the server does not let us in"
    CLOSED = "the server closed this one connection, on purpose"
    UNSENT = "the connection was gone before anything was sent"
    LIMIT = "stopped before it ended"
    STATEMENT = "the server refused the statement"
    ARGUMENT = "a value does not fit its parameter"

    @property
    def verdict(self) -> Verdict:
        if self in (Fault.OUTAGE, Fault.DAMAGED):
            return Verdict.OUTAGE
        return Verdict.ANSWERED if self is Fault.STATEMENT else Verdict.NEUTRAL


# The first prefix that fits decides: https://www.postgresql.org/docs/current/errcodes-appendix.html
FAULTS = (
    ("08P01", Fault.STATEMENT),  # the server, or a pooler, did not like what it read
    ("08", Fault.OUTAGE),
    ("25P03", Fault.CLOSED),  # idle in a transaction for too long
    ("25P04", Fault.CLOSED),  # a transaction that took too long
    ("28", Fault.REFUSED),
    ("3D", Fault.REFUSED),
    ("53300", Fault.FULL),
    ("57014", Fault.LIMIT),
    ("57P01", Fault.OUTAGE),
    ("57P02", Fault.OUTAGE),
    ("57P03", Fault.OUTAGE),
    ("57P04", Fault.CLOSED),  # the database was dropped
    ("57P05", Fault.CLOSED),  # idle for too long
    ("58000", Fault.DAMAGED),
    ("58030", Fault.DAMAGED),
)

HINTS = {
    "25006": "cells are READ ONLY: --write allows changes",
    "25P02": "an earlier statement of this transaction failed: rollback ends it",
    "26000": "behind PgBouncer, the setting pooler = true does without prepared statements",
    "28P01": "the server did not accept the password",
    "3D000": "the setting `database` names one that the server has; \\l lists them",
    "42P05": "behind PgBouncer, the setting pooler = true does without prepared statements",
    "53300": "the server, the role or the database allows no further connection",
}

CANNOT_BEGIN = "cannot switch to state"  # asyncpg's words, held by a test
LOST_IN_STATEMENT = frozenset({Fault.OUTAGE, Fault.CLOSED, Fault.UNSENT})


def fault_of(error: BaseException, *, connecting: bool = False) -> Fault | None:
    """Say what an error is; None for a cancellation and for what is not the driver's."""
    error = _origin(error)
    match error:
        case asyncio.CancelledError():
            return None
        case ConnectFailed(sqlstate=None) | ConnectionLost(sent=True):
            return Fault.OUTAGE
        case ConnectionLost():
            return Fault.UNSENT
        case ConnectFailed(sqlstate=sqlstate) | QueryError(sqlstate=sqlstate):
            return _fault_of_sqlstate(sqlstate)
        case PgMagicError():
            return None
        case asyncpg.DataError(severity=None):
            return Fault.ARGUMENT  # asyncpg's own: the server always gives a severity
        case asyncpg.PostgresError():
            return _fault_of_sqlstate(error.sqlstate)
        case asyncpg.OutdatedSchemaCacheError():
            return Fault.STATEMENT  # raised while rows are read: the statement did run
        case asyncpg.TargetServerAttributeNotMatched():
            return Fault.REFUSED
        case asyncpg.ProtocolError():
            return Fault.OUTAGE
        case asyncpg.InternalClientError() | asyncpg.InterfaceError() if connecting:
            return Fault.OUTAGE
        case asyncpg.InterfaceError():
            return Fault.UNSENT
        case asyncpg.InternalClientError():
            # It cannot begin while the server's good-bye is still unread; else it broke midway.
            return Fault.UNSENT if str(error).startswith(CANNOT_BEGIN) else Fault.CLOSED
        case TimeoutError() if not connecting:
            return Fault.LIMIT
        case ssl.SSLError():
            return Fault.REFUSED
        case OSError():
            # What asyncpg raises where the server wants no TLS has no class of its own.
            return Fault.REFUSED if type(error) is ConnectionError else Fault.OUTAGE
        case _:
            return None


def verdict(error: BaseException, *, connecting: bool = False) -> Verdict:
    """Say what the breaker learns from an error."""
    fault = fault_of(error, connecting=connecting)
    return Verdict.NEUTRAL if fault is None else fault.verdict


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
    error = _origin(error)
    sqlstate = getattr(error, "sqlstate", None)
    return ConnectFailed(
        f"cannot connect to {where}: {why(error, timeout=timeout)}",
        database=database,
        sqlstate=sqlstate,
        hint=HINTS.get(sqlstate or ""),
    )


def _fault_of_sqlstate(sqlstate: str | None) -> Fault:
    for prefix, fault in FAULTS:
        if sqlstate is not None and sqlstate.startswith(prefix):
            return fault
    return Fault.STATEMENT


def _origin(error: BaseException) -> BaseException:
    """Find the server's own words where asyncpg has put an error of its own over them."""
    if isinstance(error, asyncpg.InterfaceError) and isinstance(
        error.__context__, asyncpg.PostgresError | OSError
    ):
        error = error.__context__  # "cannot call Transaction.__aexit__()" tells nobody anything
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(
        error.__cause__, asyncpg.PostgresError
    ):
        error = error.__cause__
    return error


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
    error = _as_exception(_origin(error))
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
    words = _words(error)
    return ConnectionLost(
        "the connection was lost" + (f": {words}" if words else ""),
        database=database,
        hint="a change may have taken effect or not: look before it is repeated",
    )


def _stopped(
    error: Exception, database: str, statement_timeout: float | None
) -> QueryTimeout | QueryCancelled:
    if isinstance(error, asyncpg.PostgresError):
        # What we cancel ourselves never comes back as an error. Of the two others the server
        # gives one SQLSTATE, and tells them apart in words only, in its own language.
        if "user request" in _words(error):
            return QueryCancelled(
                "somebody cancelled the statement on the server", database=database
            )
        limit = f" of {statement_timeout:g} s" if statement_timeout else ""
        return QueryTimeout(
            f"the statement took longer than the server's statement_timeout{limit}",
            database=database,
            hint="the setting statement_timeout, in seconds, raises the limit",
        )
    return QueryTimeout("the statement took too long", database=database)


def _misfit(error: Exception, statement: "Statement | None") -> CellError:
    # asyncpg's own message repeats the value.
    found = re.search(r"\$(\d+)", str(error))
    if found is None or statement is None:
        return CellError("a value does not fit the type of its parameter")
    number = int(found[1])
    name = "".join(f" {{{path}}}" for path in statement.parameters[number - 1 : number])
    return CellError(
        f"the value of{name} does not fit the type that the server expects for ${number}",
        cell=statement.cell,
        offset=statement.placeholder(number),
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
    position = int(error.position) - prefix if error.position else None
    internal = int(error.internal_position) - 1 if error.internal_position else None
    return QueryError(
        _words(error),
        database=database,
        sqlstate=error.sqlstate,
        condition=condition(error),
        cell=statement.cell if statement else None,
        position=statement.locate(position) if statement and position else None,
        statement=statement.sql if statement else None,
        detail=error.detail,
        hint=HINTS.get(error.sqlstate or "") or error.hint,
        context=error.context,
        internal_query=error.internal_query,
        internal_position=internal,
    )


def _words(error: Exception) -> str:
    """Give the server's message; what asyncpg or the operating system says is no help here."""
    if isinstance(error, asyncpg.PostgresError) and error.severity is not None:
        return str(error.args[0])
    return ""


def why(error: BaseException, *, timeout: float | None = None) -> str:
    """Say in a few words, none of them secret, why a database could not be reached."""
    match error:
        case PgMagicError():
            return error.message
        case asyncpg.PostgresError() if _words(error):
            return _words(error)
        case TimeoutError():
            return "no answer" + (f" within {timeout:.3g} s" if timeout else "")
        case socket.gaierror():
            return "the name of the host is not known"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            reason = getattr(error, "reason", None)  # set by the ssl module alone
            return f"no TLS: {reason or 'the handshake failed'}"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError():
            return "connection reset"
        case FileNotFoundError():
            return "no server listens on that socket"
        case asyncpg.TargetServerAttributeNotMatched():
            return "no host has the role that target_session_attrs asks for"
        case OSError() if type(error) is ConnectionError:
            return "the server refuses TLS, or failed to begin it"
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case _:
            return "the connection broke while it was made"
