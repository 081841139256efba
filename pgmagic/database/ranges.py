"""How one table is cut into parts that can be read at the same time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pgmagic.errors import CellError

if TYPE_CHECKING:
    import asyncpg

    from pgmagic.language.division import Divisible

__all__ = ["check_rows_stand_alone", "column_ranges", "page_ranges"]

# The table and all that inherits from it: partitions, above all.
TABLE = """
with recursive tree(oid) as (
    select to_regclass($1)::oid
    union
    select i.inhrelid from pg_catalog.pg_inherits i join tree on i.inhparent = tree.oid
)
select coalesce(bool_and(c.relkind in ('r', 'm', 'p', 't')), false) as is_table,
    coalesce(max(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int as pages
from tree join pg_catalog.pg_class c using (oid)
"""

COLUMN = """
select quote_ident(a.attname) as name, format_type(a.atttypid, null) as type,
    exists (
        select from pg_catalog.pg_index i
        where i.indrelid = a.attrelid and i.indisvalid and i.indkey[0] = a.attnum
    ) as indexed,
    s.histogram_bounds::text::text[] as bounds
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stats s
    on (s.schemaname, s.tablename, s.attname) = (n.nspname, c.relname, a.attname)
where a.attrelid = to_regclass($1) and a.attname = $2 and a.attnum > 0 and not a.attisdropped
order by s.inherited desc nulls last
limit 1
"""

LITERALS = """
select array_agg(quote_literal(bound) || '::' || $2 order by number)
from unnest($1::text[]) with ordinality as b(bound, number)
"""

SAMPLE_PAGES = 1000  # read to find bounds where the table was never analysed

# What hands rows on one by one, and what takes them out of a table.
# https://www.postgresql.org/docs/current/using-explain.html
PASSING = frozenset({"Append", "Gather", "ProjectSet", "Result"})
SCANS = frozenset(
    {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan"}
)
BESIDE = frozenset({"InitPlan", "SubPlan"})  # the same for every part, as it is one snapshot


async def check_rows_stand_alone(connection: "asyncpg.Connection[Any]", sql: str) -> None:
    """Ask the server whether a statement gives the rows of one table, each by itself.

    Raises `CellError` where it counts, sorts, joins or does anything else to them together.
    """
    [plan] = json.loads(await connection.fetchval(f"explain (format json) {sql}"))
    nodes = list(_main_nodes(plan["Plan"]))
    foreign = [node for node in nodes if node not in PASSING | SCANS]
    if foreign or not SCANS.intersection(nodes):
        what = foreign[0] if foreign else nodes[0]
        raise CellError(
            f"--parallel can't cut this statement into parts: its plan has the step {what}",
            hint="only rows of one table that stand for themselves can be read in parts",
        )


async def page_ranges(
    connection: "asyncpg.Connection[Any]", statement: "Divisible", parts: int
) -> list[str]:
    """Cut a table by its pages: a predicate for each part, in the order of the table.

    What is added while the parts are read belongs to the last one.
    Raises `CellError` for what has no pages, such as a view.
    """
    pages = await _pages(connection, statement)
    ctid = f"{statement.qualifier}.ctid"
    step = max(1, -(-pages // parts))
    return _between(ctid, [f"'({page},0)'::tid" for page in range(step, pages, step)])


async def column_ranges(
    connection: "asyncpg.Connection[Any]", statement: "Divisible", column: str, parts: int
) -> tuple[list[str], str | None]:
    """Cut a table by the values of a column, in parts of about the same size.

    Gives a predicate for each part, in ascending order with NULLs last, and a note for the
    caption. The bounds are the planner's, or those of a sample. Raises `CellError`.
    """
    pages = await _pages(connection, statement)
    about = await connection.fetchrow(COLUMN, statement.table, column)
    if about is None:
        raise CellError(f"{statement.table} has no column {column} that --by could cut it by")
    qualified = f"{statement.qualifier}.{about['name']}"
    bounds = about["bounds"]
    if bounds is None:
        share = min(100.0, 100.0 * SAMPLE_PAGES / max(1, pages))
        bounds = await connection.fetchval(
            "select percentile_disc($1::float8[]) within group (order by c)::text[] from (select "
            f"{about['name']} from {statement.table} tablesample system ({share})) as s(c)",
            [number / parts for number in range(parts + 1)],
        )
    chosen = _quantiles([bound for bound in bounds or () if bound is not None], parts)
    literals = await connection.fetchval(LITERALS, chosen, about["type"])
    note = None
    if not about["indexed"]:
        note = f"no index begins with {column}: every part reads the whole table"
    return _between(qualified, literals or [], nulls=True), note


async def _pages(connection: "asyncpg.Connection[Any]", statement: "Divisible") -> int:
    row = await connection.fetchrow(TABLE, statement.table)
    if row is None or not row["is_table"]:
        raise CellError(
            f"{statement.table} is no table, and only tables can be read in parts",
            hint="a view, a function or a foreign table is read without --parallel",
        )
    return int(row["pages"])


def _quantiles(bounds: Sequence[str], parts: int) -> list[str]:
    """Choose the bounds between parts; the first and the last bound are the ends."""
    last = len(bounds) - 1
    chosen = (bounds[number * last // parts] for number in range(1, parts) if last > 0)
    return list(dict.fromkeys(chosen))


def _between(column: str, bounds: Sequence[str], *, nulls: bool = False) -> list[str]:
    """Give a predicate for each part; every value fits exactly one of them.

    That holds whatever the order of the bounds: a part has what is below its own bound, and not
    below any bound before.
    """
    if not bounds:
        return ["true"]
    parts = []
    for number in range(len(bounds) + 1):
        above = [f"{column} >= {bound}" for bound in bounds[:number]]
        below = [f"{column} < {bound}" for bound in bounds[number : number + 1]]
        parts.append(" AND ".join(above + below))
    if nulls:
        parts[-1] = f"({parts[-1]}) OR {column} IS NULL"
    return parts


def _main_nodes(plan: Mapping[str, Any]) -> Iterator[str]:
    """Give the steps that rows go through; what finds them inside a scan is no step."""
    yield plan["Node Type"]
    if plan["Node Type"] in SCANS:
        return
    for child in plan.get("Plans", ()):
        if child.get("Parent Relationship") not in BESIDE:
            yield from _main_nodes(child)
