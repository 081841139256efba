"""COPY … TO STDOUT as the user wrote it: its output is a text."""

from typing import TYPE_CHECKING, Any

from pgmagic.columns.budget import Budget
from pgmagic.columns.copying import run_copy
from pgmagic.errors import CellError
from pgmagic.outcome import Result

if TYPE_CHECKING:
    import asyncpg

__all__ = ["copy_out"]


async def copy_out(
    connection: "asyncpg.Connection[Any]", sql: str, budget: Budget, database: str
) -> Result:
    """Run COPY … TO STDOUT and keep what it writes.

    https://www.postgresql.org/docs/current/sql-copy.html. Raises `CellError` for the binary
    format, which is no text, and `ResultTooLarge`.
    """
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        if not budget.add(len(data)):
            parts.clear()
            raise budget.exceeded(database)
        parts.append(bytes(data))

    tag = await run_copy(connection, sql.rstrip().removesuffix(";"), take)
    try:
        text = b"".join(parts).decode()
    except UnicodeDecodeError:
        raise CellError(
            "this COPY … TO STDOUT gives bytes that are no text",
            hint="leave FORMAT binary out, or SELECT the rows: they travel in binary anyway",
        ) from None
    return Result(tag=tag, text=text)
