"""Plans as plain text: numbers in columns on the left, the tree on the right."""

from collections.abc import Sequence

from pgmagic.language.explain import PlanNode, QueryPlan

__all__ = ["columns_of", "headline", "rows_of", "same_plans", "to_text"]

WIDTH = 100  # characters of a condition that are shown
MARK = "▶"


def to_text(plans: Sequence[QueryPlan]) -> str:
    """Draw plans one under the other."""
    parts = [same_plans(plans)] if len(plans) > 1 else []
    return "\n\n".join([*parts, *(_one(plan) for plan in plans)])


def same_plans(plans: Sequence[QueryPlan]) -> str:
    """Say which databases have the same plan."""
    groups: dict[object, list[str]] = {}
    for plan in plans:
        groups.setdefault(plan.shape, []).append(plan.database)
    if len(groups) == 1:
        return f"the same plan on {', '.join(next(iter(groups.values())))}"
    return f"{len(groups)} different plans: " + "; ".join(", ".join(g) for g in groups.values())


def headline(plan: QueryPlan) -> str:
    """Say how long it took: `ewr · 12.3 ms · planned in 0.4 ms`."""
    parts = [plan.database]
    if plan.measured:
        parts.append(milliseconds(plan.execution or plan.root.total or 0.0))
    else:
        parts.append("not run: rows and costs are estimates")
    if plan.planning is not None:
        parts.append(f"planned in {milliseconds(plan.planning)}")
    return " · ".join(parts)


def rows_of(plan: QueryPlan, node: PlanNode) -> tuple[str, ...]:
    """Give the numbers of a node as text, in the order of `columns_of`."""
    if not plan.measured:
        return (f"{node.cost:,.0f}", _percent(plan.weight(node)), _count(node.estimated))
    if node.never_ran:
        return ("never ran", "", "", _count(node.estimated), "", "")
    factor = node.misjudged
    off = "" if factor is None else f"{factor:,.0f}×" if factor > 1 else f"1/{1 / factor:,.0f}"
    pages = "" if node.buffers is None else _count(node.buffers)
    if node.read:
        pages += f" ({_count(node.read)} read)"
    return (
        milliseconds(node.own or 0.0),
        _percent(plan.weight(node)),
        _count(node.rows or 0.0),
        _count(node.estimated),
        off,
        pages,
    )


def columns_of(plan: QueryPlan) -> tuple[str, ...]:
    if not plan.measured:
        return ("cost", "share", "rows estimated")
    return ("own time", "share", "rows", "estimated", "off by", "pages")


def milliseconds(seconds: float) -> str:
    number = seconds * 1e3
    return f"{number:,.0f} ms" if number >= 100 else f"{number:.{1 if number >= 10 else 2}f} ms"


def _one(plan: QueryPlan) -> str:
    nodes = list(plan.root.walk())
    table = [columns_of(plan), *(rows_of(plan, node) for _, node in nodes)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    worst = plan.worst
    lines = [headline(plan), _line(table[0], widths, "  ", "")]
    for (depth, node), row in zip(nodes, table[1:], strict=True):
        mark = f"{MARK} " if node is worst else "  "
        indent = "  " * depth + ("→ " if depth else "")
        lines.append(_line(row, widths, mark, indent + node.title))
        blank = " " * (2 + sum(widths) + 2 * len(widths) + 2 * depth + 2)
        lines += [f"{blank}{_cut(detail)}" for detail in node.details]
    if worst is not None:
        what = "took longest" if plan.measured else "costs most"
        lines.append(f"{MARK} {what}: {worst.title}, {_percent(plan.weight(worst))} of the whole")
    return "\n".join(_printable(line.rstrip()) for line in [*lines, *plan.notes])


def _line(row: Sequence[str], widths: Sequence[int], mark: str, text: str) -> str:
    numbers = "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
    return f"{mark}{numbers}  {text}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else ""


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _printable(text: str) -> str:
    """Names come from the server: no character of theirs may drive a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
