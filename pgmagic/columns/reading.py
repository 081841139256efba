"""Read the rows of one statement into Arrow, by COPY where it can, by records elsewhere.

Both ways give the same bytes to the same decoder, so the same rows give the same table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pyarrow as pa

from pgmagic.columns.copybinary import arrow_type
from pgmagic.columns.copying import copy_statement, needs_cast, run_copy
from pgmagic.columns.decoder import new_decoder
from pgmagic.columns.inlining import Inlined, inline
from pgmagic.columns.options import FrameOptions, Progress
from pgmagic.columns.records import Records
from pgmagic.columns.types import layout_of
from pgmagic.errors import ResultTooLarge
from pgmagic.outcome import Column

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["Reading", "read"]

# The words before the number of rows; what is not here is told as SELECT.
TAGS = {verb: verb.upper() for verb in ("update", "delete", "merge", "fetch")} | {
    "insert": "INSERT 0"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The rows of one statement as they came, and PostgreSQL's command tag.

    `table` loses nothing, but is not yet what users see: `to_frame` and `combine` make that of
    it, when they know all databases' rows. `notes` are for the caption.
    """

    table: pa.Table
    tag: str
    notes: tuple[str, ...] = ()


async def read(
    connection: "asyncpg.Connection[Any]",
    sql: str,
    arguments: Sequence[object],
    columns: tuple[Column, ...],
    *,
    statement: "PreparedStatement[Any] | None",
    copyable: bool,
    options: FrameOptions,
    progress: Progress | None = None,
    wrappable: bool = False,
    verb: str = "",
    database: str = "the database",
) -> Reading:
    """Run a statement and read its rows.

    `columns` are as `describe` gave them, `statement` is the prepared `sql`. `copyable`: COPY
    can carry it; `wrappable`: it may stand in a subquery; without that it is not limited on the
    server, and columns that need the server's help take the slower way. `verb` is for the tag.

    Raises `ResultTooLarge`, when the statement has been stopped on the server, and asyncpg's
    errors, with a `position` that counts characters of `sql`.
    """
    reader = _Reader(columns, options, progress or Progress(), database)
    inlined = Inlined(sql=sql)
    prefix = 0
    try:
        if arguments:
            statement = statement or await connection.prepare(sql)
            inlined = await inline(connection, sql, arguments, statement.get_parameters())
        if copyable and (wrappable or not needs_cast(columns)):
            limit = None if options.limit is None or not wrappable else options.limit + 1
            copy = copy_statement(inlined.sql, columns, limit=limit)
            prefix = copy.prefix
            await run_copy(connection, copy.sql, reader.take)
            tag = ""
        else:
            rows = Records(connection=connection, sql=inlined.sql, columns=columns)
            tag = await rows.run(verb, options.limit, reader.take)
    except asyncpg.PostgresError as error:
        _relocate(error, prefix, inlined, len(sql))
        raise
    return reader.reading(tag, verb)


class _Reader:
    """Feeds the decoder, counts, and stops what grows too large."""

    def __init__(
        self,
        columns: Sequence[Column],
        options: FrameOptions,
        progress: Progress,
        database: str,
    ) -> None:
        self._layouts = [layout_of(column.type) for column in columns]
        self._decoder = new_decoder(self._layouts, keep=options.limit)
        self._options = options
        self._progress = progress
        self._database = database
        self._bytes = 0
        self._batches: list[pa.RecordBatch] = []

    async def take(self, data: bytes) -> None:
        """Take the next piece of the COPY stream."""
        self._bytes += len(data)
        most = self._options.max_result_bytes
        if most is not None and self._bytes > most:
            raise ResultTooLarge(
                f"the result of {self._database} was stopped after {self._decoder.rows:,} rows: "
                f"more than {most:,} bytes had come",
                database=self._database,
                hint="write it to files with --to, take fewer rows with --limit, or let the "
                "server aggregate",
            )
        self._decoder.feed(data)
        self._batches += self._decoder.batches()
        self._progress.bytes += len(data)
        self._progress.rows = self._decoder.rows

    def reading(self, tag: str, verb: str) -> Reading:
        """Close the stream and give what was read."""
        self._decoder.close()
        self._batches += self._decoder.batches()
        rows, limit = self._decoder.rows, self._options.limit
        self._progress.rows = rows
        notes = [] if limit is None or rows <= limit else [f"first {limit:,} rows"]
        count = rows if limit is None else min(rows, limit)
        return Reading(
            table=_table(self._batches, self._layouts),
            tag=tag or f"{TAGS.get(verb, 'SELECT')} {count}",
            notes=tuple(notes),
        )


def _table(batches: Sequence[pa.RecordBatch], layouts: Sequence[Any]) -> pa.Table:
    if batches:
        return pa.Table.from_batches(batches)
    fields = [(str(i), arrow_type(layout)) for i, layout in enumerate(layouts)]
    return pa.schema(fields).empty_table()


def _relocate(error: asyncpg.PostgresError, prefix: int, inlined: Inlined, length: int) -> None:
    """Make an error point into the statement that was asked for."""
    position: str | None = getattr(error, "position", None)
    if position is None:
        return
    offset = int(position) - 1 - prefix
    inside = 0 <= offset <= len(inlined.sql)
    error.position = str(min(inlined.locate(offset), length) + 1) if inside else None
