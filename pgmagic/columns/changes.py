"""What is told of two results that differ."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Change", "Difference", "Verdict"]


class Verdict(StrEnum):
    """What comparing two results comes to."""

    SAME = "same"
    REORDERED = "another order"
    CHANGED = "changed"
    NOT_VERIFIED = "not verified"  # there was nothing to compare with


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs: a column, or one value of a row, or a whole row.

    `row` names a row by its key, or by its place in the result, counted from 0. `before` and
    `after` are text, None where there is nothing to compare with.
    """

    what: str
    row: str | None = None
    column: str | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that differs between a result and a later one. `summary` says it in a few words.

    `altered` counts rows that have other values, `gone` those that are no more, `new` those that
    were not before. `changes` are the first of what differs, `left_out` counts the others.
    """

    verdict: Verdict
    summary: str = ""
    altered: int = 0
    gone: int = 0
    new: int = 0
    changes: tuple[Change, ...] = ()
    left_out: int = 0
