"""Which rows of two results differ, and how."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pgmagic.columns.changes import Change
from pgmagic.columns.pairing import Pairs
from pgmagic.columns.rowids import (
    Numbers,
    comparable,
    differ,
    numbered,
    row_numbers,
    surplus,
)
from pgmagic.columns.shared import Shared
from pgmagic.columns.written import written

__all__ = ["RowChanges", "Sides"]


class Sides:
    """The rows of both results, in the columns that they share."""

    none: Numbers = np.empty(0, np.int64)

    def __init__(
        self, shared: Sequence[Shared], here: pa.Table, there: pa.Table, *, exact: bool
    ) -> None:
        self.shared = shared
        self.raw = [(here.column(c.here), there.column(c.there)) for c in shared]
        self.columns = [
            (
                comparable(one, column.before, exact=exact),
                comparable(other, column.after, exact=exact),
            )
            for column, (one, other) in zip(shared, self.raw, strict=True)
        ]
        self.rows = here.num_rows, there.num_rows
        self._here, self._there = self._in_other_places()

    def same_in_place(self) -> bool:
        return not len(self._here) and not len(self._there)

    def left_over(self) -> tuple[Numbers, Numbers]:
        """Give the rows that either has more often than the other."""
        here, there = pa.array(self._here), pa.array(self._there)
        numbers = [numbered(one.take(here), other.take(there)) for one, other in self.columns]
        rows = row_numbers(numbers, len(here) + len(there))
        gone, new = surplus(rows[: len(here)], rows[len(here) :])
        return self._here[gone], self._there[new]

    def _in_other_places(self) -> tuple[Numbers, Numbers]:
        """Give the rows without those that are the same in the same place."""
        most = min(self.rows)
        differing = np.zeros(most, np.bool_)
        for one, other in self.columns:
            differing |= differ(one.slice(0, most), other.slice(0, most))
        places = np.flatnonzero(differing)
        here, there = (np.concatenate([places, np.arange(most, rows)]) for rows in self.rows)
        return here, there


class RowChanges:
    """What became of the rows, one change after the other."""

    def __init__(self, rows: Sides, pairs: Pairs, gone: Numbers, new: Numbers) -> None:
        self._rows, self._pairs = rows, pairs
        self.gone = np.setdiff1d(gone, pairs.here)
        self.new = np.setdiff1d(new, pairs.there)
        here, there = pa.array(pairs.here), pa.array(pairs.there)
        self._differing = [differ(one.take(here), other.take(there)) for one, other in rows.columns]

    def count(self) -> int:
        values = sum(int(differing.sum()) for differing in self._differing)
        return values + len(self.gone) + len(self.new)

    def summary(self) -> Iterator[str]:
        here, there = self._rows.rows
        if altered := len(self._pairs.here):
            names = [
                column.name
                for column, differing in zip(self._rows.shared, self._differing, strict=True)
                if differing.any()
            ]
            yield f"{_rows(altered)} of {here:,} changed in {_some(names)}"
        if len(self.gone):
            yield f"{_rows(len(self.gone))} gone"
        if len(self.new):
            yield f"{_rows(len(self.new))} new"
        if here != there:
            yield f"{here:,} → {_rows(there)}"

    def __iter__(self) -> Iterator[Change]:
        for index, (here, there) in enumerate(
            zip(self._pairs.here, self._pairs.there, strict=True)
        ):
            row = self._name(0, int(here))
            for column, differing in enumerate(self._differing):
                if differing[index]:
                    yield Change(
                        what="value",
                        row=row,
                        column=self._rows.shared[column].name,
                        before=self._value(0, column, int(here)),
                        after=self._value(1, column, int(there)),
                    )
        for place in self.gone:
            row, text = self._name(0, int(place)), self._row(0, int(place))
            yield Change(what="row gone", row=row, before=text)
        for place in self.new:
            row, text = self._name(1, int(place)), self._row(1, int(place))
            yield Change(what="row new", row=row, after=text)

    def _name(self, side: int, place: int) -> str:
        key = [self._named_value(side, column, place) for column in self._pairs.key]
        return ", ".join(key) if key else f"row {place}"

    def _row(self, side: int, place: int) -> str:
        columns = range(len(self._rows.shared))
        return ", ".join(self._named_value(side, column, place) for column in columns)

    def _named_value(self, side: int, column: int, place: int) -> str:
        return f"{self._rows.shared[column].name} = {self._value(side, column, place)}"

    def _value(self, side: int, column: int, place: int) -> str:
        shared = self._rows.shared[column]
        value = self._rows.raw[column][side][place].as_py()
        [text] = written([value], shared.after if side else shared.before)
        return text


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
