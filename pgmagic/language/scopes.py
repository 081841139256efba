"""Which tables can be named where the cursor stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pgmagic.language.sources import (
    CHANGES,
    CLAUSES,
    Source,
    Table,
    begins,
    key_at,
    segment,
    sources_of,
    withs_of,
)
from pgmagic.language.syntax import Item, Level

__all__ = ["Scope", "scope", "targets"]


@dataclass(slots=True)
class Scope:
    """What can be named at the cursor, the nearest first."""

    sources: list[Source] = field(default_factory=list)
    withs: dict[str, Source] = field(default_factory=dict)

    def named(self, alias: str) -> Source | None:
        return next((source for source in self.sources if source.alias == alias), None)


def scope(levels: Sequence[Level], saved: Mapping[str, Source]) -> Scope:
    """Find what the levels around the cursor bring into sight, beside the saved queries."""
    found = Scope()
    withs = dict(saved)
    visible: list[list[Source]] = []
    for depth, level in enumerate(levels):
        body = _with_body(level)
        withs = {**withs, **withs_of(level.items, withs, before=level.cursor if body else None)}
        sources = list(sources_of(segment(level), withs))
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
    return [source.rows for source in sources_of(items, {}) if isinstance(source.rows, Table)]


def _with_body(level: Level) -> bool:
    """Whether the parentheses at the cursor are the query of a WITH."""
    if level.items[level.cursor].group is None or not begins(level.items, "with"):
        return False
    before = key_at(level.items, level.cursor - 1)
    return before in {"as", "materialized"} and not any(
        item.key in {"select", *CHANGES} for item in level.items[: level.cursor]
    )


def _is_derived(level: Level) -> bool:
    """Whether the parentheses at the cursor are a table of FROM, blind to those beside it."""
    item = level.items[level.cursor]
    if item.group is None or not item.group or item.group[0].key not in {"select", "values"}:
        return False
    before = key_at(level.items, level.cursor - 1)
    if before == ",":
        clause = next(
            (i.key for i in reversed(level.items[: level.cursor]) if i.key in CLAUSES), ""
        )
        return clause == "from"
    return before in {"from", "join", "using"}
