"""What an error of the driver means for the database that it came from.

One table says it, for the breaker and for the words that a user reads, so that the two cannot
disagree.
"""

import asyncio
import os
import re
import socket
import ssl
import sysconfig
from enum import Enum
from pathlib import Path
from types import TracebackType

import asyncpg

from pgmagic.database.framing import ProtocolBroken
from pgmagic.errors import ConnectFailed, ConnectionLost, PgMagicError, QueryError

__all__ = ["Fault", "Verdict", "fault_of", "origin", "verdict", "why", "words"]


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
    GARBLED = "the driver can make no sense of what the server sent"
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

DRIVER = str(Path(asyncpg.__file__).parent)
STANDARD_LIBRARY = sysconfig.get_path("stdlib") + os.sep
SITE_PACKAGES = f"{os.sep}site-packages{os.sep}"

# asyncpg's words, held by a test. The numbers are of states that a statement begins with: into
# others, such as that of a COPY's end, it is the server that switches, once more than it may.
CANNOT_BEGIN = re.compile(r"cannot switch to state (1[1-8]|21);")


def fault_of(error: BaseException, *, connecting: bool = False) -> Fault | None:
    """Say what an error is; None for a cancellation and for what is not the driver's."""
    error = origin(error)
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
            return Fault.UNSENT if CANNOT_BEGIN.match(str(error)) else Fault.CLOSED
        case TimeoutError() if not connecting:
            return Fault.LIMIT
        case ssl.SSLError():
            return Fault.REFUSED
        case OSError():
            # What asyncpg raises where the server wants no TLS has no class of its own.
            return Fault.REFUSED if type(error) is ConnectionError else Fault.OUTAGE
        case Exception() if _rose_in_driver(error.__traceback__):
            return Fault.GARBLED
        case _:
            return None


def _rose_in_driver(traceback: TracebackType | None) -> bool:
    """Whether it was asyncpg, or what it called of Python's own library, that failed."""
    place = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith((STANDARD_LIBRARY, "<")) or SITE_PACKAGES in file:
            place = file
        traceback = traceback.tb_next
    # What is compiled names its source by a path of its own.
    return place.startswith(("asyncpg/", f"{DRIVER}{os.sep}"))


def verdict(error: BaseException, *, connecting: bool = False) -> Verdict:
    """Say what the breaker learns from an error."""
    fault = fault_of(error, connecting=connecting)
    return Verdict.NEUTRAL if fault is None else fault.verdict


def words(error: Exception) -> str:
    """Give the server's message; what asyncpg or the operating system says is no help here."""
    if isinstance(error, asyncpg.PostgresError) and error.severity is not None:
        return str(error.args[0])
    return ""


def why(error: BaseException, *, timeout: float | None = None) -> str:
    """Say in a few words, none of them secret, why a database could not be reached."""
    match error:
        case PgMagicError():
            return error.message
        case asyncpg.PostgresError() if words(error):
            return words(error)
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
        case ProtocolBroken():
            return f"the server does not speak PostgreSQL's protocol: {error}"
        case asyncpg.TargetServerAttributeNotMatched():
            return "no host has the role that target_session_attrs asks for"
        case OSError() if type(error) is ConnectionError:
            return "the server refuses TLS, or failed to begin it"
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case _:
            return "the connection broke while it was made"


def origin(error: BaseException) -> BaseException:
    """Find the server's own words where asyncpg has put an error of its own over them."""
    if isinstance(error, asyncpg.InterfaceError) and isinstance(
        error.__context__, asyncpg.PostgresError | OSError
    ):
        error = error.__context__  # "cannot call Transaction.__aexit__()" tells nobody anything
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(
        error.__cause__, asyncpg.PostgresError | ProtocolBroken
    ):
        error = error.__cause__
    return error


def _fault_of_sqlstate(sqlstate: str | None) -> Fault:
    for prefix, fault in FAULTS:
        if sqlstate is not None and sqlstate.startswith(prefix):
            return fault
    return Fault.STATEMENT
