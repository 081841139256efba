"""Plans as HTML, side by side: one tree of steps with the numbers of every database.

Where databases have different plans, each has a table of its own.
"""

from collections.abc import Sequence

from pgmagic.language.explain import PlanNode, QueryPlan
from pgmagic.language.plan_text import columns_of, headline, rows_of, same_plans
from pgmagic.language.query_plans import QueryPlans
from pgmagic.notebook.style import STYLE
from pgmagic.notebook.visible import escaped

__all__ = ["plans_html"]

LONGEST = 200  # characters of a condition that are shown
MOST_BESIDE = 6  # databases whose numbers fit beside one tree

_RULES = """
.pgm-plans { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start }
.pgm-plans .pgm-frame { max-width: 100%; overflow-x: auto }
.pgm.pgm.plan tbody tr:nth-child(even) { background: none }
.pgm.pgm.plan td { vertical-align: top; padding-top: 2px; padding-bottom: 2px }
.pgm.pgm.plan td.step { text-align: left; white-space: normal; min-width: 220px }
.pgm.plan td.step .more { color: var(--dim); font-size: 11px; overflow-wrap: anywhere }
.pgm.pgm.plan tr.worst td, .pgm.pgm.plan td.worst {
  background: color-mix(in srgb, var(--bad) 9%, transparent) }
.pgm.plan tr.worst .name { font-weight: 650 }
.pgm.plan .share { display: inline-block; width: 56px; height: 6px; border-radius: 3px;
  background: var(--track); overflow: hidden; vertical-align: 1px; margin-left: 6px }
.pgm.plan .share i { display: block; height: 100%; background: var(--accent) }
.pgm.plan .worst .share i { background: var(--bad) }
"""
_STYLE = f"<style>{_RULES.strip()}</style>"


def plans_html(plans: QueryPlans) -> str:
    """Draw all plans, complete with their style sheet."""
    every = tuple(plans.values())
    alike = len({plan.shape for plan in every}) == 1 and 1 < len(every) <= MOST_BESIDE
    cards = _beside(every) if alike else "".join(_card(plan) for plan in every)
    said = [same_plans(every)] if len(every) > 1 else []
    if plans.rolled_back:
        said.append("run, and rolled back")
    lines = "".join(f'<div class="pgm">{escaped(line)}</div>' for line in said)
    return f'{STYLE}{_STYLE}{lines}<div class="pgm-plans">{cards}</div>'


def _card(plan: QueryPlan) -> str:
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns_of(plan))
    rows = "".join(_row(plan, depth, node) for depth, node in plan.root.walk())
    return (
        f'<div class="pgm-frame"><section class="pgm card plan" '
        f'aria-label="plan on {escaped(plan.database)}">'
        f'<header><span class="title"><bdi>{escaped(headline(plan))}</bdi></span></header>'
        f'<table><thead><tr>{heads}<th class="left" scope="col">step</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f"{_footer(plan)}</section></div>"
    )


def _beside(plans: Sequence[QueryPlan]) -> str:
    """Draw one tree, and before it for each database its time, or cost, and its rows."""
    heads = "".join(
        f'<th scope="colgroup" colspan="3"><b><bdi>{escaped(headline(plan))}</bdi></b></th>'
        for plan in plans
    )
    columns = "".join(
        f'<th scope="col">{escaped(columns_of(plan)[0])}</th><th scope="col">share</th>'
        f'<th scope="col">{escaped(columns_of(plan)[2])}</th>'
        for plan in plans
    )
    rows = []
    for steps in zip(*(plan.root.walk() for plan in plans), strict=True):
        cells: list[str] = []
        blamed: list[str] = []
        for plan, (_, node) in zip(plans, steps, strict=True):
            own, share, number = rows_of(plan, node)[:3]
            if node.misjudged is not None:
                number += f" (estimated {node.estimated:,.0f})"
            worst = ' class="worst"' if node is plan.worst else ""
            cells.append(
                f"<td{worst}>{escaped(own)}</td><td{worst}>{escaped(share)}{_bar(plan, node)}</td>"
                f"<td{worst}>{escaped(number)}</td>"
            )
            if node is plan.worst:
                blamed.append(plan.database)
        step = _step(*steps[0], blamed=f"worst on {', '.join(blamed)}" if blamed else "")
        rows.append(f"<tr>{''.join(cells)}{step}</tr>")
    return (
        '<div class="pgm-frame"><section class="pgm card plan" aria-label="plans"><table>'
        f'<thead><tr>{heads}<th></th></tr><tr>{columns}<th class="left" scope="col">step</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
        f"{''.join(_footer(plan) for plan in plans)}</section></div>"
    )


def _footer(plan: QueryPlan) -> str:
    notes = "".join(f"<div>{escaped(note)}</div>" for note in plan.notes)
    return f"<footer>{notes}</footer>" if notes else ""


def _row(plan: QueryPlan, depth: int, node: PlanNode) -> str:
    own, share, *others = rows_of(plan, node)
    cells = [f"<td>{escaped(own)}</td>", f"<td>{escaped(share)}{_bar(plan, node)}</td>"]
    for name, text in zip(columns_of(plan)[2:], others, strict=True):
        warn = ' class="warn"' if name == "off by" else ""
        cells.append(f"<td{warn}>{escaped(text)}</td>")
    worst = node is plan.worst
    what = "took longest" if plan.measured else "costs most"
    kind = "worst" if worst else "step"
    return f'<tr class="{kind}">{"".join(cells)}{_step(depth, node, blamed=what * worst)}</tr>'


def _bar(plan: QueryPlan, node: PlanNode) -> str:
    return f'<span class="share"><i style="width:{plan.weight(node):.0%}"></i></span>'


def _step(depth: int, node: PlanNode, *, blamed: str) -> str:
    """Draw the cell of a step; `blamed` says why, or where, it is the worst."""
    # Spaces, and an arrow: the tree stays one where style sheets are taken away.
    lead = "&nbsp;" * (3 * depth - 2) + "→ " if depth else ""
    mark = f' <b class="bad">◀ {escaped(blamed)}</b>' if blamed else ""
    indent = f"padding-left:{depth * 14 + 14}px"
    more = "".join(
        f'<div class="more" style="{indent}">{escaped(detail, LONGEST)}</div>'
        for detail in node.details
    )
    name = f'<span class="name">{escaped(node.title)}</span>'
    return f'<td class="step">{lead}{name}{mark}{more}</td>'
