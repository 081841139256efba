"""Ask the server for its plan of a statement, and read the answer.

https://www.postgresql.org/docs/current/sql-explain.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pgmagic.errors import CellError
from pgmagic.language.classify import classify
from pgmagic.language.plan_names import details, title
from pgmagic.language.scanner import tokens
from pgmagic.language.statement import Statement

__all__ = ["PlanNode", "QueryPlan", "explained", "read_plan"]

EXPLAINABLE = frozenset(
    "select values table insert update delete merge execute declare create refresh".split()
)
WORTH_MARKING = 0.05  # of the whole; below it no node is to blame


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """One step of a plan, with what stands below it.

    `rows` and `estimated` count all rows that it gave; `total` and `own` are seconds, with and
    without the steps below it; `buffers` and `read` are pages of 8 kB that it touched itself, and
    those of them that were not in the server's cache. What was not measured is None. `cost` is its
    own share of the planner's estimate, in the planner's unit.
    """

    title: str
    details: tuple[str, ...] = ()
    estimated: float
    rows: float | None = None
    loops: int | None = None
    total: float | None = None
    own: float | None = None
    buffers: int | None = None
    read: int | None = None
    cost: float
    children: tuple["PlanNode", ...] = ()

    @property
    def never_ran(self) -> bool:
        return self.loops == 0

    @property
    def misjudged(self) -> float | None:
        """How many times the estimate is off, from 10 times on; above 1 there were more rows."""
        if self.rows is None or self.never_ran:
            return None
        factor = max(self.rows, 1.0) / max(self.estimated, 1.0)
        return factor if factor >= 10 or factor <= 0.1 else None

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "PlanNode"]]:
        """Give this node and all below it, each with its depth."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """The plan that one database has for a statement.

    `json` is what the server sent. `planning` and `execution` are in seconds; `notes` say what
    else took time, such as triggers and JIT.
    """

    database: str
    root: PlanNode
    planning: float | None = None
    execution: float | None = None
    notes: tuple[str, ...] = ()
    json: Any = field(default=None, repr=False)

    @property
    def measured(self) -> bool:
        """Whether the statement was run: EXPLAIN ANALYZE."""
        return self.root.loops is not None

    @property
    def worst(self) -> PlanNode | None:
        """The step that took longest by itself; where nothing was run, the most expensive one."""
        nodes = [node for _, node in self.root.walk()]
        weights = [self.weight(node) for node in nodes]
        heaviest = max(weights)
        return nodes[weights.index(heaviest)] if heaviest >= WORTH_MARKING else None

    def weight(self, node: PlanNode) -> float:
        """Give a step's share of the whole, from 0 to 1."""
        if self.measured:
            part, whole = node.own or 0.0, self.root.total or 0.0
        else:
            part = node.cost
            whole = sum(each.cost for _, each in self.root.walk())
        return min(1.0, part / whole) if whole > 0 else 0.0

    @property
    def shape(self) -> tuple[tuple[int, str], ...]:
        """What makes two plans the same: their steps, not their numbers."""
        return tuple((depth, node.title) for depth, node in self.root.walk())


def explained(statement: Statement, *, analyze: bool) -> Statement:
    """Put EXPLAIN before a statement; `analyze` has it run and measured.

    Raises `CellError` for a statement that has no plan.
    """
    kind = statement.kind
    if kind.verb not in EXPLAINABLE:
        verb = kind.verb.upper() or "this"
        raise CellError(
            f"{verb} has no plan",
            cell=statement.cell,
            offset=statement.start,
            hint="--explain takes SELECT, VALUES, INSERT, UPDATE, DELETE, MERGE, CREATE TABLE AS"
            if kind.verb != "explain"
            else "leave EXPLAIN out, --explain asks for it",
        )
    prefix = "explain (analyze, buffers, format json) " if analyze else "explain (format json) "
    sql = prefix + statement.sql
    shifted = tuple((at + len(prefix), cell) for at, cell in statement.offsets)
    return replace(
        statement,
        sql=sql,
        # The prefix stands for nothing in the cell: what the server says of it is at the start.
        offsets=((0, statement.start), (0, statement.start), *shifted),
        kind=classify(sql, list(tokens(sql))),
    )


