"""How one table is cut into parts that can be read at the same time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pgmagic.database.quantiles import Weight, cuts
from pgmagic.errors import CellError

if TYPE_CHECKING:
    import asyncpg

    from pgmagic.language.division import Divisible

__all__ = ["Cut", "Range", "check_rows_stand_alone", "column_ranges", "page_ranges", "table_size"]

# The table and all that inherits from it: partitions, above all.
TABLE = """
with recursive tree(oid) as (
    select to_regclass($1)::oid
    union
    select i.inhrelid from pg_catalog.pg_inherits i join tree on i.inhparent = tree.oid
)
select coalesce(bool_and(c.relkind in ('r', 'm', 'p', 't')), false) as is_table,
    coalesce(max(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int as pages,
    coalesce(sum(pg_relation_size(c.oid)), 0)::int8 as bytes
from tree join pg_catalog.pg_class c using (oid)
"""

# Values that stand for more than a hundredth or so of the rows are not in the histogram:
# https://www.postgresql.org/docs/current/view-pg-stats.html
COLUMN = """
select quote_ident(a.attname) as name, format_type(a.atttypid, -1) as type,
    exists (
        select from pg_catalog.pg_index i
        where i.indrelid = a.attrelid and i.indisvalid and i.indkey[0] = a.attnum
    ) as indexed,
    s.histogram_bounds::text::text[] as bounds,
    s.most_common_vals::text::text[] as common,
    s.most_common_freqs::float8[] as shares,
    coalesce(s.null_frac, 0)::float8 as nulls
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stats s
    on (s.schemaname, s.tablename, s.attname) = (n.nspname, c.relname, a.attname)
where a.attrelid = to_regclass($1) and a.attname = $2 and a.attnum > 0 and not a.attisdropped
order by s.inherited desc nulls last
limit 1
"""

# In the order that the column itself has: the first branch lends its collation.
ORDERED = """
select quote_literal(value::text) || '::{type}' as literal, sum(below) as below, sum(at) as at
from (
    select {name}, 0::float8, 0::float8 from {table} where false
    union all
    select v::{type}, b, a from unnest($1::text[], $2::float8[], $3::float8[]) as u(v, b, a)
) as s(value, below, at)
group by value order by value
"""

ALL = "true"  # the predicate of the only part
SAMPLE_PAGES = 1000  # read to find bounds where the table was never analysed
SAMPLE_BOUNDS = 1000  # taken from the sample

# What hands rows on one by one, and what takes them out of a table.
# https://www.postgresql.org/docs/current/using-explain.html
PASSING = frozenset({"Append", "Gather", "ProjectSet", "Result"})
SCANS = frozenset(
    {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan"}
)
BESIDE = frozenset({"InitPlan", "SubPlan"})  # the same for every part, as it is one snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A part of a table: a predicate, and about which share of the rows it holds."""

    predicate: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """All parts of a table, in order, and a note for the caption. Every row is in one of them."""

    ranges: tuple[Range, ...]
    note: str | None = None


async def check_rows_stand_alone(connection: "asyncpg.Connection[Any]", sql: str) -> int:
    """Ask the server whether a statement gives the rows of one table, each by itself.

    Gives the number of rows that the planner expects. Raises `CellError` where it counts, sorts,
    joins or does anything else to them together.
    """
    [plan] = json.loads(await connection.fetchval(f"explain (format json) {sql}"))
    nodes = list(_main_nodes(plan["Plan"]))
    foreign = [node for node in nodes if node not in PASSING | SCANS]
    if foreign or not SCANS.intersection(nodes):
        what = foreign[0] if foreign else nodes[0]
        raise CellError(
            f"can't cut this statement into parts: its plan has the step {what}",
            hint="only rows of one table that stand for themselves can be read in parts",
        )
    return int(plan["Plan"]["Plan Rows"])


async def table_size(connection: "asyncpg.Connection[Any]", statement: "Divisible") -> int:
    """Give the bytes of a table, with all its partitions. Raises `CellError` for a view."""
    return int((await _table(connection, statement))["bytes"])


async def page_ranges(
    connection: "asyncpg.Connection[Any]", statement: "Divisible", parts: int
) -> Cut:
    """Cut a table by its pages, in the order of the table.

    What is added while the parts are read belongs to the last one.
    Raises `CellError` for what has no pages, such as a view.
    """
    pages = int((await _table(connection, statement))["pages"])
    step = max(1, -(-pages // parts))
    places = range(step, pages, step)
    predicates = _between(f"{statement.qualifier}.ctid", [f"'({page},0)'::tid" for page in places])
    edges = [0, *places, max(1, pages)]
    shares = [(end - start) / edges[-1] for start, end in pairwise(edges)]
    return Cut(ranges=_ranges(predicates, shares))


async def column_ranges(
    connection: "asyncpg.Connection[Any]", statement: "Divisible", column: str, parts: int
) -> Cut:
    """Cut a table by the values of a column, in parts of about the same size.

    They stand in ascending order, NULLs last. The bounds are from the planner's statistics: the
    histogram and the most common values beside it; else from a sample. Raises `CellError`.
    """
    pages = int((await _table(connection, statement))["pages"])
    about = await connection.fetchrow(COLUMN, statement.table, column)
    if about is None:
        raise CellError(f"{statement.table} has no column {column} that --by could cut it by")
    qualified = f"{statement.qualifier}.{about['name']}"
    values, below, at = _known(about)
    if not values:
        values = await _sample(connection, statement.table, about["name"], pages)
        below, at = [0.0] * len(values), [1.0] * len(values)
    ordered = ORDERED.format(type=about["type"], name=about["name"], table=statement.table)
    rows = await connection.fetch(ordered, values, below, at)
    nulls = float(about["nulls"])
    apart = parts > 1 and nulls * parts >= 0.5  # many enough to be a part of their own
    places, shares = cuts([Weight(*row[1:]) for row in rows], parts - 1 if apart else parts)
    whole = sum(shares) or 1.0
    shares = [(1 - nulls) * share / whole for share in shares]
    predicates = _between(qualified, [rows[place]["literal"] for place in places])
    if apart:
        predicates = [f"{qualified} IS NOT NULL"] if predicates == [ALL] else predicates
        predicates.append(f"{qualified} IS NULL")
        shares.append(nulls)
    else:
        if len(predicates) > 1:
            predicates[-1] = f"({predicates[-1]}) OR {qualified} IS NULL"
        shares[-1] += nulls
    notes = []
    if not about["indexed"]:
        notes.append(f"no index begins with {column}: every part reads the whole table")
    if len(predicates) < parts:
        notes.append(f"the statistics of {column} allow {len(predicates)} parts, not {parts}")
    return Cut(ranges=_ranges(predicates, shares), note="; ".join(notes) or None)


async def _table(connection: "asyncpg.Connection[Any]", statement: "Divisible") -> Any:
    row = await connection.fetchrow(TABLE, statement.table)
    if row is None or not row["is_table"]:
        raise CellError(
            f"{statement.table} is no table, and only tables can be read in parts",
            hint="a view, a function or a foreign table is read as a whole",
        )
    return row


def _known(about: Mapping[str, Any]) -> tuple[list[str], list[float], list[float]]:
    """Give values of a column, and the share of rows below and at each, from its statistics."""
    bounds, common = about["bounds"] or (), about["common"] or ()
    shares = list(about["shares"] or ())
    bins = max(1, len(bounds) - 1)
    others = max(0.0, 1.0 - sum(shares) - about["nulls"])
    below = [0.0, *[others / bins] * bins][: len(bounds)]
    return [*bounds, *common], [*below, *[0.0] * len(common)], [*[0.0] * len(bounds), *shares]


async def _sample(
    connection: "asyncpg.Connection[Any]", table: str, column: str, pages: int
) -> list[str]:
    """Read bounds from some pages of a table that was never analysed."""
    share = min(100.0, 100.0 * SAMPLE_PAGES / max(1, pages))
    bounds = await connection.fetchval(
        "select percentile_disc($1::float8[]) within group (order by c)::text[] "
        f"from (select {column} from {table} tablesample system ({share})) as s(c)",
        [number / SAMPLE_BOUNDS for number in range(SAMPLE_BOUNDS + 1)],
    )
    return [bound for bound in bounds or () if bound is not None]


def _between(column: str, bounds: Sequence[str]) -> list[str]:
    """Give a predicate for each part; the bounds ascend, so every value fits exactly one."""
    if not bounds:
        return [ALL]
    return [
        f"{column} < {bounds[0]}",
        *(f"{column} >= {low} AND {column} < {high}" for low, high in pairwise(bounds)),
        f"{column} >= {bounds[-1]}",
    ]


def _ranges(predicates: Sequence[str], shares: Sequence[float]) -> tuple[Range, ...]:
    return tuple(
        Range(predicate=predicate, share=share)
        for predicate, share in zip(predicates, shares, strict=True)
    )


def _main_nodes(plan: Mapping[str, Any]) -> Iterator[str]:
    """Give the steps that rows go through; what finds them inside a scan is no step."""
    yield plan["Node Type"]
    if plan["Node Type"] in SCANS:
        return
    for child in plan.get("Plans", ()):
        if child.get("Parent Relationship") not in BESIDE:
            yield from _main_nodes(child)
