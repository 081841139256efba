"""From Arrow columns to the arrays that pandas keeps, by the table in the design."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns import pgtypes as t
from pgmagic.columns.interpret import MONTH_DAY_NANO
from pgmagic.columns.options import FrameOptions
from pgmagic.columns.pgtypes import wire_type
from pgmagic.columns.text import DAY, interval_text
from pgmagic.outcome import PgType

__all__ = ["for_polars", "to_series"]

LARGEST: Final = 2**63 - 1
NAT: Final = -(2**63)  # numpy's not-a-time
FIRST_LOCAL: Final = np.datetime64("0001-01-03", "us")  # a time zone may shift by a day
LAST_LOCAL: Final = np.datetime64("9999-12-29", "us")
JSON: Final = (t.JSON, t.JSONB)
STR: Final = pd.StringDtype("pyarrow", na_value=math.nan)  # what pandas calls "str"
NULLABLE: Final[dict[Any, Any]] = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
}
FLOATS: Final = frozenset({pa.float32().id, pa.float64().id})
NUMBERS: Final = FLOATS | {arrow.id for arrow in NULLABLE}


def to_series(
    values: pa.ChunkedArray, type_: PgType, options: FrameOptions
) -> tuple[Any, str | None]:
    """Make a pandas array of an Arrow column; give a note where it is not what it would be.

    The Arrow type decides, so that a column of no rows or of NULL alone has its proper dtype.
    """
    type_ = wire_type(type_)
    arrow = values.type
    if options.dtypes == "arrow" and not _needs_objects(type_, arrow, options):
        return _arrow(values, type_, options)
    if arrow.id in NUMBERS:
        return _numbers(values), None
    if pa.types.is_list(arrow):
        return _lists(values, type_, options), None
    if pa.types.is_large_string(arrow):
        if type_.oid in JSON and options.json == "objects":
            return _parsed(values)
        return _strings(values), None
    if pa.types.is_timestamp(arrow):
        return _timestamps(values)
    if arrow == pa.month_day_nano_interval():
        return _durations(values)
    return _plain(values), None


def _needs_objects(type_: PgType, arrow: pa.DataType, options: FrameOptions) -> bool:
    """Whether there is no better than pandas' own: enums are categories, documents are parsed."""
    of_json = type_.oid in JSON or (type_.element is not None and type_.element.oid in JSON)
    return pa.types.is_dictionary(arrow) or (of_json and options.json == "objects")


def _arrow(values: pa.ChunkedArray, type_: PgType, options: FrameOptions) -> tuple[Any, str | None]:
    """Let pandas hold a column as it is, in Arrow."""
    note = None
    if values.type == pa.month_day_nano_interval():  # which pandas has no dtype for
        durations, note = _durations(values)
        values = pa.chunked_array([pa.array(durations)])
    return pd.arrays.ArrowExtensionArray(values), note


def for_polars(
    values: pa.ChunkedArray, type_: PgType, options: FrameOptions
) -> tuple[pa.ChunkedArray, str | None]:
    """Turn the Arrow types that polars lacks into those it has: intervals, long decimals.

    It panics at these, and that is no `Exception`.
    """
    if pa.types.is_list(values.type):
        lists = values.combine_chunks()
        within, note = for_polars(pa.chunked_array([lists.values]), type_, options)
        lists = pa.ListArray.from_arrays(
            lists.offsets, within.combine_chunks(), mask=lists.is_null()
        )
        return pa.chunked_array([lists]), note
    if values.type == pa.month_day_nano_interval():
        series, note = to_series(values, type_, options)
        return pa.chunked_array([pa.array(series)]), note
    if pa.types.is_decimal256(values.type):
        return values.cast(pa.large_string()), "text, because it has more than 38 digits"
    return values, None


def _plain(values: pa.ChunkedArray) -> Any:
    arrow = values.type
    if pa.types.is_dictionary(arrow):
        return _categories(values)
    if pa.types.is_date32(arrow):
        parts = [chunk.to_numpy(zero_copy_only=False) for chunk in values.chunks]
        days = np.concatenate([np.empty(0, "datetime64[D]"), *parts])
        return days.astype("datetime64[s]")
    if pa.types.is_decimal(arrow):
        return pd.array(values, dtype=pd.ArrowDtype(arrow))
    return _objects(values.to_pylist())


def _numbers(values: pa.ChunkedArray) -> Any:
    """Let numpy hold floats, and whole numbers and booleans where none is NULL."""
    if values.type.id in FLOATS:
        return _numpy(values, math.nan)
    if values.null_count == 0:
        return _numpy(values, 0)
    # pd.array() would go through Python objects, or through floats, which lose digits.
    return NULLABLE[values.type].__from_arrow__(values)


