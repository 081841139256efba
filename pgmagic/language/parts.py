"""Statements made of a cell's own: some of its rows, some of its columns.

Each knows where its characters stand in the cell, so that an error is shown there.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from pgmagic.language.division import Divisible
from pgmagic.language.statement import Statement

__all__ = ["part_of", "with_columns"]


def part_of(statement: Statement, whole: Divisible, predicate: str) -> Statement:
    """Give the statement for the rows of which a predicate holds.

    `whole` is what `divisible` made of the same statement.
    """
    start = len(whole.head)
    sql = whole.part(predicate)
    if not whole.condition:
        return replace(statement, sql=sql)
    stop = statement.sql.index(whole.condition, start)
    length = sql.index(whole.condition, start) - start
    return replace(statement, sql=sql, offsets=_replaced(statement.offsets, start, stop, length))


def with_columns(statement: Statement, names: Sequence[str]) -> Statement:
    """Give only some of the statement's columns, by their names, each of which stands once.

    Where there is none, each row is `true`.
    """
    chosen = ", ".join('"' + name.replace('"', '""') + '"' for name in names) or "true"
    before = f"SELECT {chosen} FROM ("
    # A line break ends a comment that the statement may end with.
    sql = f"{before}{statement.sql}\n) AS t"
    return replace(statement, sql=sql, offsets=_replaced(statement.offsets, 0, 0, len(before)))


def _replaced(
    offsets: Sequence[tuple[int, int]], start: int, stop: int, length: int
) -> tuple[tuple[int, int], ...]:
    """Tell the offsets of a text of which `[start, stop)`, copied from the cell, was replaced.

    Both are of the old text; `length` is how long that part is in the new one.
    """
    index = bisect_right(offsets, start, key=lambda pair: pair[0]) - 1
    at, in_cell = offsets[index]
    shift = length - (stop - start)
    return (
        *offsets[: index + 1],
        (start, in_cell + start - at),
        (start + length, in_cell + stop - at),
        *((at + shift, there) for at, there in offsets[index + 1 :]),
    )
