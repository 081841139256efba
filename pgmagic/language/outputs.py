"""Which columns a table, a subquery or a WITH query has, as the server would name them."""

from collections.abc import Iterator, Mapping, Sequence

from pgmagic.language.inventory import Attribute, Inventory, Relation
from pgmagic.language.sources import (
    CHANGES,
    CLAUSES,
    Query,
    Source,
    Table,
    begins,
    key_at,
    segment,
    sources_of,
    split,
    withs_of,
)
from pgmagic.language.syntax import CURSOR, VALUE, Item, Level

__all__ = ["columns", "relation"]

NESTED = 8  # queries within queries that are looked into


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


def _output(
    items: Sequence[Item], inventory: Inventory, withs: Mapping[str, Source], depth: int
) -> Iterator[Attribute]:
    """Give the columns of a query."""
    if depth > NESTED:
        return
    items = [item for item in items if item.key != CURSOR]
    withs = {**withs, **withs_of(items, withs, None)}
    if begins(items, "with"):
        starts = (i for i, item in enumerate(items) if item.key in {"select", "values", *CHANGES})
        items = items[next(starts, len(items)) :]
    if len(items) >= 1 and items[0].group is not None:
        yield from _output(items[0].group, inventory, withs, depth + 1)
        return
    items = segment(Level(items, 0))
    if begins(items, "values"):
        first = items[1].group if len(items) > 1 else None
        yield from (Attribute(f"column{n + 1}", "") for n in range(len(split(first or (), ","))))
        return
    if begins(items, "table"):
        items = [Item("select"), Item("*"), Item("from"), *items[1:]]
    start = "select" if begins(items, "select") else "returning"
    at = next((i for i, item in enumerate(items) if item.key == start), len(items))
    sources = list(sources_of(items, withs))
    for expression in split(_select_list(items[at + 1 :]), ","):
        yield from _named(expression, sources, inventory, withs, depth)


def _select_list(items: Sequence[Item]) -> Sequence[Item]:
    if begins(items, "distinct"):
        items = items[3:] if key_at(items, 1) == "on" else items[1:]
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