def _strings(values: pa.ChunkedArray) -> Any:
    """Let pandas hold text as it is, in Arrow. `pd.array()` would cast it to the same once more."""
    return STR.__from_arrow__(values)  # type: ignore[attr-defined]


def _numpy(values: pa.ChunkedArray, missing: Any) -> np.ndarray[Any, Any]:
    """Copy a column of numbers into one array that pandas may write to."""
    if values.null_count:
        values = pc.fill_null(values, missing)
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in values.chunks]
    return np.concatenate(parts) if parts else np.empty(0, values.type.to_pandas_dtype())


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    """Keep Python objects as they are: numpy would make a table of lists."""
    objects = np.empty(len(values), object)
    for index, value in enumerate(values):
        objects[index] = value
    return objects


def _categories(values: pa.ChunkedArray) -> pd.Categorical:
    labels = values.chunk(0).dictionary.to_pylist() if values.num_chunks else []
    codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in values.chunks]
    return pd.Categorical.from_codes(
        np.concatenate([np.empty(0, np.int32), *codes]),
        categories=pd.Index(labels, dtype="str"),
        ordered=True,
    )


def _timestamps(values: pa.ChunkedArray) -> tuple[Any, str | None]:
    # Arrow makes NaT of NULL by itself.
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in values.chunks]
    moments = np.concatenate([np.empty(0, "datetime64[us]"), *parts])
    zone = values.type.tz
    if zone is None:
        return moments, None
    utc = pd.DatetimeIndex(moments).tz_localize("UTC")
    if zone == "UTC":
        return utc.array, None
    if ((moments < FIRST_LOCAL) | (moments > LAST_LOCAL)).any():
        return utc.array, "in UTC, because pandas has no time zones before year 1 or after 9999"
    return utc.tz_convert(zone).array, None


def _durations(values: pa.ChunkedArray) -> tuple[Any, str | None]:
    """Add the days of an interval to its time; a month has no fixed length."""
    parts = [
        np.frombuffer(chunk.buffers()[1] or b"", MONTH_DAY_NANO)[chunk.offset :][: len(chunk)]
        for chunk in values.chunks
    ]
    if not parts:
        return np.empty(0, "timedelta64[us]"), None
    whole, missing = np.concatenate(parts), values.is_null().to_numpy()
    months, days = np.where(missing, 0, whole["months"]), np.where(missing, 0, whole["days"])
    time = np.where(missing, 0, whole["nanoseconds"]) // 1000
    # Two times the time of day's bound are kept free, so that the sum cannot overflow.
    too_long = np.abs(days.astype(float)) * DAY + np.abs(time.astype(float)) > 0.99 * LARGEST
    if months.any() or too_long.any():
        texts = [
            None if gone else interval_text(*map(int, interval))
            for gone, interval in zip(missing, zip(months, days, time, strict=True), strict=True)
        ]
        note = (
            "text, because a month has no fixed length"
            if months.any()
            else "text, because the interval is too long"
        )
        return _strings(pa.chunked_array([pa.array(texts, pa.large_string())])), note
    microseconds = days.astype(np.int64) * DAY + time
    return np.where(missing, NAT, microseconds).view("timedelta64[us]"), None


def _parsed(values: pa.ChunkedArray) -> tuple[Any, str | None]:
    texts = values.to_pylist()
    try:
        return _objects([None if text is None else _parse(text) for text in texts]), None
    except (RecursionError, ValueError):
        note = "the server's text, because it is too deeply nested to be parsed"
        return _strings(values), note


def _parse(text: str) -> Any:
    return json.loads(text, parse_float=_float, parse_int=_int)


def _float(text: str) -> float | Decimal:
    """Read a number with a point or an exponent; too large a one stays exact."""
    number = float(text)
    return Decimal(text) if math.isinf(number) else number


def _int(text: str) -> int | Decimal:
    """Read a whole number; Python refuses thousands of digits as an int."""
    return int(text) if len(text) < 4000 else Decimal(text)


def _lists(values: pa.ChunkedArray, type_: PgType, options: FrameOptions) -> Any:
    """Make Python lists; the documents in an array of json are parsed as well."""
    element = type_.element
    lists = values.to_pylist()
    if element is not None and element.oid in JSON and options.json == "objects":
        lists = [_each(_parse, value) for value in lists]
    return _objects(lists)


def _each(parse: Callable[[str], Any], value: Any) -> Any:
    if isinstance(value, list):
        return [_each(parse, element) for element in value]
    return None if value is None else parse(value)
