"""Read what a database holds, for completion: in the background, and not too often."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any

from pgmagic import events
from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.translation import translated
from pgmagic.errors import PgMagicError
from pgmagic.language.inventory import (
    Attribute,
    ForeignKey,
    Inventory,
    Relation,
    RelationKind,
    Routine,
)

if TYPE_CHECKING:
    from asyncpg import Record

__all__ = ["Catalogs", "changes_catalog", "read_inventory"]

MOST_RELATIONS = 20_000
MOST_COLUMNS = 400  # of one relation
MOST_OTHERS = 20_000  # functions, foreign keys and types, each
READ_TIMEOUT = 10.0  # seconds
FRESH = 300.0  # seconds until it is read again, for others may have changed it
PAUSE = 30.0  # seconds after a failure
AT_ONCE = 4  # databases

KINDS: dict[str, RelationKind] = {
    "r": "table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "p": "partitioned table",
}
ROUTINES = {"a": "aggregate", "w": "window function", "p": "procedure"}
CHANGING = frozenset({"CREATE", "ALTER", "DROP", "IMPORT", "DO", "CALL"})

# One row per thing. What a function's comment calls an implementation is there for an operator.
QUERY = f"""
with space as (
    select oid, nspname::text as name from pg_namespace
    where nspname !~ '^pg_(toast|temp)' and has_schema_privilege(oid, 'usage')
)
(
    select 'relation' as what, s.name as schema, c.relname::text as name,
        c.relkind::text as kind, pg_table_is_visible(c.oid) as visible, false as rows,
        array(
            select a.attname::text from pg_attribute a
            where a.attrelid = c.oid and a.attnum between 1 and {MOST_COLUMNS}
            and not a.attisdropped order by a.attnum
        ) as columns,
        array(
            select format_type(a.atttypid, a.atttypmod) from pg_attribute a
            where a.attrelid = c.oid and a.attnum between 1 and {MOST_COLUMNS}
            and not a.attisdropped order by a.attnum
        ) as others,
        null::text as foreign_schema, null::text as foreign_table
    from pg_class c join space s on s.oid = c.relnamespace
    where c.relkind in ('r', 'v', 'm', 'f', 'p')
    order by c.relispartition, c.relname
    limit {MOST_RELATIONS}
)
union all
(
    select 'key', s.name, c.relname::text, null, true, false,
        array(
            select a.attname::text from unnest(k.conkey) with ordinality as x(num, place)
            join pg_attribute a on a.attrelid = k.conrelid and a.attnum = x.num order by x.place
        ),
        array(
            select a.attname::text from unnest(k.confkey) with ordinality as x(num, place)
            join pg_attribute a on a.attrelid = k.confrelid and a.attnum = x.num order by x.place
        ),
        fs.name, f.relname::text
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid join space s on s.oid = c.relnamespace
    join pg_class f on f.oid = k.confrelid join space fs on fs.oid = f.relnamespace
    where k.contype = 'f' and not c.relispartition
    order by c.relname, k.conname
    limit {MOST_OTHERS}
)
union all
(
    select 'routine', s.name, p.proname::text, min(p.prokind::text),
        bool_or(pg_function_is_visible(p.oid)), bool_or(p.proretset), null, null, null, null
    from pg_proc p join space s on s.oid = p.pronamespace
    where p.prorettype <> all ('{{trigger,event_trigger,internal,cstring}}'::regtype[])
    and not p.proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[]
    and coalesce(obj_description(p.oid, 'pg_proc'), '') not like 'implementation of %'
    group by s.name, p.proname
    order by p.proname
    limit {MOST_OTHERS}
)
union all
(
    select 'type', s.name, format_type(t.oid, null), null, true, false, null, null, null, null
    from pg_type t join space s on s.oid = t.typnamespace
    left join pg_class c on c.oid = t.typrelid
    where s.name not in ('pg_catalog', 'information_schema')
    and (t.typtype in ('d', 'e', 'r', 'm') or c.relkind = 'c')
    order by t.typname
    limit {MOST_OTHERS}
)
"""


async def read_inventory(pool: DatabasePool) -> Inventory:
    """Read all that a database holds, in one query outside of any transaction.

    Raises what `DatabasePool.acquire` raises, and `QueryError`.
    """
    with pool.running("the system catalogue, for completion"):
        async with pool.acquire() as lease:
            with translated(pool.name):
                records = await lease.connection.fetch(QUERY, timeout=READ_TIMEOUT)
    # In a thread: ten thousand tables would hold up the loop for a tenth of a second.
    return await asyncio.to_thread(_inventory, records)


def changes_catalog(tag: str) -> bool:
    """Whether a command with this tag may have changed what there is: `CREATE TABLE` …"""
    return tag.split(" ", 1)[0] in CHANGING


def _inventory(records: Sequence["Record"]) -> Inventory:
    by_kind: dict[str, list[Any]] = {"relation": [], "key": [], "routine": [], "type": []}
    for record in records:
        by_kind[record["what"]].append(record)
    inventory = Inventory(
        relations=tuple(
            Relation(
                schema=intern(row["schema"]),
                name=row["name"],
                kind=KINDS[row["kind"]],
                columns=tuple(_attributes(row["columns"], row["others"])),
                visible=row["visible"],
            )
            for row in by_kind["relation"]
        ),
        routines=tuple(
            Routine(
                schema=intern(row["schema"]),
                name=row["name"],
                about=ROUTINES.get(row["kind"], "function"),
                set=row["rows"],
                visible=row["visible"],
            )
            for row in by_kind["routine"]
        ),
        foreign_keys=tuple(
            ForeignKey(
                schema=row["schema"],
                table=row["name"],
                columns=tuple(row["columns"]),
                foreign_schema=row["foreign_schema"],
                foreign_table=row["foreign_table"],
                foreign_columns=tuple(row["others"]),
            )
            for row in by_kind["key"]
        ),
        types=tuple(row["name"] for row in by_kind["type"]),
        complete=len(by_kind["relation"]) < MOST_RELATIONS,
    )
    inventory.prepare()
    return inventory


def _attributes(names: Iterable[str], types: Iterable[str]) -> Iterable[Attribute]:
    # The same few names and types come again and again: each is kept once.
    for name, kind in zip(names, types, strict=True):
        yield Attribute(intern(name), intern(kind))


@dataclass(slots=True)
class _Entry:
    """What is known of one database, and when it may be read again."""

    settings: DatabaseSettings
    inventory: Inventory | None = None
    due: float = -float("inf")  # of the clock
    reading: bool = False


class Catalogs:
    """What is known of every database. Looking is instant; reading is a coroutine of its own."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    def known(self, settings: DatabaseSettings) -> Inventory | None:
        """Give what was read last, however long ago; None where nothing was."""
        return self._entry(settings).inventory

    def is_due(self, settings: DatabaseSettings) -> bool:
        """Whether it is time to read a database, for the first time or again."""
        entry = self._entry(settings)
        return not entry.reading and self._clock() >= entry.due

    def outdated(self, settings: DatabaseSettings) -> bool:
        """Note that a database has changed. Gives False where nothing was known of it."""
        entry = self._entry(settings)
        entry.due = -float("inf")
        return entry.inventory is not None

    async def read(self, pool: DatabasePool) -> None:
        """Read a database, unless that is being done. What fails is tried again later."""
        entry = self._entry(pool.settings)
        if entry.reading:
            return
        entry.reading = True
        entry.due = self._clock() + FRESH  # before: what changes meanwhile is to be read again
        try:
            async with self._turns:
                entry.inventory = await read_inventory(pool)
        except PgMagicError as error:
            # Nobody asked for it, so nobody is told: the next cell will say what is wrong.
            events.catalogue_ignored(pool.name, error=type(error).__name__)
            entry.due = self._clock() + PAUSE
        finally:
            entry.reading = False

    def _entry(self, settings: DatabaseSettings) -> _Entry:
        entry = self._entries.get(settings.name)
        if entry is None or entry.settings is not settings:  # another database of the same name
            entry = self._entries[settings.name] = _Entry(settings)
        return entry
