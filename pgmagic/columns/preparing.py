"""Prepare statements whose types asyncpg does not know how to decode.

asyncpg looks all types of a result up before it gives a statement, and refuses some: the
pseudo-type anyarray (pg_stats has it), and composite types with a part it can only read as
text, which any type of an extension is. We never use its decoders, so any will do.
"""

import re
from typing import TYPE_CHECKING, Any, Final

import asyncpg

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["prepare"]

ANYARRAY: Final = (2277, "anyarray", "pg_catalog")
REFUSED: Final = re.compile(r'cannot decode type "(?P<schema>.*)"\."(?P<name>.*)": text encoding')


async def prepare(
    connection: "asyncpg.Connection[Any]", sql: str, *, name: str | None = None
) -> "PreparedStatement[Any]":
    """Prepare a statement, as `connection.prepare` does.

    With the name "" it costs no round trip to be closed, and is gone as soon as something else
    runs: for those who only want to know its columns. A type that asyncpg refuses is read as text
    on this connection from then on.
    """
    given: set[int] = set()
    while True:
        try:
            return await connection.prepare(sql, name=name)
        except (asyncpg.InternalClientError, asyncpg.UnsupportedClientFeatureError) as error:
            if isinstance(error, asyncpg.OutdatedSchemaCacheError):
                raise
            # The server has not refused anything: an open transaction is as it was.
            type_ = await _refused(connection, error)
            if type_ is None or type_[0] in given:
                raise
            _read_as_text(connection, *type_)
            given.add(type_[0])


async def _refused(
    connection: "asyncpg.Connection[Any]", error: Exception
) -> tuple[int, str, str] | None:
    """Find the type that an error is about."""
    if "could not resolve query result" in str(error):
        return ANYARRAY
    if (found := REFUSED.search(str(error))) is None:
        return None
    oid = await connection.fetchval(
        "SELECT t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n "
        "ON n.oid = t.typnamespace WHERE n.nspname = $1 AND t.typname = $2",
        found["schema"],
        found["name"],
    )
    return None if oid is None else (oid, found["name"], found["schema"])


def _read_as_text(connection: Any, oid: int, name: str, schema: str) -> None:
    settings = connection._protocol.get_settings()
    settings.add_python_codec(oid, name, schema, [], "scalar", _same, _same, "text")


def _same(value: Any) -> Any:
    return value
