"""Which columns two results share, and what became of the others."""

from collections.abc import Sequence
from typing import NamedTuple

from pgmagic.columns.agreement import identity, shown_type
from pgmagic.columns.changes import Change
from pgmagic.columns.names import unique_names
from pgmagic.columns.pgtypes import layout_of, wire_type
from pgmagic.outcome import Column, PgType

__all__ = ["Shared", "match_columns"]


class Shared(NamedTuple):
    """A column that both results have."""

    name: str
    here: int
    there: int
    before: PgType
    after: PgType


def match_columns(
    before: Sequence[Column], after: Sequence[Column]
) -> tuple[list[Shared], list[Change]]:
    """Find the columns that both have, and say what became of the others.

    Of equal names the first goes with the first. A column that has another name is the same
    where it stands in the same place and has the same type.
    """
    names, _ = unique_names([column.name for column in before])
    later, _ = unique_names([column.name for column in after])
    places = {name: place for place, name in enumerate(later)}
    changes, shared, kept = [], [], []
    for here, (name, column) in enumerate(zip(names, before, strict=True)):
        there = places.get(name)
        if there is None and _renamed(here, column, names, later, after):
            there = here
            changes.append(Change(what="column renamed", before=name, after=later[here]))
        if there is None:
            changes.append(
                Change(what="column removed", column=name, before=shown_type(column.type))
            )
            continue
        kept.append(there)
        new_type = after[there].type
        if identity(column.type) != identity(new_type):
            words = _types(column.type, new_type)
            changes.append(Change(what="column retyped", column=name, **words))
        if _read_alike(column.type, new_type):
            shared.append(Shared(name, here, there, column.type, new_type))
    changes += [
        Change(what="column added", column=later[there], after=shown_type(after[there].type))
        for there in range(len(after))
        if there not in kept
    ]
    if kept != sorted(kept):
        before_names = ", ".join(names[s.here] for s in shared)
        after_names = ", ".join(later[place] for place in sorted(kept))
        changes.append(Change(what="columns reordered", before=before_names, after=after_names))
    return shared, changes


def _renamed(
    place: int,
    column: Column,
    names: Sequence[str],
    later: Sequence[str],
    after: Sequence[Column],
) -> bool:
    return (
        place < len(after)
        and later[place] not in names
        and identity(column.type) == identity(after[place].type)
    )


def _types(before: PgType, after: PgType) -> dict[str, str]:
    """Write two types that differ; enums of one name differ in their labels."""
    texts = shown_type(before), shown_type(after)
    if texts[0] == texts[1] and before.labels != after.labels:
        texts = ", ".join(before.labels), ", ".join(after.labels)
    return dict(zip(("before", "after"), texts, strict=True))


def _read_alike(before: PgType, after: PgType) -> bool:
    """Whether the values of two types lie in memory alike and mean the same there."""
    if identity(before) == identity(after):
        return True
    before, after = wire_type(before), wire_type(after)
    if before.kind == after.kind == "enum":
        return True
    same = before.oid == after.oid and "array" not in (before.kind, after.kind)
    return same and layout_of(before) == layout_of(after)
