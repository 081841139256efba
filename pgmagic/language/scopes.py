"""Which tables, and which of their columns, can be named where the cursor stands."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pgmagic.language.inventory import Attribute, Inventory, Relation
from pgmagic.language.syntax import CURSOR, VALUE, Item, Level

__all__ = ["Query", "Scope", "Source", "Table", "columns", "relation", "scope", "targets"]

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
NESTED = 8  # queries within queries that are looked into


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


@dataclass(slots=True)
class Scope:
    """What can be named at the cursor, the nearest first."""

    sources: list[Source] = field(default_factory=list)
    withs: dict[str, Source] = field(default_factory=dict)

    def named(self, alias: str) -> Source | None:
        return next((source for source in self.sources if source.alias == alias), None)


def scope(levels: Sequence[Level]) -> Scope:
    """Find what the levels around the cursor bring into sight."""
    found = Scope()
    withs: dict[str, Source] = {}
    visible: list[list[Source]] = []
    for depth, level in enumerate(levels):
        body = _with_body(level)
        withs = {**withs, **_withs(level.items, withs, before=level.cursor if body else None)}
        sources = list(_sources(_segment(level), withs))
        if depth < len(levels) - 1:
            if body:
                visible.clear()
                continue
            if _is_derived(level):
                continue
        visible.append(sources)
    for sources in reversed(visible):
        found.sources += sources
    found.withs = withs
    return found


def targets(items: Sequence[Item]) -> list[Table]:
    """Give the tables that a command names: INSERT INTO it, UPDATE it, ALTER TABLE it …"""
    return [source.rows for source in _sources(items, {}) if isinstance(source.rows, Table)]


def columns(
    source: Source, inventory: Inventory, withs: Mapping[str, Source], depth: int = 0
) -> Sequence[Attribute]:
    """Give the columns of a source; their type is "" where it isn't known."""
    found: Sequence[Attribute] = ()
    if depth > NESTED:
        return found
    if isinstance(source.rows, Query):
        found = tuple(_output(source.rows.items, inventory, source.rows.withs, depth + 1))
    elif isinstance(source.rows, Table):
        found = _columns_of_table(source.rows, inventory, withs, depth)
    if not source.names:
        return found
    types = [column.type for column in found] + [""] * len(source.names)
    renamed = [Attribute(name, kind) for name, kind in zip(source.names, types, strict=False)]
    return [*renamed, *found[len(renamed) :]]


def relation(table: Table, inventory: Inventory) -> Relation | None:
    return inventory.relation(table.schema, table.name)


def _columns_of_table(
    table: Table, inventory: Inventory, withs: Mapping[str, Source], depth: int
) -> Sequence[Attribute]:
    if table.schema is None and (query := withs.get(table.name)):
        # What a WITH query sees of its own name, in a recursive one, adds no columns.
        others = {name: source for name, source in withs.items() if name != table.name}
        return columns(query, inventory, others, depth + 1)
    found = relation(table, inventory)
    return found.columns if found else ()


# Where the cursor stands


def _segment(level: Level) -> Sequence[Item]:
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


def _with_body(level: Level) -> bool:
    """Whether the parentheses at the cursor are the query of a WITH."""
    if level.items[level.cursor].group is None or not _begins(level.items, "with"):
        return False
    before = _key(level.items, level.cursor - 1)
    return before in {"as", "materialized"} and not any(
        item.key in {"select", *CHANGES} for item in level.items[: level.cursor]
    )


def _is_derived(level: Level) -> bool:
    """Whether the parentheses at the cursor are a table of FROM, blind to those beside it."""
    item = level.items[level.cursor]
    if item.group is None or not item.group or item.group[0].key not in {"select", "values"}:
        return False
    before = _key(level.items, level.cursor - 1)
    if before == ",":
        clause = next(
            (i.key for i in reversed(level.items[: level.cursor]) if i.key in CLAUSES), ""
        )
        return clause == "from"
    return before in {"from", "join", "using"}


# WITH


def _withs(
    items: Sequence[Item], outer: Mapping[str, Source], before: int | None
) -> dict[str, Source]:
    """Read `WITH name [(columns)] AS (query), …`, those before an index where one is given."""
    found: dict[str, Source] = {}
    if not _begins(items, "with"):
        return found
    recursive = _key(items, 1) == "recursive"
    index = 2 if recursive else 1
    while index < len(items) and (name := items[index].name) is not None:
        index += 1
        names, index = _column_names(items, index)
        if _key(items, index) != "as":
            break
        index += 1
        while _key(items, index) in {"not", "materialized"}:
            index += 1
        body = items[index].group if index < len(items) else None
        if before is not None and index >= before and not recursive:
            break
        query = Query(body or (), {**outer, **found})
        found[name] = Source(name, query, names)
        index += 1
        while index < len(items) and _key(items, index) not in {",", "select", *CHANGES}:
            index += 1  # SEARCH and CYCLE clauses
        if _key(items, index) != ",":
            break
        index += 1
    return found