def read_plan(database: str, text: str) -> QueryPlan:
    """Read what EXPLAIN (FORMAT JSON) gave. Raises `ValueError` where it is no plan."""
    answer = json.loads(text)
    if not (isinstance(answer, list) and answer and "Plan" in answer[0]):
        raise ValueError("the server gave no plan")
    first: Mapping[str, Any] = answer[0]
    return QueryPlan(
        database=database,
        root=_node(first["Plan"], 1, _costs_of_ctes(first["Plan"])),
        planning=_seconds(first.get("Planning Time")),
        execution=_seconds(first.get("Execution Time")),
        notes=tuple(_notes(first)),
        json=answer,
    )


def _node(raw: Mapping[str, Any], processes: int, ctes: Mapping[str, float]) -> PlanNode:
    """Read a node; so many processes run it side by side."""
    below = processes
    if raw.get("Node Type") in {"Gather", "Gather Merge"}:
        below = raw.get("Workers Launched", 0) + 1
    raws: list[Mapping[str, Any]] = raw.get("Plans", [])
    loops = raw.get("Actual Loops")
    total = _total(raw, processes)
    own = None
    if total is not None:
        # A WITH query runs where it is scanned, although it stands below the node that names it.
        elsewhere = ctes.get(raw.get("CTE Name", ""), 0.0)
        spent = sum(_total(child, below) or 0.0 for child in raws if not _is_cte(child))
        own = max(0.0, total - spent - elsewhere)
    return PlanNode(
        title=title(raw),
        details=tuple(details(raw)),
        estimated=raw.get("Plan Rows", 0) * max(loops or 1, 1),
        rows=raw["Actual Rows"] * loops if loops is not None and "Actual Rows" in raw else None,
        loops=loops,
        total=total,
        own=own,
        buffers=_own_pages(raw, "Shared Hit Blocks", "Shared Read Blocks"),
        read=_own_pages(raw, "Shared Read Blocks"),
        cost=max(
            0.0,
            raw.get("Total Cost", 0.0)
            - sum(child.get("Total Cost", 0.0) for child in raws if not _is_cte(child)),
        ),
        children=tuple(_node(child, below, ctes) for child in raws),
    )


def _total(raw: Mapping[str, Any], processes: int) -> float | None:
    """Give the time that passed while a node ran, with all below it.

    The server gives the mean of its runs, of which several processes do some at the same time.
    """
    if "Actual Total Time" not in raw:
        return None
    return float(raw["Actual Total Time"] * raw["Actual Loops"] / processes / 1e3)


def _is_cte(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("Subplan Name", "")).startswith("CTE ")


def _costs_of_ctes(raw: Mapping[str, Any]) -> dict[str, float]:
    """Give the seconds that each WITH query took, by its name."""
    found: dict[str, float] = {}
    waiting = [raw]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if _is_cte(node):
            found[node["Subplan Name"].removeprefix("CTE ")] = _total(node, 1) or 0.0
    return found


def _own_pages(raw: Mapping[str, Any], *names: str) -> int | None:
    if not all(name in raw for name in names):
        return None
    below = sum(child.get(name, 0) for child in raw.get("Plans", []) for name in names)
    return max(0, int(sum(raw[name] for name in names) - below))


def _notes(answer: Mapping[str, Any]) -> Iterator[str]:
    for trigger in answer.get("Triggers", []):
        name = trigger.get("Constraint Name", trigger.get("Trigger Name", ""))
        yield (
            f"trigger {name} on {trigger.get('Relation', '')}: {trigger.get('Time', 0):.1f} ms "
            f"in {trigger.get('Calls', 0):,} calls"
        )
    timing = answer.get("JIT", {}).get("Timing", {})
    if "Total" in timing:
        yield f"JIT compilation: {timing['Total']:.1f} ms"


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
