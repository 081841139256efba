"""What came back from one database: results or a failure."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from pgmagic.errors import PgMagicError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Answer",
    "Column",
    "Failure",
    "Notice",
    "Outcome",
    "PgType",
    "Position",
    "Result",
    "Rows",
]

Kind: TypeAlias = Literal["scalar", "array", "enum", "composite", "range", "multirange", "domain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PgType:
    """A PostgreSQL type as the catalogue has it.

    Databases agree on built-in types by `oid`; on types of their own only by `schema` and `name`.
    `element` is set for arrays and domains (the base type), `labels` for enums, in order.
    """

    oid: int
    name: str
    schema: str = "pg_catalog"
    kind: Kind = "scalar"
    element: "PgType | None" = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a result, known before a row is read."""

    name: str
    type: PgType


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that the server sent beside the result: NOTICE, WARNING, INFO …"""

    severity: str
    message: str
    sqlstate: str = "00000"
    detail: str | None = None
    hint: str | None = None


class Rows:
    """The rows of one result as they came, until they are given up for the frame made of them.

    `num_rows` and `nbytes` stay known.
    """

    __slots__ = ("_arrow", "nbytes", "num_rows")

    def __init__(self, arrow: "pa.Table") -> None:
        self._arrow = arrow
        self.num_rows = int(arrow.num_rows)
        self.nbytes = int(arrow.nbytes)

    @property
    def arrow(self) -> "pa.Table":
        """Look at the rows."""
        if self._arrow is None:
            raise RuntimeError("these rows were given up")
        return self._arrow

    def give_up(self) -> "pa.Table":
        """Give the rows and forget them, so that their memory is free when the caller is done."""
        arrow, self._arrow = self.arrow, None
        return arrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one statement gave: a table, or only a command tag such as `CREATE TABLE`.

    `notes` says, in words for the caption, what was done to the values. `exported` counts the
    rows that went to a file instead of `table`.
    """

    tag: str
    columns: tuple[Column, ...] = ()
    table: Rows | None = None
    text: str | None = None  # of COPY … TO STDOUT
    notes: tuple[str, ...] = ()
    exported: int | None = None

    @property
    def rows(self) -> int | None:
        """Count the rows; None for a statement that has none by its form."""
        return self.exported if self.table is None else self.table.num_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Which state of a database was read.

    `snapshot` is what `pg_current_snapshot()` said, `wal` how far the write-ahead log was written
    (on a standby: replayed), `at` the server's clock.
    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
    """

    snapshot: str
    wal: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One database did all that the cell asked. `elapsed` is in seconds.

    `position` is where the database was as the cell began, where the server tells.
    """

    database: str
    results: tuple[Result, ...]
    elapsed: float
    notices: tuple[Notice, ...] = ()
    server_version: str = ""
    position: Position | None = None

    @property
    def nbytes(self) -> int:
        """Count the bytes that its rows take."""
        return sum(result.table.nbytes for result in self.results if result.table is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One database did not. `elapsed` is in seconds."""

    database: str
    error: PgMagicError
    elapsed: float
    notices: tuple[Notice, ...] = ()


Outcome: TypeAlias = Answer | Failure
