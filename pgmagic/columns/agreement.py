"""Whether several databases gave the same columns, and what they have in common.

The order in which the databases answered decides nothing: the first one written does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pgmagic.columns import pgtypes as t
from pgmagic.columns.pgtypes import BUILTIN, array_of
from pgmagic.errors import CellError
from pgmagic.outcome import Column, PgType

__all__ = ["Agreement", "ColumnsDiffer", "agree", "identity", "shown_type"]

TEXTS: Final = frozenset((t.TEXT, t.VARCHAR, t.BPCHAR, t.NAME))

# What each type can be read as without losing anything.
WIDENINGS: Final = {
    t.INT2: (t.INT4, t.INT8, t.NUMERIC, t.FLOAT4, t.FLOAT8),
    t.INT4: (t.INT8, t.NUMERIC, t.FLOAT8),
    t.INT8: (t.NUMERIC,),
    t.FLOAT4: (t.FLOAT8,),
    t.DATE: (t.TIMESTAMP,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The columns that several databases have in common.

    `columns` are in the order of the first database, `described` has each database's own
    columns in that same order, and `order` where they stand in its rows. `notes` are for the
    caption.
    """

    columns: tuple[Column, ...]
    described: Mapping[str, tuple[Column, ...]]
    order: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()


class ColumnsDiffer(CellError):
    """The databases gave columns that do not make one frame."""

    def __init__(self, message: str, *, table: Sequence[str], hint: str) -> None:
        super().__init__(message, hint=hint)
        self.table = tuple(table)

    def report(self, databases: Sequence[str] | None = None) -> list[str]:
        first, *rest = super().report(databases)
        return [first, *(f"  {line}" for line in self.table), *rest]


def agree(described: Mapping[str, tuple[Column, ...]]) -> Agreement:
    """Find the columns that all databases can be read as.

    `described` has the databases in the order in which they were written. Raises
    `ColumnsDiffer`, which shows who has what.
    """
    if not described:
        raise ValueError("agree() needs the columns of at least one database")
    first, *others = described
    expected = described[first]
    order = {first: tuple(range(len(expected)))}
    notes = []
    for database in others:
        positions = _positions(expected, described[database])
        if positions is None:
            raise _differ(described)
        if positions != order[first]:
            notes.append(f"{database}: columns in another order")
        order[database] = positions
    own = {
        database: tuple(described[database][position] for position in positions)
        for database, positions in order.items()
    }
    columns = []
    for index, column in enumerate(expected):
        types = {database: own[database][index].type for database in own}
        common = _common(list(types.values()))
        if common is None:
            raise _differ(described)
        columns.append(replace(column, type=common))
        if len({identity(type_) for type_ in types.values()}) > 1:
            notes.append(f"{column.name}: {_who_has_what(types)}, read as {common.name}")
    return Agreement(columns=tuple(columns), described=own, order=order, notes=tuple(notes))


def _positions(expected: Sequence[Column], found: Sequence[Column]) -> tuple[int, ...] | None:
    """Say where each expected name stands; of equal names the first one goes with the first."""
    left: dict[str, list[int]] = {}
    for position, column in enumerate(found):
        left.setdefault(column.name, []).append(position)
    positions = [left[c.name].pop(0) for c in expected if left.get(c.name)]
    complete = len(positions) == len(expected) == len(found)
    return tuple(positions) if complete else None


def identity(type_: PgType) -> object:
    """Give what makes two databases' types the same: oids of user types differ."""
    if type_.kind in ("array", "domain") and type_.element is not None:
        return (type_.kind, identity(type_.element))
    return type_.oid if type_.oid in BUILTIN else (type_.schema, type_.name, type_.labels)


def _common(types: Sequence[PgType]) -> PgType | None:
    common: PgType | None = types[0]
    for type_ in types[1:]:
        if common is not None:
            common = _pair(common, type_)
    return common


def _pair(one: PgType, other: PgType) -> PgType | None:
    """Find the type that two types can be read as, None where there is none."""
    if identity(one) == identity(other):
        return one
    if one.kind == other.kind == "enum":
        return one if one.labels == other.labels else BUILTIN[t.TEXT]
    if one.kind == other.kind == "array":
        assert one.element is not None
        assert other.element is not None
        element = _pair(one.element, other.element)
        return None if element is None else array_of(element)
    if not (one.oid in BUILTIN and other.oid in BUILTIN):
        return None
    if one.oid in TEXTS and other.oid in TEXTS:
        return BUILTIN[t.TEXT]
    for candidate in (one.oid, other.oid, *WIDENINGS.get(one.oid, ())):
        if all(candidate in (o, *WIDENINGS.get(o, ())) for o in (one.oid, other.oid)):
            return BUILTIN[candidate]
    return None


def _who_has_what(types: Mapping[str, PgType]) -> str:
    """Write `int4 in ewr, jfk, int8 in lga`."""
    holders: dict[str, list[str]] = {}
    for database, type_ in types.items():
        holders.setdefault(shown_type(type_), []).append(database)
    return ", ".join(f"{name} in {', '.join(databases)}" for name, databases in holders.items())


def shown_type(type_: PgType) -> str:
    """Write a type's name, with its schema where it is not a built-in one."""
    return type_.name if type_.schema == "pg_catalog" else f"{type_.schema}.{type_.name}"


def _differ(described: Mapping[str, tuple[Column, ...]]) -> ColumnsDiffer:
    """Draw a small table: a line per column name, a column per database."""
    names = list(dict.fromkeys(c.name for columns in described.values() for c in columns))
    rows = [["", *described]]
    for name in names:
        cells = [
            ", ".join(shown_type(c.type) for c in columns if c.name == name) or "-"
            for columns in described.values()
        ]
        if len(set(cells)) > 1:
            rows.append([name, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return ColumnsDiffer(
        "the databases gave columns that do not fit into one frame",
        table=table,
        hint="cast or rename the columns in the cell, or take a frame of each database "
        "with --split",
    )
