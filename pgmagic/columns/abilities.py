"""What a server can do, where what is known of PostgreSQL does not tell.

The connections here are the driver's own, not what a pool lends: that raises once it is lost.
"""

from typing import Any, Final

import asyncpg

from pgmagic.columns.copybinary import HEADER, TRAILER
from pgmagic.columns.copying import run_copy
from pgmagic.errors import ConnectionLost

__all__ = ["carries_rows", "has_rules", "statement_timeout", "tells_limit"]

PROBE: Final = "COPY (SELECT 1) TO STDOUT (FORMAT binary)"
PROBE_ANSWER: Final = HEADER + b"\0\1" + b"\0\0\0\4" + b"\0\0\0\1" + TRAILER
# Rules of views, which all have one, and of the system's own tables are not meant.
# https://www.postgresql.org/docs/current/catalog-pg-rewrite.html
RULES: Final = """
select exists (
    select from pg_catalog.pg_rewrite where ev_type <> '1' and ev_class >= 16384
)
"""
# Classes of errors that say nothing of what a server can do: a lost connection, a state that does
# not fit, a transaction that met another, a full or failing server, one that shuts down or was told
# to stop.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
LIMIT: Final = """
select extract(epoch from pg_catalog.current_setting('statement_timeout')::interval)::float8
"""


async def carries_rows(connection: "asyncpg.Connection[Any]", database: str) -> bool:
    """Ask a server whether it has binary COPY: some that only speak the protocol have not.

    A refusal would end an open transaction. Raises `ConnectionLost` where what comes has no end,
    and the driver's errors of any other kind.
    """
    came = bytearray()

    async def take(data: bytes) -> None:
        came.extend(data)
        if len(came) > len(PROBE_ANSWER):
            connection.terminate()
            raise ConnectionLost("one row was asked for, and more came", database=database)

    try:
        await run_copy(connection, PROBE, take)
    except asyncpg.PostgresError as error:
        if connection.is_closed() or _is_passing(error):
            raise
        return False
    return came == PROBE_ANSWER


async def has_rules(connection: "asyncpg.Connection[Any]") -> bool:
    """Ask whether rules may make several statements of one, which COPY would refuse to carry.

    Where nobody can tell, they may. Raises the driver's errors, in a transaction all of them.
    """
    try:
        return bool(await connection.fetchval(RULES))
    except asyncpg.PostgresError as error:
        if connection.is_closed() or connection.is_in_transaction() or _is_passing(error):
            raise
        return True


async def statement_timeout(connection: "asyncpg.Connection[Any]") -> float:
    """Ask for the limit of a statement that holds now, in seconds; 0 is none."""
    return float(await connection.fetchval(LIMIT) or 0)


async def tells_limit(connection: "asyncpg.Connection[Any]") -> bool:
    """Ask, outside of a transaction, whether the server tells its `statement_timeout`."""
    try:
        await statement_timeout(connection)
    except asyncpg.PostgresError as error:
        if connection.is_closed() or _is_passing(error):
            raise
        return False
    return True


def _is_passing(error: asyncpg.PostgresError) -> bool:
    """Whether an error says nothing about what the server can do."""
    return (error.sqlstate or "")[:2] in PASSING
