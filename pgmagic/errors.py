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
    ├── NotCommitted            rolled back, because another database of the same cell failed
    ├── SnapshotEnded           the state that was to be read is not held any more
    ├── ResultTooLarge          it would not fit into memory
    ├── ExportError             the file cannot be written, or cannot hold a value
    ├── SandboxError            the sandbox's own servers cannot be run here
    ├── RecordingError          a recording cannot be written, or not be read
    │   └── NotRecorded         a replay is asked what was not recorded
    └── FanOutError             some of several databases failed; the others' rows are in `partial`

No message of ours holds a password or the value of a parameter; the server's own words may quote
a value that it refused.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pgmagic.excerpt import excerpt
from pgmagic.legible import legible

if TYPE_CHECKING:
    from pgmagic.outcome import Failure, Outcome

__all__ = [
    "CellError",
    "CircuitOpen",
    "ConnectFailed",
    "ConnectionLost",
    "ExportError",
    "FanOutError",
    "MissingVariable",
    "NotCommitted",
    "NotRecorded",
    "PgMagicError",
    "PoolTimeout",
    "QueryCancelled",
    "QueryError",
    "QueryTimeout",
    "RecordingError",
    "ResultTooLarge",
    "SandboxError",
    "SettingsError",
    "SnapshotEnded",
    "Unavailable",
    "UnknownDatabase",
]


