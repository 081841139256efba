"""Read the rows of one statement into Arrow, by COPY where it can, by records elsewhere.

Both ways give the same bytes to the same decoder, so the same rows give the same table.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pyarrow as pa

from pgmagic.columns.abilities import has_rules
from pgmagic.columns.budget import Budget
from pgmagic.columns.copybinary import DecodeError, arrow_type
from pgmagic.columns.copying import behind, copy_statement, needs_cast, run_copy
from pgmagic.columns.decoder import new_decoder
from pgmagic.columns.inlining import Inlined, inline
from pgmagic.columns.options import FrameOptions, Progress
from pgmagic.columns.pgtypes import layout_of
from pgmagic.columns.preparing import prepare
from pgmagic.columns.records import Records
from pgmagic.errors import ConnectionLost
from pgmagic.outcome import Column

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["Reading", "Sink", "read"]

Sink: TypeAlias = Callable[[pa.RecordBatch], Awaitable[None]]
"""Takes rows as they come, instead of their being held. The server waits for it."""

# The words before the number of rows; what is not here is told as SELECT.
TAGS = {verb: verb.upper() for verb in ("update", "delete", "merge", "fetch")} | {
    "insert": "INSERT 0"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The rows of one statement as they came, and PostgreSQL's command tag.

    `table` loses nothing, but is not yet what users see: `to_frame` and `combine` make that of
    it, when they know all databases' rows. It is empty where a sink took the `rows`. `notes` are
    for the caption.
    """

    table: pa.Table
    tag: str
    rows: int
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
    budget: Budget | None = None,
    sink: Sink | None = None,
    wrappable: bool = False,
    verb: str = "",
    database: str = "the database",
    before: str = "",
    limited: bool = True,
) -> Reading:
    """Run a statement and read its rows.

    `columns` are as `describe` gave them, `statement` is the prepared `sql`. `copyable`: COPY
    can carry it; `wrappable`: it may stand in a subquery; without that it is not limited on the
    server, and columns that need the server's help take the slower way. `verb` is for the tag.
    `budget` counts what is held, that of other readers too. A `sink` is given the rows instead.
    `before` are commands that begin a transaction; they cost no round trip where COPY carries
    the statement. `limited`: the server tells its `statement_timeout`.

    Raises `ResultTooLarge`, when the statement has been stopped on the server, `ConnectionLost`
    where what came is no stream of such rows, `QueryTimeout`, and asyncpg's errors, with a
    `position` that counts characters of `sql`.
    """
    if sink is not None:
        budget = Budget(0)  # no more than a batch is held
    budget = budget or Budget(options.max_result_bytes)
    reader = _Reader(columns, options, progress or Progress(), budget, sink, database)
    itself = behind(connection)
    inlined = Inlined(sql=sql)
    prefix = 0
    copied = copyable and (wrappable or not (needs_cast(columns) or await has_rules(itself)))
    try:
        if arguments:
            statement = statement or await prepare(connection, sql)
            inlined = await inline(connection, sql, arguments, statement.get_parameters())
        if copied:
            limit = None if options.limit is None or not wrappable else options.limit + 1
            copy = copy_statement(inlined.sql, columns, limit=limit)
            first = f"{before}; " if before else ""
            prefix = len(first) + copy.prefix
            await run_copy(connection, first + copy.sql, reader.take)
            tag = ""
        else:
            if before:
                await connection.execute(before)
            rows = Records(
                connection=itself,
                sql=inlined.sql,
                columns=columns,
                database=database,
                limited=limited,
            )
            tag = await rows.run(verb, options.limit, reader.take)
        return await reader.reading(tag, verb)
    except asyncpg.PostgresError as error:
        reader.drop()
        _relocate(error, prefix, inlined, len(sql))
        raise
    except DecodeError as error:
        reader.drop()
        itself.terminate()  # whoever sends such a thing is not asked again
        raise ConnectionLost(
            f"the rows are not what the server said they would be: {error}", database=database
        ) from None
    except BaseException:
        reader.drop()
        raise


class _Reader:
    """Feeds the decoder, counts, and stops what grows too large."""

    def __init__(
        self,
        columns: Sequence[Column],
        options: FrameOptions,
        progress: Progress,
        budget: Budget,
        sink: Sink | None,
        database: str,
    ) -> None:
        self._layouts = [layout_of(column.type) for column in columns]
        self._decoder = new_decoder(self._layouts, keep=options.limit)
        self._limit = options.limit
        self._progress = progress
        self._budget = budget
        self._sink = sink
        self._database = database
        self._batches: list[pa.RecordBatch] = []
        self._held = 0  # bytes: of the batches, and from the wire since the last of them
        self._since_batch = 0

    async def take(self, data: bytes) -> None:
        """Take the next piece of the COPY stream."""
        before = self._decoder.rows
        self._decoder.feed(data)
        self._progress.bytes += len(data)
        self._progress.rows += self._decoder.rows - before
        if self._limit is None or self._decoder.rows <= self._limit:  # else they are read over
            self._since_batch += len(data)
            self._hold(len(data))
        await self._pass_on()

    async def reading(self, tag: str, verb: str) -> Reading:
        """Close the stream and give what was read: all of it came, and may have changed things."""
        self._decoder.close()
        await self._pass_on(at_the_end=True)
        rows, limit = self._decoder.rows, self._limit
        notes = [] if limit is None or rows <= limit else [f"first {limit:,} rows"]
        count = rows if limit is None else min(rows, limit)
        return Reading(
            table=_table(self._batches, self._layouts),
            tag=tag or f"{TAGS.get(verb, 'SELECT')} {count}",
            rows=count,
            notes=tuple(notes),
        )

    def drop(self) -> None:
        """Forget all rows: an error that is kept keeps the frames it came through."""
        self._batches.clear()
        self._hold(-self._held)

    async def _pass_on(self, *, at_the_end: bool = False) -> None:
        """Give complete batches to the sink, or keep them."""
        for batch in self._decoder.batches():
            self._hold(-self._since_batch)  # Arrow may take less than the wire, or more
            self._since_batch = 0
            if self._sink is not None:
                await self._sink(batch)
                continue
            self._batches.append(batch)
            self._hold(batch.nbytes, at_the_end=at_the_end)

    def _hold(self, size: int, *, at_the_end: bool = False) -> None:
        self._held += size
        if not (self._budget.add(size) or at_the_end):
            raise self._budget.exceeded(self._database, self._decoder.rows)


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
    if not (len(position) < 12 and position.isascii() and position.isdigit()):
        error.position = None  # a server may write anything there
        return
    offset = int(position) - 1 - prefix
    inside = 0 <= offset <= len(inlined.sql)
    error.position = str(min(inlined.locate(offset), length) + 1) if inside else None
