"""Everything pgmagic raises.

    PgMagicError
    ├── CellError               mine: the cell, or a setting, cannot be read
    │   ├── UnknownDatabase
    │   ├── MissingVariable
    │   └── SettingsError
    ├── QueryError              mine: the server refused the statement
    ├── Unavailable             theirs: the database is out of reach
    │   ├── CircuitOpen
    │   ├── ConnectFailed
    │   ├── ConnectionLost
    │   ├── PoolTimeout
    │   └── QueryTimeout
    ├── QueryCancelled          somebody stopped it
    ├── ResultTooLarge          it would not fit into memory
    └── FanOutError             some of several databases failed; the others' rows are in `partial`

No message holds a password or the value of a parameter.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pgmagic.excerpt import excerpt

if TYPE_CHECKING:
    from pgmagic.outcome import Failure, Outcome

__all__ = [
    "CellError",
    "CircuitOpen",
    "ConnectFailed",
    "ConnectionLost",
    "FanOutError",
    "MissingVariable",
    "PgMagicError",
    "PoolTimeout",
    "QueryCancelled",
    "QueryError",
    "QueryTimeout",
    "ResultTooLarge",
    "SettingsError",
    "Unavailable",
    "UnknownDatabase",
]


class PgMagicError(Exception):
    """Root of every error that pgmagic raises.

    `message` is one sentence. `hint` says what to do, where that is known.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def report(self) -> list[str]:
        """Tell the whole error in a few lines of plain text."""
        lines = [f"{type(self).__name__}: {self.message}"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.report()).removeprefix(f"{type(self).__name__}: ")

    def _render_traceback_(self) -> list[str]:
        """Show one screen in IPython, without pgmagic's own frames."""
        return self.report()


class CellError(PgMagicError):
    """The cell cannot be read; nothing was sent to any database.

    `offset` counts characters of `cell` from 0.
    """

    def __init__(
        self,
        message: str,
        *,
        cell: str | None = None,
        offset: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.cell = cell
        self.offset = offset

    def report(self) -> list[str]:
        lines = super().report()
        if self.cell is not None and self.offset is not None:
            lines[1:1] = excerpt(self.cell, self.offset)
        return lines


class UnknownDatabase(CellError):
    """A target names no database, pattern or group that is configured."""


class MissingVariable(CellError):
    """A placeholder names a variable that the notebook does not have."""


class SettingsError(CellError):
    """A setting is missing, misspelt or out of range."""


class QueryError(PgMagicError):
    """The server refused the statement.

    `sqlstate` is the five characters of
    https://www.postgresql.org/docs/current/errcodes-appendix.html, `condition` its name there,
    `position` the 0-based offset into `cell` of the character the server points at, `statement`
    the text as it was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        database: str,
        sqlstate: str | None = None,
        condition: str | None = None,
        cell: str | None = None,
        position: int | None = None,
        statement: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        context: str | None = None,
        internal_query: str | None = None,
        internal_position: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.database = database
        self.databases: tuple[str, ...] = (database,)
        self.sqlstate = sqlstate
        self.condition = condition
        self.cell = cell
        self.position = position
        self.statement = statement
        self.detail = detail
        self.context = context
        self.internal_query = internal_query
        self.internal_position = internal_position

    def report(self) -> list[str]:
        code = " ".join(filter(None, (self.sqlstate, self.condition)))
        lines = [
            f"SQL error in {', '.join(self.databases)}: {self.message}"
            + (f" ({code})" if code else "")
        ]
        if self.cell is not None and self.position is not None:
            lines += excerpt(self.cell, self.position)
        if self.internal_query is not None:
            lines.append("in the function's own query:")
            lines += excerpt(self.internal_query, self.internal_position or 0)
        if self.detail:
            lines.append(f"detail: {self.detail}")
        if self.context:
            lines.append(f"context: {self.context}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return lines

    def same_as(self, other: "QueryError") -> bool:
        """Whether two databases said the same of the same statement."""
        return self.report()[1:] == other.report()[1:] and (self.message, self.sqlstate) == (
            other.message,
            other.sqlstate,
        )


class Unavailable(PgMagicError):
    """Nothing is wrong with the cell; the database is out of reach."""

    def __init__(self, message: str, *, database: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.database = database


class CircuitOpen(Unavailable):
    """Too many failures in a row: refused at once. `retry_in` is in seconds."""

    def __init__(
        self, message: str, *, database: str, retry_in: float, hint: str | None = None
    ) -> None:
        super().__init__(message, database=database, hint=hint)
        self.retry_in = retry_in


class ConnectFailed(Unavailable):
    """No connection could be made. `sqlstate` is the server's, where it answered."""

    def __init__(
        self,
        message: str,
        *,
        database: str,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, database=database, hint=hint)
        self.sqlstate = sqlstate


class ConnectionLost(Unavailable):
    """The connection broke while the statement ran; whether it took effect is not known."""


class PoolTimeout(Unavailable):
    """Every connection of the pool was busy for too long."""


class QueryTimeout(Unavailable):
    """The statement took longer than it may."""


class QueryCancelled(PgMagicError):
    """The statement was stopped before it ended."""

    def __init__(self, message: str, *, database: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.database = database


class ResultTooLarge(PgMagicError):
    """The result would not fit into memory; the statement was stopped on the server."""

    def __init__(self, message: str, *, database: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.database = database


class FanOutError(PgMagicError):
    """At least one of several databases failed.

    `outcomes` has one entry per target in the order written, `failures` those that failed,
    `partial` the frame of those that answered (None where none did). `retry_failed()` runs the
    cell again on the databases that failed and returns a frame of all; it is awaitable in an
    asynchronous program.
    """

    def __init__(
        self,
        outcomes: Sequence["Outcome"],
        failures: Sequence["Failure"],
        *,
        partial: Any = None,
        retry: Callable[[], Any] | None = None,
    ) -> None:
        names = ", ".join(failure.database for failure in failures)
        super().__init__(f"{len(failures)} of {len(outcomes)} databases failed: {names}")
        self.outcomes = tuple(outcomes)
        self.failures = tuple(failures)
        self.partial = partial
        self._retry = retry

    def retry_failed(self) -> Any:
        """Run the cell again on the databases that failed; give the frame of all databases."""
        if self._retry is None:
            raise RuntimeError("this error does not know how to run the cell again")
        return self._retry()

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle carries no rows and no way back to the databases.
        return (PgMagicError, (self.message,))

    def report(self) -> list[str]:
        lines: list[str] = []
        for error in merged(failure.error for failure in self.failures):
            lines += [*error.report(), ""]
        answered = len(self.outcomes) - len(self.failures)
        if answered:
            lines.append(
                f"{answered} of {len(self.outcomes)} databases answered: their rows are in "
                "the error's .partial; .retry_failed() asks the others again"
            )
        return lines or [self.message]


def merged(errors: "Any") -> list[PgMagicError]:
    """Show the same error of several databases once, with all their names."""
    distinct: list[PgMagicError] = []
    for error in errors:
        for known in distinct:
            if (
                isinstance(known, QueryError)
                and isinstance(error, QueryError)
                and known.same_as(error)
            ):
                known.databases = (*known.databases, *error.databases)
                break
        else:
            distinct.append(error)
    return distinct
