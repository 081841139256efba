"""A frame on its way to a table: PostgreSQL's types, and the Arrow data that fits them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from pgmagic.columns.fitting import Fitted, cast, fitted, is_packed, unknown
from pgmagic.columns.numeric import to_decimal
from pgmagic.columns.objects import of_objects, surrogates
from pgmagic.errors import CellError

__all__ = ["LONGEST_NAME", "Outgoing", "outgoing"]

LONGEST_NAME: Final = 63  # bytes; the server would cut the rest off without an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Columns of one length. `types` are PostgreSQL's, by name; the values are as in `Fitted`."""

    table: pa.Table
    types: dict[str, str]

    def with_whole_numbers(self, names: Sequence[str]) -> "Outgoing":
        """Make whole numbers of floats and decimals that are whole. Raises `CellError`."""
        table, types = self.table, dict(self.types)
        for name in names:
            values, reason = table[name], "it has numbers that are not whole, or too large"
            if is_packed(types[name], values.type):
                numbers = map(_whole, values.to_pylist())
                try:
                    values = pa.chunked_array([pa.array(numbers, pa.int64())])
                except (ValueError, OverflowError):
                    raise CellError(f"column {name}: {reason}") from None
            values = cast(values, pa.int64(), name, reason)
            table = table.set_column(table.schema.get_field_index(name), name, values)
            types[name] = "bigint"
        return Outgoing(table=table, types=types)


def outgoing(frame: Any) -> Outgoing:
    """Make a pandas, polars or Arrow frame ready for a table.

    Named levels of an index become columns; an index without names stays behind. NaN, NaT and NA
    of pandas are NULL. Raises `CellError` for a column that PostgreSQL has no type for.
    """
    columns: dict[str, Fitted] = {}
    for name, values in _columns(frame):
        if name in columns:
            raise CellError(
                f"the frame has two columns {name!r}",
                hint="a level of the index that has a name counts as one: frame.rename_axis(...) "
                "renames it, frame.reset_index(drop=True) leaves it out",
            )
        _check_name(name)
        columns[name] = _fitted(values, name)
    if not columns:
        raise CellError("the frame has no columns")
    return Outgoing(
        table=pa.table({name: column.values for name, column in columns.items()}),
        types={name: column.type for name, column in columns.items()},
    )


def _whole(numeric: bytes | None) -> int | None:
    if numeric is None:
        return None
    value = to_decimal(numeric)
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError("not whole")
    return int(value)


def _columns(frame: Any) -> list[tuple[str, Any]]:
    if isinstance(frame, pd.DataFrame):
        levels = [
            (str(name), pd.Series(frame.index.get_level_values(at).array))
            for at, name in enumerate(frame.index.names)
            if name is not None
        ]
        return [*levels, *((str(name), series) for name, series in frame.items())]
    if isinstance(frame, pd.Series):
        raise CellError("a Series is no frame", hint="series.to_frame() makes one of it")
    if hasattr(frame, "get_columns") and hasattr(frame, "to_arrow"):
        return _of_polars(frame)
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if not isinstance(frame, pa.Table):
        raise CellError(f"a {type(frame).__name__} is no frame of pandas, polars or Arrow")
    return list(zip(frame.column_names, frame.columns, strict=True))


def _of_polars(frame: Any) -> list[tuple[str, Any]]:
    """Take the columns of a frame of polars, each by itself: not all types are known to Arrow."""
    return [(series.name, _of_series(series)) for series in frame.get_columns()]


def _of_series(series: Any) -> Any:
    if str(series.dtype) == "Object":  # of which Arrow is given the addresses
        return pd.Series(series.to_list(), dtype=object)
    try:
        return series.to_frame().to_arrow().column(0)
    except pa.ArrowException:
        raise unknown(series.name, str(series.dtype)) from None


def _check_name(name: str) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise surrogates(ascii(name), error) from None
    if not name or "\0" in name or length > LONGEST_NAME:
        raise CellError(
            f"PostgreSQL takes no column of the name {name[:80]!r}",
            hint=f"a name has 1 to {LONGEST_NAME} bytes",
        )


def _fitted(values: Any, name: str) -> Fitted:
    """Find the type of a column of pandas or Arrow, and bring its values into the form for it."""
    if not isinstance(values, pd.Series):
        return fitted(values, name)
    if isinstance(values.dtype, pd.CategoricalDtype):
        categories = _fitted(values.cat.categories.to_series(), name)
        codes = values.cat.codes.to_numpy()
        taken = categories.values.combine_chunks().take(pa.array(codes, mask=codes < 0))
        return Fitted(type=categories.type, values=pa.chunked_array([taken]))
    if isinstance(values.dtype, pd.SparseDtype):
        values = values.astype(values.dtype.subtype)
    if isinstance(values.dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise unknown(name, str(values.dtype))
    if values.dtype == object:
        return of_objects(values, name)
    try:
        array = pa.array(values, from_pandas=True)
    except UnicodeEncodeError as error:
        raise surrogates(name, error) from None
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise unknown(name, str(values.dtype)) from None
    return fitted(array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]), name)
