"""Ask one database what a statement gives and where it can be cut; no row is read."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgmagic.columns import describe, inline
from pgmagic.columns import prepare as prepare_on
from pgmagic.database.borrowed import BorrowedSnapshot
from pgmagic.database.pool import DatabasePool
from pgmagic.database.preparing import Prepared, prepare
from pgmagic.database.ranges import (
    Cut,
    check_rows_stand_alone,
    column_ranges,
    page_ranges,
    table_size,
)
from pgmagic.database.retry import ATTEMPTS, may_retry, pause
from pgmagic.database.translation import translated
from pgmagic.errors import CellError, PgMagicError
from pgmagic.language.division import Divisible
from pgmagic.language.plan import Plan
from pgmagic.outcome import Column
from pgmagic.parallel import ISOLATION

__all__ = ["Survey", "survey"]

PART_BYTES = 128 << 20  # of a table's pages in each part, where nobody says how many parts

# Bounds are read as text here and sent to sessions whose settings may be others.
READABLE = ("set local datestyle = 'ISO'", "set local intervalstyle = 'postgres'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one database said: the columns, where to cut (None: nowhere), about how many rows."""

    columns: tuple[Column, ...]
    cut: Cut | None = None
    rows: int | None = None


async def survey(
    pool: DatabasePool,
    plan: Plan,
    whole: Divisible | None,
    snapshot: BorrowedSnapshot | None,
) -> Survey:
    """Prepare the statement of a plan on one database and decide on its parts.

    `whole` is the statement where its text can be cut, None else; `snapshot` is what the database
    is held at. Raises what a cell raises.
    """
    attempt = 0
    while True:
        try:
            return await _survey(pool, plan, whole, snapshot)
        except PgMagicError as error:
            attempt += 1
            again = may_retry(error, sent=True, read=True, in_transaction=False, shown=False)
            if attempt > ATTEMPTS or not again:
                raise
        await asyncio.sleep(pause(attempt))


async def _survey(
    pool: DatabasePool,
    plan: Plan,
    whole: Divisible | None,
    snapshot: BorrowedSnapshot | None,
) -> Survey:
    [statement] = plan.statements
    with pool.running(plan.cell.sql):
        async with pool.acquire() as lease:
            connection = lease.connection
            settings = _settings(pool, plan)
            with translated(pool.name):
                if snapshot is not None:
                    await snapshot.begin_on(lease, settings)
                else:
                    await connection.execute("; ".join([f"begin {ISOLATION} read only", *settings]))
            prepared = await prepare(connection, statement, pool.name, by=prepare_on)
            attributes = prepared.handle.get_attributes()
            with translated(pool.name, prepared.statement):
                columns = await describe(connection, attributes, pool.types)
            if whole is None:
                return Survey(columns=columns)
            # Where an error stands in what is sent from here on says nothing about the cell.
            with translated(pool.name):
                return await _parts(connection, prepared, plan, whole, columns)


async def _parts(
    connection: Any,
    prepared: Prepared,
    plan: Plan,
    whole: Divisible,
    columns: tuple[Column, ...],
) -> Survey:
    options = plan.cell.options
    inlined = await inline(
        connection,
        prepared.statement.sql,
        prepared.arguments,
        prepared.handle.get_parameters(),
    )
    try:
        rows = await check_rows_stand_alone(connection, inlined.sql)
        parts = options.partitions
        if parts is None:
            parts = max(1, math.ceil(await table_size(connection, whole) / PART_BYTES))
        if options.by is None:
            cut = await page_ranges(connection, whole, parts)
        else:
            cut = await column_ranges(connection, whole, options.by, parts)
    except CellError:
        if options.partitions is None and options.by is None:
            return Survey(columns=columns)  # nobody asked for more than one part
        raise
    return Survey(columns=columns, cut=cut, rows=rows)


def _settings(pool: DatabasePool, plan: Plan) -> Sequence[str]:
    settings = [*pool.local_settings, *READABLE]
    if timeout := plan.cell.options.timeout:
        settings.append(f"set local statement_timeout = {math.ceil(timeout * 1000)}")
    return settings
