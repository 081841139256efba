"""What pgmagic tells its log: a few events, each a sentence with fields beside it.

Every record of the logger `pgmagic.events` has the attributes `event` and `database`, and those
that its function names. None holds a password, the text of a statement, a value or a row.
"""

import logging
from typing import Literal

__all__ = [
    "catalogue_ignored",
    "circuit_changed",
    "connect_failed",
    "connected",
    "connection_lost",
    "connection_unfit",
    "is_heard",
    "passfile_ignored",
    "pooler_found",
    "query_cancelled",
    "query_finished",
    "query_retried",
    "server_full",
    "server_ignores_lost_clients",
]

logging.getLogger("pgmagic").addHandler(logging.NullHandler())  # a library says nothing unasked
logger = logging.getLogger(__name__)


def is_heard() -> bool:
    """Whether anybody listens to what becomes of queries."""
    return logger.isEnabledFor(logging.INFO)


def connected(database: str, *, seconds: float) -> None:
    """A connection was opened; `seconds` is how long that took."""
    _tell(logging.DEBUG, "connected", "connected in %(seconds).3f s", database, seconds=seconds)


def connect_failed(database: str, *, error: str, sqlstate: str | None) -> None:
    """No connection could be opened; `error` is the driver's class."""
    message = "no connection: %(error)s (%(sqlstate)s)" if sqlstate else "no connection: %(error)s"
    _tell(logging.INFO, "connect_failed", message, database, error=error, sqlstate=sqlstate)


def connection_lost(database: str) -> None:
    """A connection ended, and it was not pgmagic that closed it."""
    _tell(logging.INFO, "connection_lost", "a connection was lost", database)


def connection_unfit(database: str, *, error: str) -> None:
    """A connection could not be reset for the next cell, and was closed."""
    message = "a connection was not fit for reuse: %(error)s"
    _tell(logging.INFO, "connection_unfit", message, database, error=error)


def circuit_changed(database: str, *, state: str, was: str | None) -> None:
    """The breaker opened, tries, or closed."""
    level = logging.WARNING if state == "open" else logging.INFO
    _tell(
        level, "circuit_changed", "circuit %(state)s, was %(was)s", database, state=state, was=was
    )


def server_full(database: str, *, connections: int) -> None:
    """The server has no connection left: those that are open must do for a while."""
    message = "the server is full, %(connections)d connections must do"
    _tell(logging.INFO, "server_full", message, database, connections=connections)


def server_ignores_lost_clients(database: str) -> None:
    """The server does not notice that a client is gone until its query ends."""
    message = "the server does not look after lost clients"
    _tell(logging.INFO, "server_ignores_lost_clients", message, database)


def pooler_found(database: str, *, because: str) -> None:
    """PgBouncer, or its like, stands between here and the server."""
    message = "a connection pooler stands in between: %(because)s"
    _tell(logging.INFO, "pooler_found", message, database, because=because)


def passfile_ignored(database: str, *, path: str, problem: str) -> None:
    """The password file is there, and must not be used."""
    message = 'password file "%(path)s" is ignored: it %(problem)s'
    _tell(logging.WARNING, "passfile_ignored", message, database, path=path, problem=problem)


def catalogue_ignored(database: str, *, error: str) -> None:
    """What completion would have suggested could not be read; `error` is our own class."""
    message = "the catalogue was not read: %(error)s"
    _tell(logging.INFO, "catalogue_ignored", message, database, error=error)


def query_finished(
    database: str,
    *,
    outcome: Literal["answered", "failed"],
    verb: str,
    fingerprint: str,
    seconds: float,
    rows: int | None = None,
    error: str | None = None,
    sqlstate: str | None = None,
) -> None:
    """A database did its share of a cell, or failed to; `verb` is the statements' first words.

    `fingerprint` is the same for cells that differ in their literals only.
    """
    _tell(
        logging.INFO,
        "query_finished",
        "%(verb)s %(outcome)s in %(seconds).3f s",
        database,
        outcome=outcome,
        verb=verb,
        fingerprint=fingerprint,
        seconds=seconds,
        rows=rows,
        error=error,
        sqlstate=sqlstate,
    )


def query_cancelled(database: str, *, verb: str, fingerprint: str, seconds: float) -> None:
    """A database's share of a cell was stopped by the user."""
    message = "%(verb)s cancelled after %(seconds).3f s"
    _tell(
        logging.INFO,
        "query_cancelled",
        message,
        database,
        verb=verb,
        fingerprint=fingerprint,
        seconds=seconds,
    )


def query_retried(database: str, *, verb: str, fingerprint: str, attempt: int, error: str) -> None:
    """A statement that changed nothing is sent once more; `attempt` is 1 for the first time."""
    message = "%(verb)s is tried again, for the %(attempt)d. time, after %(error)s"
    _tell(
        logging.INFO,
        "query_retried",
        message,
        database,
        verb=verb,
        fingerprint=fingerprint,
        attempt=attempt,
        error=error,
    )


def _tell(level: int, event: str, message: str, database: str, **fields: object) -> None:
    logger.log(
        level,
        "%(database)s: " + message,
        {"database": database, **fields},
        extra={"event": event, "database": database, **fields},
        stacklevel=3,  # where it happened
    )
