"""Rows of what COPY cannot carry: EXPLAIN, SHOW, CALL, FETCH, EXECUTE; of some servers, all rows.

asyncpg's own decoders damage some values and refuse others, so the bytes are taken out as they
came and put into the form of a COPY stream.
"""

import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from pgmagic.columns import pgtypes as t
from pgmagic.columns.arrays import pack_texts, parse
from pgmagic.columns.copybinary import HEADER, TRAILER
from pgmagic.columns.cursors import opened, within_a_transaction, within_its_time
from pgmagic.columns.pgtypes import WIDTHS, Cast, cast_of, layout_of
from pgmagic.outcome import Column

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["Records"]

Take: TypeAlias = Callable[[bytes], Awaitable[None]]

# How much is asked for at once: a few rows at first, since they may be large.
FIRST_ROWS: Final = 8
MOST_ROWS: Final = 1000
MOST_LONG_ROWS: Final = 250  # of which the next may be larger than the last by any measure
MOST_BYTES: Final = 1 << 20
GROWTH: Final = 10  # times as many rows as the last time

# Read through a cursor, which needs a transaction; these can stand in one. Others give few rows.
STREAMED: Final = frozenset(
    ("select", "values", "table", "insert", "update", "delete", "merge", "execute", "fetch")
)

# What is begun here is done to its end, however few of its rows are wanted.
CHANGES: Final = frozenset(("insert", "update", "delete", "merge"))

# asyncpg gives these as they are.
HARMLESS: Final = frozenset((t.TEXT, t.VARCHAR, t.NAME, t.JSON))

_field = struct.Struct(">i")


class RawRecord(asyncpg.Record):
    """A row of bytes. A class of its own keeps such statements apart in asyncpg's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """A statement whose rows are wanted as a COPY stream.

    `connection` is the driver's own, not what a pool lends. `limited`: the server tells its
    `statement_timeout`, which holds for all fetches together.
    """

    connection: "asyncpg.Connection[Any]"
    sql: str
    columns: Sequence[Column]
    database: str
    limited: bool = True

    async def run(self, verb: str, limit: int | None, take: Take) -> str:
        """Run the statement, give the stream to `take` in pieces, and return the command tag.

        It stops once `limit` rows are passed. The tag is "" where only the number of rows can
        tell it. Raises `QueryTimeout`.
        """
        encode = await self._encoder()
        statement = await self._prepare()
        await take(HEADER)
        tag = ""
        if verb in STREAMED:
            limit = None if verb in CHANGES else limit
            await self._stream(statement, limit, encode, take)
        else:
            rows = await statement.fetch()
            tag = str(statement.get_statusmsg())
            await take(encode(rows))
            await take(TRAILER)
        return tag

    async def _stream(
        self,
        statement: "PreparedStatement[RawRecord]",
        limit: int | None,
        encode: Callable[[Sequence[asyncpg.Record]], bytes],
        take: Take,
    ) -> None:
        """Read through a cursor, as much at once as fits into a piece."""
        # The time is for the statement: what has come to its COMMIT is not stopped any more.
        async with within_a_transaction(self.connection):
            timed = within_its_time(self.connection, self.database) if self.limited else None
            async with timed or nullcontext(), opened(statement) as cursor:
                passed, wanted = 0, FIRST_ROWS
                most = MOST_ROWS if all(map(_is_short, self.columns)) else MOST_LONG_ROWS
                while (limit is None or passed <= limit) and (rows := await cursor.fetch(wanted)):
                    passed += len(rows)
                    piece = encode(rows)
                    fitting = max(1, MOST_BYTES * len(rows) // len(piece))
                    wanted = min(fitting, GROWTH * wanted, most)
                    await take(piece)
                await take(TRAILER)

    async def _prepare(self) -> "PreparedStatement[RawRecord]":
        """Prepare the statement so that its values stay bytes.

        A prepared statement keeps the codecs that it was prepared with, so ours are gone again
        before anything else runs on the connection. asyncpg has no public way to set one for an
        array.
        """
        connection: Any = self.connection
        settings = connection._protocol.get_settings()
        types = {column.type.oid: column.type for column in self.columns}
        types = {oid: type_ for oid, type_ in types.items() if oid not in HARMLESS}
        try:
            for type_ in types.values():
                form = "binary" if cast_of(type_) is Cast.NONE else "text"
                settings.add_python_codec(
                    type_.oid, type_.name, type_.schema, [], "scalar", _same, _same, form
                )
            return await self.connection.prepare(self.sql, record_class=RawRecord)
        finally:
            for type_ in types.values():
                settings.remove_python_codec(type_.oid, type_.name, type_.schema)
            if types:
                connection._drop_local_statement_cache()

    async def _encoder(self) -> Callable[[Sequence[asyncpg.Record]], bytes]:
        arrays = {
            index: await self._delimiter(column)
            for index, column in enumerate(self.columns)
            if cast_of(column.type) is Cast.TEXT_ARRAY
        }
        count = struct.pack(">h", len(self.columns))

        def encode(rows: Sequence[asyncpg.Record]) -> bytes:
            stream = bytearray()
            for row in rows:
                stream += count
                for index, value in enumerate(row.values()):
                    if value is None:
                        stream += b"\xff\xff\xff\xff"
                        continue
                    if index in arrays:
                        value = pack_texts(*parse(value, arrays[index]))
                    elif isinstance(value, str):
                        value = value.encode()
                    stream += _field.pack(len(value))
                    stream += value
            return bytes(stream)

        return encode

    async def _delimiter(self, column: Column) -> str:
        """Ask which character stands between the elements of an array's text."""
        delimiter: str | None = await self.connection.fetchval(
            "SELECT e.typdelim::text FROM pg_catalog.pg_type a "
            "JOIN pg_catalog.pg_type e ON e.oid = a.typelem WHERE a.oid = $1",
            column.type.oid,
        )
        return delimiter or ","


def _is_short(column: Column) -> bool:
    """Whether all values of a column are of one, small size."""
    return layout_of(column.type) in WIDTHS


def _same(value: Any) -> Any:
    return value
