"""The tables that a query names: those of FROM, of WITH, of the commands that change one."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pgmagic.language.syntax import CURSOR, Item, Level

__all__ = [
    "CHANGES",
    "CLAUSES",
    "SET_OPERATORS",
    "Query",
    "Source",
    "Table",
    "begins",
    "key_at",
    "segment",
    "sources_of",
    "split",
    "withs_of",
]

SET_OPERATORS = frozenset({"union", "intersect", "except"})
CHANGES = frozenset({"insert", "update", "delete", "merge"})
# Words that end a table of FROM; none of them is an alias unless AS or quotes say so.
NO_ALIAS = frozenset(
    "and as cross default do except fetch for from full group having inner intersect into join "
    "left limit natural not offset on only or order outer overriding returning right select set "
    "tablesample to union using values when where window with".split()
)
CLAUSES = NO_ALIAS - {"and", "as", "not", "or", "only"}
BEFORE_TABLE = frozenset({"if", "exists", "not", "only", "table", "concurrently", "lateral"})


@dataclass(frozen=True, slots=True)
class Table:
    """A name in FROM: a relation, or a WITH query of that name."""

    schema: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Query:
    """A subquery, and the WITH queries that it can see."""

    items: Sequence[Item]
    withs: "Mapping[str, Source]"


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of a FROM clause. `names` rename its first columns."""

    alias: str
    rows: Table | Query | None
    names: tuple[str, ...] = ()


def withs_of(
    items: Sequence[Item], outer: Mapping[str, Source], before: int | None
) -> dict[str, Source]:
    """Read `WITH name [(columns)] AS (query), …`, those before an index where one is given."""
    found: dict[str, Source] = {}
    if not begins(items, "with"):
        return found
    recursive = key_at(items, 1) == "recursive"
    index = 2 if recursive else 1
    while index < len(items) and (name := items[index].name) is not None:
        index += 1
        names, index = _column_names(items, index)
        if key_at(items, index) != "as":
            break
        index += 1
        while key_at(items, index) in {"not", "materialized"}:
            index += 1
        body = items[index].group if index < len(items) else None
        if before is not None and index >= before and not recursive:
            break
        query = Query(body or (), {**outer, **found})
        found[name] = Source(name, query, names)
        index += 1
        while index < len(items) and key_at(items, index) not in {",", "select", *CHANGES}:
            index += 1  # SEARCH and CYCLE clauses
        if key_at(items, index) != ",":
            break
        index += 1
    return found


def sources_of(items: Sequence[Item], withs: Mapping[str, Source]) -> Iterator[Source]:
    """Give every table that the clauses of one query, or one command, name."""
    items = [item for item in items if item.key != CURSOR]
    index, seen, earlier = 0, 0, set[str]()
    while index < len(items):
        earlier.update(item.key for item in items[seen:index])
        seen = index
        if not _introduces(items, index, earlier):
            index += 1
            continue
        several = items[index].key in {"from", "using", "truncate"}
        index += 1
        while True:
            while key_at(items, index) in BEFORE_TABLE:
                index += 1
            source, index = _source(items, index, withs)
            if source is not None:
                yield source
            if not (several and key_at(items, index) == ","):
                break
            index += 1


def _introduces(items: Sequence[Item], index: int, earlier: AbstractSet[str]) -> bool:
    """Whether a table follows; `earlier` are the keys before the index."""
    key, before = items[index].key, key_at(items, index - 1)
    match key:
        case "from":
            return before != "distinct" and bool({"select", "delete", "update", "("} & earlier)
        case "join" | "references":
            return True
        case "into":
            return before in {"insert", "merge"}
        case "using":
            return bool({"delete", "merge"} & earlier)
        case "update":
            return before not in {"for", "do", "key", "then", "on"}
        case "on":
            return bool({"index", "trigger", "policy"} & earlier) and "create" in earlier
        case "table":
            return before not in {"create", "foreign", "temp", "temporary", "unlogged"}
        case "copy" | "truncate" | "analyze" | "vacuum" | "lock" | "cluster":
            return index == 0
    return False


def _source(
    items: Sequence[Item], index: int, withs: Mapping[str, Source]
) -> tuple[Source | None, int]:
    """Read one table, subquery or function with its alias; give what comes next as well."""
    if index >= len(items):
        return None, index
    item = items[index]
    rows: Table | Query | None = None
    if item.group is not None:
        if item.group and item.group[0].key not in {"select", "values", "with", "table", "("}:
            return None, index + 1  # (a join b)
        rows, alias = Query(item.group, withs), ""
        index += 1
    elif item.name is not None and item.key not in CLAUSES:
        parts = [item.name]
        index += 1
        while key_at(items, index) == "." and index + 1 < len(items):
            following = items[index + 1].name
            if following is None:
                break
            parts.append(following)
            index += 2
        alias = parts[-1]
        if index < len(items) and items[index].group is not None and not _lists_columns(items):
            index += 1  # a function; its name is the name of its column
            rows = Query((Item("select"), Item(alias, alias)), {})
        else:
            rows = Table(parts[-2] if len(parts) > 1 else None, alias)
        if key_at(items, index) == "*":
            index += 1
    else:
        return None, index
    if key_at(items, index) == "as":
        index += 1
    named = False
    if index < len(items) and (name := items[index].name) and items[index].key not in NO_ALIAS:
        alias, named = name, True
        index += 1
    names: tuple[str, ...] = ()
    if named:
        names, index = _column_names(items, index)
    if named and not names and isinstance(rows, Query) and rows.items[:1] == (Item("select"),):
        names = (alias,)
    return Source(alias, rows, names), index


def _lists_columns(items: Sequence[Item]) -> bool:
    """Whether parentheses behind a table hold columns: INSERT INTO t (a, b), not a function."""
    return not any(item.key in {"select", "delete", "update", "merge"} for item in items[:4])


def _column_names(items: Sequence[Item], index: int) -> tuple[tuple[str, ...], int]:
    """Read `(a, b)` or `(a int, b text)`."""
    if index >= len(items) or (group := items[index].group) is None:
        return (), index
    parts = split(group, ",")
    return tuple(part[0].name for part in parts if part and part[0].name is not None), index + 1


def segment(level: Level) -> Sequence[Item]:
    """Take the part of a UNION in which the cursor stands."""
    items, start, stop = level.items, 0, len(level.items)
    for index, item in enumerate(items):
        if item.key in SET_OPERATORS:
            if index < level.cursor:
                start = index + 1
            else:
                stop = index
                break
    return items[start:stop]


def begins(items: Sequence[Item], key: str) -> bool:
    return bool(items) and items[0].key == key


def key_at(items: Sequence[Item], index: int) -> str:
    return items[index].key if 0 <= index < len(items) else ""


def split(items: Sequence[Item], key: str) -> list[list[Item]]:
    parts: list[list[Item]] = [[]]
    for item in items:
        if item.key == key:
            parts.append([])
        else:
            parts[-1].append(item)
    return [part for part in parts if part]
