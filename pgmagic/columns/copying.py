"""The COPY that carries the rows of a statement.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgmagic.columns.pgtypes import Cast, cast_of
from pgmagic.outcome import Column

if TYPE_CHECKING:
    import asyncpg

__all__ = ["CopyStatement", "copy_statement", "needs_cast", "run_copy"]


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

    Where `take` raises, the statement is cancelled on the server.
    """
    # asyncpg has no public way to run one; its own copy_from_query() calls this.
    untyped: Any = connection
    tag: str = await untyped._copy_out(sql, take, None)
    return tag


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
