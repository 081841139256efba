"""Rows of what COPY cannot carry: EXPLAIN, SHOW, CALL, FETCH, EXECUTE; of some servers, all rows.

asyncpg's own decoders damage some values and refuse others, so the bytes are taken out as they
came and put into the form of a COPY stream.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from pgmagic.columns import pgtypes as t
from pgmagic.columns.arrays import pack_texts, parse
from pgmagic.columns.copybinary import HEADER, TRAILER
from pgmagic.columns.copying import behind
from pgmagic.columns.pgtypes import Cast, cast_of
from pgmagic.errors import PgMagicError
from pgmagic.grace import CANCEL_GRACE
from pgmagic.outcome import Column

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["Records"]

Take: TypeAlias = Callable[[bytes], Awaitable[None]]

# How much is asked for at once: a few rows at first, since they may be large.
FIRST_ROWS: Final = 8
MOST_ROWS: Final = 1000
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

    `seconds` is how long all of it may take: for the server each fetch is a statement.
    """

    connection: "asyncpg.Connection[Any]"
    sql: str
    columns: Sequence[Column]
    seconds: float | None = None

    async def run(self, verb: str, limit: int | None, take: Take) -> str:
        """Run the statement, give the stream to `take` in pieces, and return the command tag.

        It stops once `limit` rows are passed. The tag is "" where only the number of rows can
        tell it. Raises TimeoutError.
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
        async with (
            asyncio.timeout(self.seconds),
            _transaction(self.connection),
            _cursor(self.connection, statement) as cursor,
        ):
            passed, wanted = 0, FIRST_ROWS
            while (limit is None or passed <= limit) and (rows := await cursor.fetch(wanted)):
                passed += len(rows)
                piece = encode(rows)
                fitting = max(1, MOST_BYTES * len(rows) // len(piece))
                wanted = min(fitting, GROWTH * wanted, MOST_ROWS)
                await take(piece)

    async def _prepare(self) -> "PreparedStatement[RawRecord]":
        """Prepare the statement so that its values stay bytes.

        A prepared statement keeps the codecs that it was prepared with, so ours are gone again
        before anything else runs on the connection. asyncpg has no public way to set one for an
        array.
        """
        connection = behind(self.connection)
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


@asynccontextmanager
async def _cursor(
    connection: "asyncpg.Connection[Any]", statement: "PreparedStatement[RawRecord]"
) -> AsyncIterator[Any]:
    """Open a cursor, and close it where the transaction can go on: its tables can be altered then.

    asyncpg has no public way to close one.
    """
    cursor: Any = await statement.cursor()
    try:
        yield cursor
    except PgMagicError:  # the rows have become too many, or have no place to go
        if not connection.is_closed():
            await cursor._close_portal(None)
        raise
    await cursor._close_portal(None)


@asynccontextmanager
async def _transaction(connection: "asyncpg.Connection[Any]") -> AsyncIterator[None]:
    """Stand in a transaction, begun and ended here where none is open.

    asyncpg's own would wait without an end for the rollback of a server that is gone.
    """
    if connection.is_in_transaction():
        yield
        return
    try:
        await connection.execute("begin")
        yield
        await connection.execute("commit")
    except BaseException:
        if not connection.is_closed():
            await _roll_back(connection)
        raise


async def _roll_back(connection: "asyncpg.Connection[Any]") -> None:
    try:
        async with asyncio.timeout(CANCEL_GRACE):
            await connection.execute("rollback")
    except BaseException as failure:
        connection.terminate()
        if not isinstance(failure, Exception):
            raise


def _same(value: Any) -> Any:
    return value
