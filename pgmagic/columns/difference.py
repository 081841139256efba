"""How two results of the same statement differ: in their columns, and in their rows."""

from itertools import islice
from typing import Final

import pyarrow as pa

from pgmagic.columns.changes import Change, Difference, Verdict
from pgmagic.columns.pairing import pair
from pgmagic.columns.pgtypes import BUILTIN, TEXT
from pgmagic.columns.row_changes import RowChanges, Sides
from pgmagic.columns.shared import match_columns
from pgmagic.outcome import Column, Result

__all__ = ["compare"]

MOST_CHANGES: Final = 20


def compare(
    before: Result,
    after: Result,
    *,
    ordered: bool = False,
    exact: bool = False,
    most: int = MOST_CHANGES,
) -> Difference:
    """Compare two results of one database, exactly.

    The same rows in another order are a change only where the statement is `ordered`. `exact`:
    the digits of a numeric that are written count too. At most so many changes are told in full.
    """
    columns, here = _columns(before)
    later_columns, there = _columns(after)
    shared, changes = match_columns(columns, later_columns)
    rows = Sides(shared, here, there, exact=exact)
    moved = not rows.same_in_place()
    gone, new = rows.left_over() if moved else (rows.none, rows.none)
    pairs = pair(rows.columns, gone, new)
    if moved and not len(gone) and not len(new):
        if not ordered and not changes:
            return Difference(verdict=Verdict.REORDERED, summary="the same rows in another order")
        changes.append(Change(what="rows in another order"))
    if not changes and not len(gone) and not len(new):
        return Difference(verdict=Verdict.SAME)
    told = RowChanges(rows, pairs, gone, new)
    first = [*changes, *islice(told, max(0, most - len(changes)))]
    return Difference(
        verdict=Verdict.CHANGED,
        summary="; ".join([*map(_schema_words, changes), *told.summary()]),
        altered=len(pairs.here),
        gone=len(told.gone),
        new=len(told.new),
        changes=tuple(first),
        left_out=len(changes) + told.count() - len(first),
    )


def _columns(result: Result) -> tuple[tuple[Column, ...], pa.Table]:
    """Give columns and rows; the text of COPY … TO STDOUT is a row for each line."""
    if result.table is not None:
        return result.columns, result.table.arrow
    lines = [] if result.text is None else result.text.splitlines()
    column = Column(name="line", type=BUILTIN[TEXT])
    return (column,), pa.table({"0": pa.chunked_array([pa.array(lines, pa.large_string())])})


def _schema_words(change: Change) -> str:
    match change.what:
        case "column retyped":
            return f"{change.column}: {change.before} → {change.after}"
        case "column renamed":
            return f"{change.before} is now {change.after}"
        case "columns reordered" | "rows in another order":
            return change.what
        case what:
            return f"{change.column} {what.removeprefix('column ')}"
