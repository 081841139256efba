"""Write a frame into a table of one database."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pgmagic.columns import LONGEST_NAME, Outgoing, Progress, copy_in
from pgmagic.database.pool import DatabasePool, Lease
from pgmagic.database.translation import translated
from pgmagic.errors import CellError
from pgmagic.meeting import Meeting
from pgmagic.outcome import Answer, Result
from pgmagic.voting import PATIENT, vote
from pgmagic.watch import Watch

__all__ = ["IfExists", "Writing"]

IfExists: TypeAlias = Literal["fail", "append", "replace"]

DUPLICATE_TABLE = "42P07"

# The name as SQL reads it: folded to lower case where it is not quoted.
NAME = """
select parse_ident($1) as parts,
    (select string_agg(quote_ident(part), '.') from unnest(parse_ident($1)) part) as quoted
"""

# A domain counts as what it is made of: `kind`; `type` is what a value has to become.
COLUMNS = """
select a.attname as name, format_type(a.atttypid, null) as type,
    format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null) as kind
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
"""

QUOTED = (
    "select array_agg(quote_ident(n) order by i) from unnest($1::text[]) with ordinality u(n, i)"
)

STAGE = "pgmagic_frame"

TEXTS = frozenset({"text", "character varying", "character"})  # the same on the wire
INTEGERS = frozenset({"smallint", "integer", "bigint"})
FRACTIONS = frozenset({"real", "double precision", "numeric"})
# What may become what, changed by the server; text may become anything, by its input function.
BECOMES: dict[str, frozenset[str]] = {
    **dict.fromkeys(INTEGERS, INTEGERS | {"numeric", "double precision"}),
    **dict.fromkeys(FRACTIONS, FRACTIONS),
    "date": frozenset({"timestamp without time zone"}),
    "jsonb": frozenset({"json"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One database's share: the frame, the table by its name, what to do where there is one.

    `together` says that others write the same frame, and that all commit or nobody does.
    """

    database: str
    pool: DatabasePool
    meeting: Meeting
    watch: Watch
    outgoing: Outgoing
    table: str
    if_exists: IfExists
    together: bool

    async def run(self) -> Answer:
        """Write, in one transaction. Raises a `PgMagicError`, and nothing has changed then."""
        started = time.monotonic()
        progress = self.watch.progress[self.database] = Progress()
        with self.pool.running(f"copy {self.table} from stdin"):
            self.watch.state[self.database] = "waiting for a connection"
            # Those who commit together all need a connection at once.
            async with self.pool.acquire(may_wait=lambda: not self.together) as lease:
                self.watch.state[self.database] = "writing"
                await self._execute(
                    lease, "; ".join(["begin read write", *self.pool.local_settings, PATIENT])
                )
                with translated(self.database):
                    await self._write(lease.connection, progress)
                if self.together:
                    await vote(lease, self.meeting, self.watch)
                await self._execute(lease, "commit")
                notices = lease.notices
        return Answer(
            database=self.database,
            results=(Result(tag=f"COPY {self.outgoing.table.num_rows}"),),
            elapsed=time.monotonic() - started,
            notices=notices,
        )

    async def _write(self, connection: Any, progress: Progress) -> None:
        name = await connection.fetchrow(NAME, self.table)
        *schema, table = name["parts"]
        if len(schema) > 1:
            raise self._refused(f"{self.table} is no name of a table", hint="table or schema.table")
        if any(len(part.encode()) > LONGEST_NAME for part in name["parts"]):
            raise self._refused(  # it would be cut off, and may then be another table's
                f"{self.table} is too long for a name", hint=f"a name has 1 to {LONGEST_NAME} bytes"
            )
        place = schema[0] if schema else None
        existing: dict[str, tuple[str, str]] = {}
        if self.if_exists == "append":
            rows = await connection.fetch(COLUMNS, name["quoted"])
            existing = {row["name"]: (row["type"], row["kind"]) for row in rows}
        elif self.if_exists == "replace":
            await connection.execute(f"drop table if exists {name['quoted']}")
        if existing:
            await self._append(connection, table, place, name["quoted"], existing, progress)
            return
        columns = await self._columns(connection, self.outgoing.types)
        try:
            await connection.execute(f"create table {name['quoted']} ({columns})")
        except Exception as error:
            if getattr(error, "sqlstate", None) == DUPLICATE_TABLE:
                raise self._refused(
                    f"there is a table {self.table} already",
                    hint="--if-exists append adds to it, --if-exists replace puts another there",
                ) from None
            raise
        await copy_in(connection, self.outgoing, table, place, progress)

    async def _append(
        self,
        connection: Any,
        table: str,
        schema: str | None,
        quoted: str,
        existing: Mapping[str, tuple[str, str]],
        progress: Progress,
    ) -> None:
        """Add to a table, whose columns go by name and may have other types."""
        missing = [column for column in self.outgoing.types if column not in existing]
        if missing:
            raise self._refused(
                f"{self.table} has no column {', '.join(missing)}",
                hint=f"it has {', '.join(existing)}",
            )
        whole = [
            column
            for column, type_ in self.outgoing.types.items()
            if type_ in FRACTIONS and existing[column][1] in INTEGERS
        ]
        frame = self.outgoing.with_whole_numbers(whole)
        direct = True
        for column, type_ in frame.types.items():
            wanted, kind = existing[column]
            direct &= type_ == wanted or (type_ in TEXTS and wanted in TEXTS)
            if type_ != kind and not _becomes(type_, kind):
                raise self._refused(
                    f"column {column}: {type_} of the frame does not become {kind} of the table",
                    hint="convert it in the frame, so that what is meant is said",
                )
        if direct:
            await copy_in(connection, frame, table, schema, progress)
            return
        columns = await self._columns(connection, frame.types)
        names = await connection.fetchval(QUOTED, list(frame.types))
        casts = ", ".join(
            f"{name}::{existing[column][0]}"
            for name, column in zip(names, frame.types, strict=True)
        )
        await connection.execute(f"create temporary table {STAGE} ({columns}) on commit drop")
        await copy_in(connection, frame, STAGE, "pg_temp", progress)
        await connection.execute(
            f"insert into {quoted} ({', '.join(names)}) select {casts} from pg_temp.{STAGE}"
        )

    async def _columns(self, connection: Any, types: Mapping[str, str]) -> str:
        names = await connection.fetchval(QUOTED, list(types))
        return ", ".join(
            f"{name} {type_}" for name, type_ in zip(names, types.values(), strict=True)
        )

    async def _execute(self, lease: Lease, sql: str) -> None:
        with translated(self.database):
            await lease.connection.execute(sql)

    def _refused(self, message: str, *, hint: str) -> CellError:
        error = CellError(message, hint=hint)
        error.database = self.database
        return error


def _becomes(type_: str, wanted: str) -> bool:
    if type_ in TEXTS:
        return True
    if type_.endswith("[]") and wanted.endswith("[]"):
        element, other = type_.removesuffix("[]"), wanted.removesuffix("[]")
        return element == other or _becomes(element, other)
    return wanted in BECOMES.get(type_, ())
