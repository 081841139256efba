"""What databases hold, and how two of them differ, as frames."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgmagic.client import Client
from pgmagic.columns import listing
from pgmagic.errors import CellError, UnknownDatabase

__all__ = ["differences", "schema", "targets_and_pattern"]

OWN = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
KIND = """case c.relkind
        when 'r' then 'table' when 'p' then 'partitioned table' when 'f' then 'foreign table'
        when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
    end"""

COLUMNS = f"""
select n.nspname::text as schema, c.relname::text as "table", {KIND} as kind,
    a.attname::text as "column", format_type(a.atttypid, a.atttypmod) as type,
    not a.attnotnull as nullable, coalesce(pg_get_expr(d.adbin, d.adrelid), '') as "default",
    coalesce(col_description(c.oid, a.attnum), '') as comment
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relkind in ('r', 'p', 'f', 'v', 'm') and has_schema_privilege(n.oid, 'usage')
    and case when {{schema}}::text is null then {OWN} else n.nspname like {{schema}} end
    and ({{table}}::text is null or c.relname like {{table}})
order by 1, 2, a.attnum
"""

# One row for each thing that two databases can differ in. A constraint's index goes with it, and
# NOT NULL with its column: since version 18 it is a constraint as well.
OBJECTS = f"""
with own as (
    select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind, {KIND} as kind
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S') and {OWN}
)
select schema, name as "table", kind, '' as name, null as type, null::bool as nullable,
    null as "default", case when relkind in ('v', 'm') then pg_get_viewdef(oid) end as definition
from own
union all
select own.schema, own.name, 'column', a.attname::text, format_type(a.atttypid, a.atttypmod),
    not a.attnotnull, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), null
from own
join pg_attribute a on a.attrelid = own.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = own.oid and d.adnum = a.attnum
where own.relkind <> 'S'
union all
select own.schema, own.name, 'index', i.relname::text, null, null, null, pg_get_indexdef(i.oid)
from own join pg_index x on x.indrelid = own.oid join pg_class i on i.oid = x.indexrelid
where not exists (
    select from pg_constraint k where k.conindid = i.oid and k.contype in ('p', 'u', 'x')
)
union all
select own.schema, own.name, 'constraint', k.conname::text, null, null, null,
    pg_get_constraintdef(k.oid)
from own join pg_constraint k on k.conrelid = own.oid
where k.contype <> 'n'
order by 1, 2, 3, 4
"""
PROPERTIES = ("type", "nullable", "default", "definition")


async def schema(client: Client, targets: Sequence[str], pattern: str | None = None) -> Any:
    """Give a frame of the tables and columns of databases.

    `pattern` is a table's name or `schema.table`, with `*` and `?`; without a schema in it, the
    system's own are left out. Raises what `Client.query` raises.
    """
    of_schema, _, table = (pattern or "").rpartition(".")
    values = {"schema": _like(of_schema), "table": _like(table)}
    return await client.query(COLUMNS, on=targets, values=values)


async def differences(client: Client, one: str, other: str) -> Any:
    """Give a frame of what differs between the schemas of two databases, a row for each thing.

    Tables, views, columns with type, nullability and default, indexes, constraints and sequences
    are compared by name; of a table that only one has, nothing else is told. Raises what
    `Client.query` raises.
    """
    names = client.targets([one, other])
    if len(names) != 2:
        raise CellError(f"two databases are compared, not {len(names)}: {', '.join(names)}")
    frames = await client.query(OBJECTS, on=names, split=True)
    first, second = (_by_key(frames[name].to_dict("records")) for name in names)
    columns = ("schema", "table", "kind", "name", "difference", *names)
    return listing(columns, list(_differences(first, second, *names)))


def targets_and_pattern(client: Client, words: Sequence[str]) -> tuple[Sequence[str], str | None]:
    """Tell targets from the pattern of tables, which is the last word where it is no target.

    Raises `UnknownDatabase`.
    """
    if not words:
        return (), None
    try:
        client.targets(words[-1:])
    except UnknownDatabase:
        *targets, pattern = words
        if pattern.startswith("@"):
            raise
        return targets, pattern
    return words, None


def _like(pattern: str) -> str | None:
    r"""Write a shell pattern as one of LIKE, where `\` takes a sign for itself."""
    if not pattern:
        return None
    for sign in "\\%_":
        pattern = pattern.replace(sign, f"\\{sign}")
    return pattern.replace("*", "%").replace("?", "_")


Key = tuple[str, str, str, str]


def _by_key(rows: Sequence[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    return {(row["schema"], row["table"], row["kind"], row["name"]): row for row in rows}


def _differences(
    first: Mapping[Key, Mapping[str, Any]],
    second: Mapping[Key, Mapping[str, Any]],
    one: str,
    other: str,
) -> Iterator[dict[str, Any]]:
    tables = [{key[:2] for key in side if not key[3]} for side in (first, second)]
    for key in sorted(first.keys() | second.keys(), key=lambda key: (*key[:2], bool(key[3]), key)):
        row = dict(zip(("schema", "table", "kind", "name"), key, strict=True))
        here, there = first.get(key), second.get(key)
        if here is not None and there is not None:
            for name in PROPERTIES:
                if _text(here[name]) != _text(there[name]):
                    values = {one: _text(here[name]), other: _text(there[name])}
                    yield row | {"difference": name} | values
        elif not key[3] or all(key[:2] in side for side in tables):
            where = one if there is None else other
            values = {one: _made(here), other: _made(there)}
            yield row | {"difference": f"only in {where}"} | values


def _made(row: Mapping[str, Any] | None) -> str:
    """Say in a few words what a thing is that the other database lacks."""
    if row is None:
        return ""
    return next(
        (text for text in map(_text, (row["type"], row["definition"])) if text), row["kind"]
    )


def _text(value: Any) -> str:
    """Write a property; what a thing does not have is nothing, not `nan`."""
    if isinstance(value, str):
        return " ".join(value.split())
    return "" if value is None or value != value else str(value).lower()