# FROM


def _sources(items: Sequence[Item], withs: Mapping[str, Source]) -> Iterator[Source]:
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
            while _key(items, index) in BEFORE_TABLE:
                index += 1
            source, index = _source(items, index, withs)
            if source is not None:
                yield source
            if not (several and _key(items, index) == ","):
                break
            index += 1


def _introduces(items: Sequence[Item], index: int, earlier: AbstractSet[str]) -> bool:
    """Whether a table follows; `earlier` are the keys before the index."""
    key, before = items[index].key, _key(items, index - 1)
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
        while _key(items, index) == "." and index + 1 < len(items):
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
        if _key(items, index) == "*":
            index += 1
    else:
        return None, index
    if _key(items, index) == "as":
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
    parts = _split(group, ",")
    return tuple(part[0].name for part in parts if part and part[0].name is not None), index + 1


# SELECT


def _output(
    items: Sequence[Item], inventory: Inventory, withs: Mapping[str, Source], depth: int
) -> Iterator[Attribute]:
    """Give the columns of a query."""
    if depth > NESTED:
        return
    items = [item for item in items if item.key != CURSOR]
    withs = {**withs, **_withs(items, withs, None)}
    if _begins(items, "with"):
        starts = (i for i, item in enumerate(items) if item.key in {"select", "values", *CHANGES})
        items = items[next(starts, len(items)) :]
    if len(items) >= 1 and items[0].group is not None:
        yield from _output(items[0].group, inventory, withs, depth + 1)
        return
    items = _segment(Level(items, 0))
    if _begins(items, "values"):
        first = items[1].group if len(items) > 1 else None
        yield from (Attribute(f"column{n + 1}", "") for n in range(len(_split(first or (), ","))))
        return
    if _begins(items, "table"):
        items = [Item("select"), Item("*"), Item("from"), *items[1:]]
    start = "select" if _begins(items, "select") else "returning"
    at = next((i for i, item in enumerate(items) if item.key == start), len(items))
    sources = list(_sources(items, withs))
    for expression in _split(_select_list(items[at + 1 :]), ","):
        yield from _named(expression, sources, inventory, withs, depth)


def _select_list(items: Sequence[Item]) -> Sequence[Item]:
    if _begins(items, "distinct"):
        items = items[3:] if _key(items, 1) == "on" else items[1:]
    stop = next((i for i, item in enumerate(items) if item.key in CLAUSES), len(items))
    return items[:stop]


def _named(
    expression: Sequence[Item],
    sources: Sequence[Source],
    inventory: Inventory,
    withs: Mapping[str, Source],
    depth: int,
) -> Iterator[Attribute]:
    """Say how the server names an expression of the select list."""
    keys = [item.key for item in expression]
    if not keys:
        return
    if keys == ["*"]:
        for source in sources:
            yield from columns(source, inventory, withs, depth)
        return
    if keys[-1] == "*" and len(keys) >= 3 and keys[-2] == ".":
        for source in sources:
            if source.alias == expression[-3].name:
                yield from columns(source, inventory, withs, depth)
        return
    last = expression[-1]
    if ":" in keys and "as" not in keys:  # a::int is called a
        yield from _named(expression[: keys.index(":")], sources, inventory, withs, depth)
    elif last.group is not None and len(expression) > 1 and expression[-2].name:
        yield Attribute(expression[-2].name, "")
    elif keys[0] == "case" and last.key == "end":
        yield Attribute("case", "")
    elif last.name is not None and len(keys) == 1:
        yield Attribute(last.name, _type(last.name, None, sources, inventory, withs, depth))
    elif last.name is not None and keys[-2] == ".":
        if len(keys) == 3:
            alias = expression[0].name
            yield Attribute(last.name, _type(last.name, alias, sources, inventory, withs, depth))
    elif last.name is not None and (keys[-2] in {"as", VALUE} or _is_operand(expression[-2])):
        yield Attribute(last.name, "")


def _is_operand(item: Item) -> bool:
    return item.name is not None or item.group is not None


def _type(
    name: str,
    alias: str | None,
    sources: Sequence[Source],
    inventory: Inventory,
    withs: Mapping[str, Source],
    depth: int,
) -> str:
    for source in sources:
        if alias in {None, source.alias}:
            for column in columns(source, inventory, withs, depth):
                if column.name == name:
                    return column.type
    return ""


def _begins(items: Sequence[Item], key: str) -> bool:
    return bool(items) and items[0].key == key


def _key(items: Sequence[Item], index: int) -> str:
    return items[index].key if 0 <= index < len(items) else ""


def _split(items: Sequence[Item], key: str) -> list[list[Item]]:
    parts: list[list[Item]] = [[]]
    for item in items:
        if item.key == key:
            parts.append([])
        else:
            parts[-1].append(item)
    return [part for part in parts if part]
