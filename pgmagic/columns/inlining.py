"""Values as literals, for the statements that take no parameters: COPY and its like."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgmagic.columns.pgtypes import BUILTIN
from pgmagic.language.scanner import TokenKind, tokens
from pgmagic.outcome import PgType

if TYPE_CHECKING:
    import asyncpg

__all__ = ["Inlined", "inline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inlined:
    """A statement whose `$1` are literals. `offsets` are pairs of offsets, as in `Statement`."""

    sql: str
    offsets: tuple[tuple[int, int], ...] = ((0, 0),)

    def locate(self, offset: int) -> int:
        """Find a character of `sql` in the statement with parameters; both count from 0."""
        index = bisect_right(self.offsets, offset, key=lambda pair: pair[0]) - 1
        here, there = self.offsets[max(0, index)]
        return there if index % 2 else there + offset - here


async def inline(
    connection: "asyncpg.Connection[Any]",
    sql: str,
    arguments: Sequence[object],
    parameters: Sequence["asyncpg.Type"],
) -> Inlined:
    """Write arguments into a statement, each as a literal of its parameter's type.

    The server quotes them, from values that were sent as parameters: nothing is quoted here.
    """
    if not arguments:
        return Inlined(sql=sql)
    types = await _names(connection, [parameter.oid for parameter in parameters])
    quoted = ", ".join(f"format('%L', ${n}::{name})" for n, name in enumerate(types, 1))
    row = await connection.fetchrow(f"SELECT {quoted}", *arguments)
    assert row is not None
    literals = [f"({text}::{name})" for text, name in zip(row, types, strict=True)]
    standard = connection.get_settings().standard_conforming_strings == "on"
    return _replace(sql, literals, standard_strings=standard)


async def _names(connection: "asyncpg.Connection[Any]", oids: Sequence[int]) -> list[str]:
    """Give the quoted names of types; in quotes, `bit` is not `bit(1)`."""
    names = {oid: _builtin_name(BUILTIN[oid]) for oid in oids if oid in BUILTIN}
    if others := sorted(set(oids) - names.keys()):
        rows = await connection.fetch(
            "SELECT t.oid, format('%I.%I', n.nspname, t.typname) AS name "
            "FROM pg_catalog.pg_type t "
            "JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
            "WHERE t.oid = ANY($1::oid[])",
            others,
        )
        names |= {row["oid"]: row["name"] for row in rows}
    return [names[oid] for oid in oids]


def _builtin_name(type_: PgType) -> str:
    if type_.kind == "array" and type_.element is not None:
        return _builtin_name(type_.element) + "[]"
    return f'pg_catalog."{type_.name}"'


def _replace(sql: str, literals: Sequence[str], *, standard_strings: bool) -> Inlined:
    parts: list[str] = []
    offsets = [(0, 0)]
    length = 0
    for token in tokens(sql, standard_strings=standard_strings):
        text = sql[token.start : token.stop]
        if token.kind is TokenKind.PARAMETER:
            text = literals[int(text[1:]) - 1]
            offsets += [(length, token.start), (length + len(text), token.stop)]
        parts.append(text)
        length += len(text)
    return Inlined(sql="".join(parts), offsets=tuple(offsets))
