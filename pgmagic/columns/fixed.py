"""Frames whose dtypes are decided before the first row is read, and are the same in every part.

A frame of one cell may look at all its values before it chooses a dtype. The parts of a frame that
is read in many places can't: each takes what any other could need. A value that doesn't fit stops
the part with an error that says what to do, and is never changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pgmagic.columns import pgtypes as t
from pgmagic.columns.agreement import ColumnsDiffer, agree
from pgmagic.columns.copybinary import arrow_type
from pgmagic.columns.interpret import Piece, interpret
from pgmagic.columns.names import unique_names
from pgmagic.columns.options import FrameOptions
from pgmagic.columns.pgtypes import layout_of, wire_type
from pgmagic.columns.scalars import text_of
from pgmagic.columns.series import NULLABLE, to_series
from pgmagic.errors import CellError
from pgmagic.outcome import Column, PgType

__all__ = ["FixedFrame"]


@dataclass(frozen=True, kw_only=True)
class FixedFrame:
    """What every part of a frame has: the `columns` that the `databases` agreed on, as pandas.

    Integers and booleans have the dtypes that take NULLs; intervals, and numerics with
    `--numeric exact`, are text. `tag` is the column that names the databases, None for no such.
    """

    columns: tuple[Column, ...]
    databases: tuple[str, ...]
    tag: str | None
    options: FrameOptions

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns in the frame, each once, without the tag."""
        taken = [self.tag] if self.tag else []
        return tuple(unique_names([column.name for column in self.columns], taken=taken)[0])

    def empty(self) -> pd.DataFrame:
        """Give the frame of no rows: names and dtypes."""
        nothing = {
            name: _fixed(_nothing(column.type), column.type, column.type, name, self.options)
            for name, column in zip(self.names, self.columns, strict=True)
        }
        return self._frame(nothing, 0, self.databases[0], None)

    def part(
        self,
        rows: pa.Table,
        described: tuple[Column, ...],
        database: str,
        wanted: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Make a part of one database's rows, which have the columns of `wanted` alone, if given.

        Raises `CellError` for a value that its column can't hold, and where the database's
        columns are not those that it had.
        """
        expected = {
            name: column
            for name, column in zip(self.names, self.columns, strict=True)
            if wanted is None or name in wanted
        }
        # Where none is wanted, the rows are only counted.
        order = _order(tuple(expected.values()), described, database) if expected else ()
        arrays = {
            name: _fixed(rows.column(at), described[at].type, column.type, name, self.options)
            for at, (name, column) in zip(order, expected.items(), strict=True)
        }
        return self._frame(arrays, rows.num_rows, database, wanted)

    def selectable(self, wanted: Sequence[str] | None) -> tuple[str, ...] | None:
        """Tell which columns the server need give, () for none; None where it is all of them."""
        own = tuple(column.name for column in self.columns)
        if wanted is None or own != self.names:  # a name that stands twice
            return None
        chosen = tuple(name for name in own if name in wanted)
        return None if chosen == own else chosen

    def _frame(
        self, arrays: Mapping[str, Any], rows: int, database: str, wanted: Sequence[str] | None
    ) -> pd.DataFrame:
        columns = dict(arrays)
        if self.tag is not None and (wanted is None or self.tag in wanted):
            code = self.databases.index(database)
            categories = pd.Index(list(self.databases), dtype="str")
            codes = np.full(rows, code, np.int32)
            columns = {self.tag: pd.Categorical.from_codes(codes, categories=categories), **columns}
        names = list(columns) if wanted is None else list(wanted)
        frame = pd.DataFrame(
            {index: columns[name] for index, name in enumerate(names)},
            index=pd.RangeIndex(rows),
            copy=False,
        )
        frame.columns = pd.Index(names, dtype="str")
        return frame


def _order(
    expected: tuple[Column, ...], found: tuple[Column, ...], database: str
) -> tuple[int, ...]:
    """Tell where the expected columns stand in what a database gives now."""
    try:
        agreement = agree({"": expected, database: found})
        if agreement.columns == expected:
            return agreement.order[database]
    except ColumnsDiffer:
        pass
    error = CellError(
        f"the columns in {database} are not those that it had when the frame was planned",
        hint="run the cell with --dask again",
    )
    error.database = database
    raise error


def _nothing(type_: PgType) -> pa.ChunkedArray:
    return pa.chunked_array([], arrow_type(layout_of(type_)))


def _fixed(
    values: pa.ChunkedArray, source: PgType, type_: PgType, name: str, options: FrameOptions
) -> Any:
    """Make the pandas array of a column of the agreed type."""
    if _is_text(type_, options):
        return pd.array(_texts(values, source), dtype="str")
    interpreted, note = interpret([Piece(values, source)], type_, options)
    if note is None and interpreted.type in NULLABLE:
        return NULLABLE[interpreted.type].__from_arrow__(interpreted)
    if pa.types.is_dictionary(interpreted.type) and not len(interpreted):
        labels = pd.Index(list(wire_type(type_).labels), dtype="str")  # rows or not
        return pd.Categorical.from_codes([], categories=labels, ordered=True)
    series, further = to_series(interpreted, type_, options)
    if note or further:
        raise _misfit(name, note or further or "", type_)
    return series


def _is_text(type_: PgType, options: FrameOptions) -> bool:
    """Whether the dtype would depend on the values: on a month, or on the number of digits."""
    oid = wire_type(type_).oid
    return oid == t.INTERVAL or (oid == t.NUMERIC and options.numeric == "exact")


def _texts(values: pa.ChunkedArray, source: PgType) -> pa.ChunkedArray:
    write = text_of(wire_type(source))
    return pa.chunked_array(
        [
            pa.array([None if v is None else write(v) for v in chunk.to_pylist()], "large_string")
            for chunk in values.chunks
        ],
        pa.large_string(),
    )


def _misfit(name: str, note: str, type_: PgType) -> CellError:
    _, _, reason = note.partition("because ")
    cast = f"cast it in the cell: {name}::text"
    return CellError(
        f"column {name} can't be the same in every partition" + (f": {reason}" if reason else ""),
        hint=f"--numeric exact, or {cast}" if type_.oid == t.NUMERIC else cast,
    )
