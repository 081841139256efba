"""What a step of a plan is called, and what else is to be said of it, as in EXPLAIN's own text."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["details", "title"]

AGGREGATES = {"Hashed": "HashAggregate", "Sorted": "GroupAggregate", "Mixed": "MixedAggregate"}
CONDITIONS = (
    "Index Cond", "Recheck Cond", "TID Cond", "Hash Cond", "Merge Cond", "Join Filter", "Filter",
    "One-Time Filter", "Order By", "Sort Key", "Presorted Key", "Group Key", "Cache Key",
)  # fmt: skip


def title(raw: Mapping[str, Any]) -> str:
    """Name a node: `Hash Left Join`, `Index Scan using flights_pkey on flights f`."""
    kind = raw.get("Node Type", "?")
    if kind == "Aggregate":
        kind = AGGREGATES.get(raw.get("Strategy", ""), kind)
        if raw.get("Partial Mode", "Simple") != "Simple":
            kind = f"{raw['Partial Mode']} {kind}"
    elif kind == "ModifyTable":
        kind = raw.get("Operation", kind)
    elif (join := raw.get("Join Type", "Inner")) != "Inner":
        base = kind.removesuffix(" Join")
        kind = f"{base} {join} Join"
    if raw.get("Parallel Aware"):
        kind = f"Parallel {kind}"
    if raw.get("Scan Direction") == "Backward":
        kind += " Backward"
    index = raw.get("Index Name")
    on_index = index is not None and raw.get("Node Type") == "Bitmap Index Scan"
    parts = [kind]
    if index is not None:
        parts.append(f"on {index}" if on_index else f"using {index}")
    thing = _thing(raw)
    if thing and not on_index:
        parts.append(f"on {thing}")
    if subplan := raw.get("Subplan Name"):
        parts.append(f"({subplan})")
    return " ".join(parts)


def _thing(raw: Mapping[str, Any]) -> str:
    """Say what a node reads or writes, with its alias where that is another name."""
    name = next(
        (
            str(raw[key])
            for key in ("Relation Name", "CTE Name", "Function Name", "Table Function Name")
            if key in raw
        ),
        "",
    )
    alias = raw.get("Alias", name)
    return f"{name} {alias}".strip() if alias != name else name


def details(raw: Mapping[str, Any]) -> Iterator[str]:
    """Give the conditions of a node, and what it met with when it ran."""
    for name in CONDITIONS:
        if name in raw:
            value = raw[name]
            yield f"{name}: {', '.join(value) if isinstance(value, list) else value}"
    loops = raw.get("Actual Loops", 1)
    for name in ("Filter", "Join Filter", "Index Recheck"):
        if removed := raw.get(f"Rows Removed by {name}", 0) * loops:
            yield f"{removed:,.0f} rows removed by {name.lower()}"
    if "Sort Space Used" in raw:
        where = "on disk" if raw.get("Sort Space Type") == "Disk" else "in memory"
        yield f"{raw.get('Sort Method', 'sort')}, {raw['Sort Space Used']:,} kB {where}"
    if raw.get("Hash Batches", 1) > 1:
        yield f"hash table in {raw['Hash Batches']:,} batches: more than work_mem"
    if heap := raw.get("Heap Fetches", 0):
        yield f"{heap:,.0f} rows fetched from the table: the visibility map is behind"
    if "Workers Planned" in raw:
        launched = raw.get("Workers Launched")
        planned = raw["Workers Planned"]
        yield f"{planned} workers planned" + (
            f", {launched} launched" if launched is not None else ""
        )
    if loops > 1:
        yield f"{loops:,} runs"
    below = sum(child.get("Temp Written Blocks", 0) for child in raw.get("Plans", []))
    if (written := raw.get("Temp Written Blocks", 0) - below) > 0:
        yield f"{written:,} pages written to temporary files"
