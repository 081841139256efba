"""A frame on its way to a table: PostgreSQL's types, and the Arrow data that fits them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.errors import CellError

__all__ = ["Outgoing", "outgoing"]

LONGEST_NAME: Final = 63  # bytes; the server would cut the rest off without an error

# Arrow's types, PostgreSQL's as format_type() writes them, and the Arrow type that goes there.
SCALARS: Final = {
    pa.null(): ("text", pa.large_string()),
    pa.bool_(): ("boolean", pa.bool_()),
    pa.int8(): ("smallint", pa.int16()),
    pa.int16(): ("smallint", pa.int16()),
    pa.int32(): ("integer", pa.int32()),
    pa.int64(): ("bigint", pa.int64()),
    pa.uint8(): ("smallint", pa.int16()),
    pa.uint16(): ("integer", pa.int32()),
    pa.uint32(): ("bigint", pa.int64()),
    pa.uint64(): ("numeric", pa.uint64()),
    pa.float16(): ("real", pa.float32()),
    pa.float32(): ("real", pa.float32()),
    pa.float64(): ("double precision", pa.float64()),
    pa.string(): ("text", pa.large_string()),
    pa.large_string(): ("text", pa.large_string()),
    pa.string_view(): ("text", pa.large_string()),
    pa.binary(): ("bytea", pa.large_binary()),
    pa.large_binary(): ("bytea", pa.large_binary()),
    pa.binary_view(): ("bytea", pa.large_binary()),
    pa.date32(): ("date", pa.date32()),
    pa.date64(): ("date", pa.date32()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Columns of one length. `types` are PostgreSQL's, by name; jsonb is text in `table`."""

    table: pa.Table
    types: dict[str, str]

    def with_whole_numbers(self, names: Sequence[str]) -> "Outgoing":
        """Make whole numbers of floats and decimals that are whole. Raises `CellError`."""
        table, types = self.table, dict(self.types)
        for name in names:
            values = _cast(table[name], pa.int64(), name, "it has numbers that are not whole")
            table = table.set_column(table.schema.get_field_index(name), name, values)
            types[name] = "bigint"
        return Outgoing(table=table, types=types)


def outgoing(frame: Any) -> Outgoing:
    """Make a pandas, polars or Arrow frame ready for a table.

    Named levels of an index become columns; an index without names stays behind. NaN, NaT and NA
    of pandas are NULL. Raises `CellError` for a column that PostgreSQL has no type for.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    jsons: set[str] = set()
    for name, values in _columns(frame):
        if name in columns:
            raise CellError(f"the frame has two columns {name!r}")
        _check_name(name)
        if isinstance(values, pd.Series):
            values, is_json = _from_series(values, name)
            if is_json:
                jsons.add(name)
        columns[name] = values
    types = {}
    for name, values in columns.items():
        types[name], columns[name] = _fitting(values, name)
        if name in jsons:
            types[name] = "jsonb"
    if not columns:
        raise CellError("the frame has no columns")
    return Outgoing(table=pa.table(columns), types=types)


def _columns(frame: Any) -> list[tuple[str, Any]]:
    if isinstance(frame, pd.DataFrame):
        levels = [name for name in frame.index.names if name is not None]
        if levels:
            frame = frame.reset_index(level=levels)
        return [(str(name), frame.iloc[:, at]) for at, name in enumerate(frame.columns)]
    if isinstance(frame, pd.Series):
        raise CellError("a Series is no frame", hint="series.to_frame() makes one of it")
    if hasattr(frame, "to_arrow"):  # polars
        frame = frame.to_arrow()
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if not isinstance(frame, pa.Table):
        raise CellError(f"a {type(frame).__name__} is no frame of pandas, polars or Arrow")
    return list(zip(frame.column_names, frame.columns, strict=True))


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise CellError(
            f"PostgreSQL takes no column of the name {name[:80]!r}",
            hint=f"a name has 1 to {LONGEST_NAME} bytes",
        )


def _from_series(series: "pd.Series[Any]", name: str) -> tuple[pa.ChunkedArray, bool]:
    """Take the values of a column out of pandas; say whether they are documents, as text."""
    if series.dtype == object:
        given = series[series.notna()] if not series.map(_is_container).any() else series
        if given.map(_is_document).any():
            return pa.chunked_array([pa.array(map(_document, series), pa.large_string())]), True
    try:
        values = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise CellError(
            f"column {name}: its values are of several kinds, or of one that no table has",
            hint="series.astype(...) makes one kind of them",
        ) from None
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values]), False


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list | tuple) or hasattr(value, "__array__")


def _is_document(value: Any) -> bool:
    """Whether only json can hold it: a dict, also somewhere in lists."""
    return isinstance(value, dict) or (
        isinstance(value, list | tuple) and any(_is_document(each) for each in value)
    )


def _document(value: Any) -> str | None:
    missing = value is None or (not _is_container(value) and pd.isna(value))
    return None if missing else json.dumps(value, default=str)


def _fitting(values: pa.ChunkedArray, name: str) -> tuple[str, pa.ChunkedArray]:
    """Find the PostgreSQL type of a column, and bring its values into the form for it."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array(
            [chunk.storage for chunk in values.chunks], values.type.storage_type
        )
    if pa.types.is_struct(values.type) or pa.types.is_map(values.type):
        texts = [_document(value) for value in values.to_pylist()]
        return "jsonb", pa.chunked_array([pa.array(texts, pa.large_string())])
    type_, arrow = _types(values.type, name)
    reason = "it has a value that PostgreSQL can't hold exactly"
    return type_, _cast(values, arrow, name, reason)


def _types(arrow: pa.DataType, name: str) -> tuple[str, pa.DataType]:
    if (known := SCALARS.get(arrow)) is not None:
        return known
    if pa.types.is_dictionary(arrow):
        return _types(arrow.value_type, name)
    if pa.types.is_timestamp(arrow):
        zone = "without" if arrow.tz is None else "with"
        return f"timestamp {zone} time zone", pa.timestamp("us", arrow.tz)
    if pa.types.is_time(arrow):
        return "time without time zone", pa.time64("us")
    if pa.types.is_duration(arrow):
        return "interval", pa.duration("us")
    if pa.types.is_decimal(arrow):
        return "numeric", pa.decimal128(38, max(0, arrow.scale))
    if pa.types.is_fixed_size_binary(arrow):
        return "bytea", pa.large_binary()
    if _is_list(arrow) and not _is_list(arrow.value_type):
        type_, element = _types(arrow.value_type, name)
        return f"{type_}[]", pa.list_(element)
    raise CellError(
        f"column {name}: no type of PostgreSQL is known for {arrow}",
        hint="series.astype(str) makes text of it",
    )


def _is_list(arrow: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(arrow) for is_kind in kinds)


def _cast(values: pa.ChunkedArray, arrow: pa.DataType, name: str, reason: str) -> pa.ChunkedArray:
    if values.type == arrow:
        return values
    try:
        return pc.cast(values, arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise CellError(f"column {name}: {reason}") from None
