"""What numeric columns were declared with, which no description of a statement tells the driver.

The XML schema of a query names such types with precision and scale: NUMERIC_12_2. It is made
without reading a row. https://www.postgresql.org/docs/current/functions-xml.html#FUNCTIONS-XML-MAPPING
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from pgmagic.columns.inlining import inline
from pgmagic.columns.pgtypes import NUMERIC
from pgmagic.outcome import Column

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

__all__ = ["MAX_DIGITS", "declared_digits", "widest"]

MAX_DIGITS = 76  # of the widest decimal that Arrow has

_TYPE = re.compile(r'<xsd:element name="[^"]*" type="([^"]*)" minOccurs')
_NUMERIC = re.compile(r"NUMERIC_(\d+)_(\d+)")


async def declared_digits(
    connection: "asyncpg.Connection[Any]",
    statement: "PreparedStatement[Any]",
    arguments: Sequence[object],
    columns: Sequence[Column],
) -> dict[int, tuple[int, int]]:
    """Give precision and scale of the numeric columns that were declared so, by position.

    A transaction stays usable. A column is left out where the server does not
    tell, or Arrow has no decimal that wide.
    """
    if all(column.type.oid != NUMERIC for column in columns):
        return {}
    inlined = await inline(connection, statement.get_query(), arguments, statement.get_parameters())
    query = inlined.sql.rstrip().removesuffix(";")
    inside = connection.is_in_transaction()
    if inside:
        await connection.execute("savepoint pgmagic_digits")
    try:
        schema = await connection.fetchval(
            "SELECT query_to_xmlschema($1, true, false, '')::text", query
        )
    except asyncpg.PostgresError:
        schema = ""
        if inside:
            await connection.execute("rollback to pgmagic_digits")
    if inside:
        await connection.execute("release pgmagic_digits")
    found = {}
    for index, name in enumerate(_TYPE.findall(schema)[-len(columns) :]):
        if (match := _NUMERIC.fullmatch(name)) is not None:
            precision, scale = int(match[1]), int(match[2])
            if scale <= precision <= MAX_DIGITS:  # a negative scale looks like a large one
                found[index] = (precision, scale)
    return found


def widest(digits: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Give the digits that hold all of these; None where one is not declared, or nothing does."""
    whole = scale = 0
    for declared in digits:
        if declared is None:
            return None
        whole = max(whole, declared[0] - declared[1])
        scale = max(scale, declared[1])
    return (whole + scale, scale) if 0 < whole + scale <= MAX_DIGITS else None
