"""Tables of one or several databases as the DataFrame that users see."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pgmagic.columns.agreement import Agreement
from pgmagic.columns.copybinary import batch_of
from pgmagic.columns.interpret import Piece, interpret
from pgmagic.columns.names import unique_names
from pgmagic.columns.options import FrameOptions
from pgmagic.columns.series import for_polars, to_series
from pgmagic.errors import CellError
from pgmagic.outcome import Column

__all__ = ["combine", "to_frame"]


def to_frame(
    table: pa.Table, columns: Sequence[Column], options: FrameOptions
) -> tuple[Any, tuple[str, ...]]:
    """Make what the user sees of one database's rows, and notes for the caption.

    `table` and `columns` are as `read` and `describe` gave them. Gives a pandas DataFrame, or
    what `options.as_` says. Where the caller does not hold the table, each of its columns is
    freed as soon as the frame has it.
    """
    rows = table.num_rows
    pieces = [[Piece(table.column(index), column.type)] for index, column in enumerate(columns)]
    del table  # from here on the pieces alone hold the rows, and are dropped one by one
    return _build(columns, pieces, rows, None, options)


def combine(
    tables: Mapping[str, pa.Table],
    agreement: Agreement,
    *,
    tag: str = "database",
    options: FrameOptions,
) -> tuple[Any, tuple[str, ...]]:
    """Make one frame of several databases' rows, with a leading column `tag` that names them.

    Rows stand in the order of `tables`. Each database is a category, rows or not.
    """
    pieces = [
        [
            Piece(table.column(agreement.order[name][index]), agreement.described[name][index].type)
            for name, table in tables.items()
        ]
        for index in range(len(agreement.columns))
    ]
    counts = {name: table.num_rows for name, table in tables.items()}
    leading = (tag, counts)
    del tables
    frame, notes = _build(agreement.columns, pieces, sum(counts.values()), leading, options)
    return frame, (*agreement.notes, *notes)


def _build(
    columns: Sequence[Column],
    pieces: list[list[Piece]],
    rows: int,
    leading: tuple[str, Mapping[str, int]] | None,
    options: FrameOptions,
) -> tuple[Any, tuple[str, ...]]:
    taken = [leading[0]] if leading else []
    names, notes = unique_names([column.name for column in columns], taken=taken)
    arrays: list[Any] = []
    said = list(notes)
    pieces.reverse()
    for name, column in zip(names, columns, strict=True):
        # Nothing holds a piece any more, once its column has been made.
        values, note = interpret(pieces.pop(), column.type, options)
        further = None
        if options.as_ == "pandas":
            values, further = to_series(values, column.type, options)
        elif options.as_ == "polars":
            values, further = for_polars(values, column.type, options)
        arrays.append(values)
        said += [f"{name}: {words}" for words in (note, further) if words]
    if leading:
        names.insert(0, leading[0])
        arrays.insert(0, _tags(leading[1], options))
    return _frame(names, arrays, rows, options), tuple(said)


def _tags(counts: Mapping[str, int], options: FrameOptions) -> Any:
    codes = np.repeat(np.arange(len(counts), dtype=np.int32), list(counts.values()))
    if options.as_ == "pandas":
        return pd.Categorical.from_codes(codes, categories=pd.Index(list(counts), dtype="str"))
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(counts), pa.large_string()))


def _frame(names: Sequence[str], arrays: Sequence[Any], rows: int, options: FrameOptions) -> Any:
    if options.as_ == "pandas":
        frame = pd.DataFrame(dict(enumerate(arrays)), index=pd.RangeIndex(rows), copy=False)
        frame.columns = _labels(tuple(names)).view()  # its own, as one may give it a name
        return frame
    if not arrays:
        return pa.Table.from_batches([batch_of([], rows)])
    table = pa.table(list(arrays), names=list(names))
    return table if options.as_ == "arrow" else _polars(table)


@lru_cache(maxsize=64)
def _labels(names: tuple[str, ...]) -> "pd.Index[str]":
    """Make the index of a frame's columns, which takes as long as all the rest of a small frame."""
    return pd.Index(list(names), dtype="str")


def _polars(table: pa.Table) -> Any:
    try:
        import polars
    except ImportError:
        raise CellError("--as polars needs the package polars", hint="pip install polars") from None
    return polars.from_arrow(table)
