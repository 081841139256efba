"""What the columns of a statement are, from its description and the server's catalogue."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pgmagic.columns.pgtypes import BUILTIN
from pgmagic.outcome import Column, PgType

if TYPE_CHECKING:
    import asyncpg

__all__ = ["describe", "resolve"]

# The types asked for, and those they are made of: an array's elements, a domain's base.
QUERY = """
with recursive wanted(oid) as (
    select unnest($1::oid[])
    union
    select case t.typtype when 'd' then t.typbasetype else t.typelem end
    from wanted join pg_catalog.pg_type t using (oid)
    where t.typtype = 'd' or t.typcategory = 'A' and t.typelem <> 0
)
select t.oid, t.typname as name, n.nspname as schema, t.typtype::text as kind,
    case when t.typtype = 'd' then t.typbasetype
         when e.typarray = t.oid then t.typelem end as element,
    array(select l.enumlabel::text from pg_catalog.pg_enum l
          where l.enumtypid = t.oid order by l.enumsortorder) as labels
from wanted
join pg_catalog.pg_type t using (oid)
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_type e on e.oid = t.typelem
"""

KINDS = {"c": "composite", "d": "domain", "e": "enum", "r": "range", "m": "multirange"}


async def describe(
    connection: "asyncpg.Connection[Any]",
    attributes: Sequence["asyncpg.Attribute"],
    known: dict[int, PgType],
) -> tuple[Column, ...]:
    """Say what the columns of a prepared statement are.

    `known` holds the types of this database that were seen before, and takes the new ones.
    Built-in types need no query.
    """
    types = await resolve(connection, [attribute.type.oid for attribute in attributes], known)
    return tuple(
        Column(name=attribute.name, type=type_)
        for attribute, type_ in zip(attributes, types, strict=True)
    )


async def resolve(
    connection: "asyncpg.Connection[Any]", oids: Sequence[int], known: dict[int, PgType]
) -> tuple[PgType, ...]:
    """Look types up by oid, by one query: those not yet known, and enums.

    An enum can get another label at any time, and its labels are the categories of a frame.
    """
    missing = sorted(
        {
            oid
            for oid in oids
            if oid not in BUILTIN and (oid not in known or _has_labels(known[oid]))
        }
    )
    if missing:
        rows = {row["oid"]: row for row in await connection.fetch(QUERY, missing)}
        for oid in missing:
            known[oid] = _type(oid, rows)
    return tuple(BUILTIN.get(oid) or known[oid] for oid in oids)


def _has_labels(type_: PgType) -> bool:
    return bool(type_.labels) or (type_.element is not None and _has_labels(type_.element))


def _type(oid: int, rows: Mapping[int, Mapping[str, Any]]) -> PgType:
    if oid in BUILTIN:
        return BUILTIN[oid]
    if (row := rows.get(oid)) is None:
        return PgType(oid=oid, name=f"unknown type {oid}")
    kind: Any = KINDS.get(row["kind"], "scalar")
    element = _type(row["element"], rows) if row["element"] else None
    if element is not None and kind != "domain":
        kind = "array"
    return PgType(
        oid=oid,
        name=f"{element.name}[]" if element is not None and kind == "array" else row["name"],
        schema=row["schema"],
        kind=kind,
        element=element,
        labels=tuple(row["labels"]),
    )
