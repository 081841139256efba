"""Which row of one result is which row of another, by a key that is guessed from the values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Final

import numpy as np
import pyarrow as pa

from pgmagic.columns.rowids import Numbers, numbered, row_numbers

__all__ = ["Pairs", "pair"]

LOOKED_AT: Final = 10_000  # rows by which keys are compared
# Of more columns or rows, not every two columns are tried as a key.
MOST_PAIRED_COLUMNS: Final = 12
MOST_PAIRED_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Rows that are the same row, changed: `here[i]` in one result is `there[i]` in the other.

    `key` are the columns that say so; none where the rows stand in the same places.
    """

    key: tuple[int, ...]
    here: Numbers
    there: Numbers


def pair(
    columns: Sequence[tuple[pa.ChunkedArray, pa.ChunkedArray]], gone: Numbers, new: Numbers
) -> Pairs:
    """Pair rows that only one result has with rows that only the other has.

    `columns` are those of both results, whole; `gone` and `new` the rows to be paired. A key is
    one column, or a few, whose values stand once in either result; of several the one that pairs
    most rows, then the shortest, then the leftmost. Without one, rows that stand in the same
    places are pairs.
    """
    if not len(gone) or not len(new):
        return Pairs(key=(), here=gone[:0], there=new[:0])
    search = _Search(columns, gone, new)
    if (key := search.best()) is not None:
        here, there = search.matched(key)
        return Pairs(key=key, here=gone[here], there=new[there])
    if np.array_equal(gone, new):
        return Pairs(key=(), here=gone, there=new)
    return Pairs(key=(), here=gone[:0], there=new[:0])


class _Search:
    """Looks for a key among the columns."""

    def __init__(
        self,
        columns: Sequence[tuple[pa.ChunkedArray, pa.ChunkedArray]],
        gone: Numbers,
        new: Numbers,
    ) -> None:
        self._columns = columns
        self._gone, self._total = len(gone), len(gone) + len(new)
        self._here, self._there = pa.array(gone), pa.array(new)
        self._parts: dict[int, Numbers] = {}  # of columns, the rows that are to be paired
        self._wholes: dict[int, Numbers] = {}  # of columns, all rows

    def best(self) -> tuple[int, ...] | None:
        """Give the key that pairs most rows; None where no column tells rows apart."""
        found: list[tuple[int, int, tuple[int, ...]]] = []
        for key in self._keys():
            matches, asked = self._matches(key)
            if matches == asked and self._tells_apart(key):
                return key  # no other can do better, and the others are longer
            if matches:
                found.append((-matches, len(key), key))
        return next((key for _, _, key in sorted(found) if self._tells_apart(key)), None)

    def matched(self, key: tuple[int, ...]) -> tuple[Numbers, Numbers]:
        """Give the pairs that a key makes, as places among those that are gone and new."""
        gone, new = self._numbers(key)
        _, here, there = np.intersect1d(gone, new, return_indices=True)
        order = np.argsort(here)
        return here[order], there[order]

    def _keys(self) -> Iterator[tuple[int, ...]]:
        """Give every column, every two, and the first three, four …, which lead a GROUP BY."""
        count = len(self._columns)
        for index in range(count):
            yield (index,)
        if count <= MOST_PAIRED_COLUMNS and self._total <= MOST_PAIRED_ROWS:
            yield from combinations(range(count), 2)
        elif count > 1:
            yield (0, 1)
        for length in range(3, count):
            yield tuple(range(length))

    def _matches(self, key: tuple[int, ...]) -> tuple[int, int]:
        """Count the rows that a key would pair, and those that were looked at for it."""
        sizes = [int(self._part(index).max(initial=0)) + 1 for index in key]
        if prod(sizes) < max(self._gone, self._total - self._gone):  # it can't be unique
            return 0, 1
        gone, new = self._numbers(key)
        gone = gone[:: max(1, len(gone) // LOOKED_AT)]
        return int(np.isin(gone, new, kind="table").sum()), len(gone)

    def _numbers(self, key: tuple[int, ...]) -> tuple[Numbers, Numbers]:
        """Number the keys of the rows that are to be paired."""
        parts = [self._part(index) for index in key]
        numbers = parts[0] if len(key) == 1 else row_numbers(parts, self._total)
        return numbers[: self._gone], numbers[self._gone :]

    def _tells_apart(self, key: tuple[int, ...]) -> bool:
        """Whether a key is unique in either result, all rows counted; NULL is no key."""
        sides = [self._columns[index] for index in key]
        if any(one.null_count or other.null_count for one, other in sides):
            return False
        here, there = len(sides[0][0]), len(sides[0][1])
        wholes = [self._whole(index) for index in key]
        if prod(int(whole.max(initial=0)) + 1 for whole in wholes) < max(here, there):
            return False
        numbers = row_numbers(wholes, here + there)
        return all(
            np.bincount(side).max(initial=0) <= 1 for side in (numbers[:here], numbers[here:])
        )

    def _part(self, index: int) -> Numbers:
        if index not in self._parts:
            one, other = self._columns[index]
            self._parts[index] = numbered(one.take(self._here), other.take(self._there))
        return self._parts[index]

    def _whole(self, index: int) -> Numbers:
        if index not in self._wholes:
            self._wholes[index] = numbered(*self._columns[index])
        return self._wholes[index]