class PgMagicError(Exception):
    """Root of every error that pgmagic raises.

    `message` is one sentence, `database` the one that it happened on, "" where none is to blame.
    `hint` says what to do, where that is known.
    """

    def __init__(self, message: str, *, database: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.database = database
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is, whatever its class wants to be made of: workers raise in other processes.
        return (_remade, (type(self), self.args), self.__dict__)

    def report(self, databases: Sequence[str] | None = None) -> list[str]:
        """Tell the whole error in a few lines of plain text, in which nothing acts or hides.

        `databases` are all that said the same; without it only this error's own.
        """
        lines = [f"{self._title(databases)}: {self._sentence()}", *self._body()]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return [legible(line) for line in lines]

    def _title(self, databases: Sequence[str] | None) -> str:
        names = databases if databases is not None else [self.database] if self.database else []
        return type(self).__name__ + (f" in {', '.join(names)}" if names else "")

    def _sentence(self) -> str:
        return self.message

    def _body(self) -> list[str]:
        """Give the lines between the message and the hint."""
        return []

    def __str__(self) -> str:
        lines = self.report()
        lines[0] = lines[0].removeprefix(f"{type(self).__name__}: ")
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """Show one screen in IPython, without pgmagic's own frames."""
        return self.report()


class CellError(PgMagicError):
    """The cell cannot be read; nothing was sent to any database.

    `offset` counts characters of `cell` from 0. `saved` where that is a saved query's text: its
    name.
    """

    def __init__(
        self,
        message: str,
        *,
        cell: str | None = None,
        offset: int | None = None,
        hint: str | None = None,
        saved: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.cell = cell
        self.offset = offset
        self.saved = saved

    def _body(self) -> list[str]:
        if self.cell is None or self.offset is None:
            return []
        return [*_in_saved(self.saved), *excerpt(self.cell, self.offset)]


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
    the text as it was sent. `saved` where `cell` is a saved query's text: its name.
    """

    def __init__(
        self,
        message: str,
        *,
        database: str = "",
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
        saved: str | None = None,
    ) -> None:
        super().__init__(message, database=database, hint=hint)
        self.sqlstate = sqlstate
        self.condition = condition
        self.cell = cell
        self.position = position
        self.statement = statement
        self.detail = detail
        self.context = context
        self.internal_query = internal_query
        self.internal_position = internal_position
        self.saved = saved

    def _title(self, databases: Sequence[str] | None) -> str:
        names = (self.database,) if databases is None else databases
        return f"SQL error in {', '.join(names)}"

    def _sentence(self) -> str:
        code = " ".join(filter(None, (self.sqlstate, self.condition)))
        return f"{self.message} ({code})" if code else self.message

    def _body(self) -> list[str]:
        lines = []
        if self.cell is not None and self.position is not None:
            lines += [*_in_saved(self.saved), *excerpt(self.cell, self.position)]
        if self.internal_query is not None:
            lines.append("in the function's own query:")
            lines += excerpt(self.internal_query, self.internal_position or 0)
        if self.detail:
            lines.append(f"detail: {self.detail}")
        if self.context:
            lines.append(f"context: {self.context}")
        return lines


class Unavailable(PgMagicError):
    """Nothing is wrong with the cell; the database is out of reach."""


class CircuitOpen(Unavailable):
    """Too many failures in a row: refused at once. `retry_in` is in seconds."""

    def __init__(
        self, message: str, *, database: str = "", retry_in: float = 0.0, hint: str | None = None
    ) -> None:
        super().__init__(message, database=database, hint=hint)
        self.retry_in = retry_in


class ConnectFailed(Unavailable):
    """No connection could be made. `sqlstate` is the server's, where it answered."""

    def __init__(
        self,
        message: str,
        *,
        database: str = "",
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, database=database, hint=hint)
        self.sqlstate = sqlstate


class ConnectionLost(Unavailable):
    """The connection broke while the statement ran; whether it took effect is not known.

    Where `sent` is False it broke before anything was sent: nothing took effect.
    """

    def __init__(
        self, message: str, *, database: str, sent: bool = True, hint: str | None = None
    ) -> None:
        super().__init__(message, database=database, hint=hint)
        self.sent = sent


class PoolTimeout(Unavailable):
    """Every connection of the pool was busy for too long."""


class QueryTimeout(Unavailable):
    """The statement took longer than it may."""


class QueryCancelled(PgMagicError):
    """The statement was stopped before it ended."""


class NotCommitted(PgMagicError):
    """Rolled back: a cell that writes commits on every database or on none."""


class SnapshotEnded(PgMagicError):
    """The state that cells were to read is not held any more; nothing was read instead."""


class ResultTooLarge(PgMagicError):
    """The result would not fit into memory; the statement was stopped on the server."""


class ExportError(PgMagicError):
    """A file cannot be written, or cannot hold a value; nothing of it is left."""


class SandboxError(PgMagicError):
    """The servers of the sandbox cannot be found, started or filled."""


class RecordingError(PgMagicError):
    """A recording cannot be written, or cannot be read as it was written."""


class NotRecorded(RecordingError):
    """A replay has no recording of what is asked; nothing was sent to any database.

    `differences` say, a line each, how the nearest recording differs.
    """

    def __init__(
        self, message: str, *, differences: Sequence[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.differences = tuple(differences)

    def _body(self) -> list[str]:
        return [f"  {line}" for line in self.differences]


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

    def retry_with(self, run: Callable[[Any], Any]) -> None:
        """Say how the retry, which is a coroutine, is to be run: in a notebook, at once."""
        if (retry := self._retry) is None:
            return

        async def again() -> Any:
            try:
                return await retry()
            except FanOutError as error:
                error.retry_with(run)
                raise

        self._retry = lambda: run(again())

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle carries no rows and no way back to the databases.
        return (PgMagicError, (self.message,))

    def report(self, databases: Sequence[str] | None = None) -> list[str]:
        lines: list[str] = []
        for error, names in merged(self.failures):
            lines += [""] * bool(lines) + error.report(names)
        answered = len(self.outcomes) - len(self.failures)
        succeeded = ", ".join(each.database for each in self.outcomes if each not in self.failures)
        if answered:
            lines.append("")
        if answered and self._to_files():
            lines.append(
                f"{succeeded} answered, but no file was written: all databases write theirs or "
                "none; .retry_failed() asks all again"
            )
        elif answered and self.partial is None:
            lines.append(f"{succeeded} succeeded; .retry_failed() tries again")
        elif answered:
            lines.append(
                f"{answered} of {len(self.outcomes)} databases answered: their rows are in "
                "the error's .partial; .retry_failed() asks the others again"
            )
        return lines

    def _to_files(self) -> bool:
        """Whether what was answered was on its way to files."""
        results = [result for each in self.outcomes for result in getattr(each, "results", ())]
        return any(result.exported is not None for result in results)


def _in_saved(name: str | None) -> list[str]:
    return [] if name is None else [f"in the saved query {name}:"]


def merged(failures: Sequence["Failure"]) -> list[tuple[PgMagicError, tuple[str, ...]]]:
    """Bring together the databases that said the same of the same statement."""
    groups: dict[tuple[str, ...], tuple[PgMagicError, list[str]]] = {}
    for failure in failures:
        saying = tuple(failure.error.report(()))
        groups.setdefault(saying, (failure.error, []))[1].append(failure.database)
    return [(error, tuple(databases)) for error, databases in groups.values()]


def _remade(kind: type[PgMagicError], arguments: tuple[Any, ...]) -> PgMagicError:
    """Make an error of a pickle, which brings its attributes afterwards."""
    return kind.__new__(kind, *arguments)
