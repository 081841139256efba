"""Plans as HTML: one table per database, side by side, its steps as a tree."""

from pgmagic.language.explain import PlanNode, QueryPlan
from pgmagic.language.plan_text import columns_of, headline, rows_of, same_plans
from pgmagic.language.query_plans import QueryPlans
from pgmagic.notebook.style import STYLE
from pgmagic.notebook.visible import escaped

__all__ = ["plans_html"]

LONGEST = 200  # characters of a condition that are shown

_RULES = """
.pgm-plans { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start }
.pgm-plans .pgm-frame { max-width: 100%; overflow-x: auto }
.pgm.pgm.plan tbody tr:nth-child(even) { background: none }
.pgm.pgm.plan td { vertical-align: top; padding-top: 2px; padding-bottom: 2px }
.pgm.pgm.plan td.step { text-align: left; white-space: normal; min-width: 220px }
.pgm.plan td.step .more { color: var(--dim); font-size: 11px; overflow-wrap: anywhere }
.pgm.pgm.plan tr.worst td { background: color-mix(in srgb, var(--bad) 9%, transparent) }
.pgm.plan tr.worst .name { font-weight: 650 }
.pgm.plan .share { display: inline-block; width: 56px; height: 6px; border-radius: 3px;
  background: var(--track); overflow: hidden; vertical-align: 1px; margin-left: 6px }
.pgm.plan .share i { display: block; height: 100%; background: var(--accent) }
.pgm.plan tr.worst .share i { background: var(--bad) }
"""
_STYLE = f"<style>{_RULES.strip()}</style>"


def plans_html(plans: QueryPlans) -> str:
    """Draw all plans, complete with their style sheet."""
    cards = "".join(_card(plan) for plan in plans.values())
    said = [same_plans(tuple(plans.values()))] if len(plans) > 1 else []
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


def _footer(plan: QueryPlan) -> str:
    notes = "".join(f"<div>{escaped(note)}</div>" for note in plan.notes)
    return f"<footer>{notes}</footer>" if notes else ""


def _row(plan: QueryPlan, depth: int, node: PlanNode) -> str:
    worst = node is plan.worst
    own, share, *others = rows_of(plan, node)
    bar = f'<span class="share"><i style="width:{plan.weight(node):.0%}"></i></span>'
    off = node.misjudged is not None
    cells = [f"<td>{escaped(own)}</td>", f"<td>{escaped(share)}{bar}</td>"]
    for name, text in zip(columns_of(plan)[2:], others, strict=True):
        warn = ' class="warn"' if off and name == "off by" else ""
        cells.append(f"<td{warn}>{escaped(text)}</td>")
    mark = ""
    if worst:
        what = "took longest" if plan.measured else "costs most"
        mark = f' <b class="bad">◀ {what}</b>'
    # Spaces, and an arrow: the tree stays one where style sheets are taken away.
    lead = "&nbsp;" * (3 * depth - 2) + "→ " if depth else ""
    indent = f"padding-left:{depth * 14 + 14}px"
    more = "".join(
        f'<div class="more" style="{indent}">{escaped(detail, LONGEST)}</div>'
        for detail in node.details
    )
    kind = "worst" if worst else "step"
    return (
        f'<tr class="{kind}">{"".join(cells)}'
        f'<td class="step">{lead}<span class="name">{escaped(node.title)}</span>{mark}{more}</td>'
        "</tr>"
    )
