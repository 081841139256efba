"""Columns of Python objects, of which pandas says nothing but that they are objects.

What is in one is found out here and not left to Arrow, which goes by the first values: it takes a
time without a zone for one in UTC, cuts a moment to its day beside a day, and drops the zone of a
time of day. Here all values are of one kind, and the kind is known, or the column is refused.
"""

from collections.abc import Callable, Iterable
from datetime import MAXYEAR, MINYEAR
from decimal import Decimal
from functools import reduce
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from pgmagic.columns.contents import UNZONED, ZONED, Contents
from pgmagic.columns.documents import is_missing
from pgmagic.columns.fitting import INEXACT, Fitted, documents, fitted
from pgmagic.columns.numeric import from_decimal
from pgmagic.columns.rectangles import leaves
from pgmagic.errors import CellError

__all__ = ["of_objects", "surrogates"]

ARROW: Final = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.large_string(),
    "bytes": pa.large_binary(),
    ZONED: pa.timestamp("us", "UTC"),
    UNZONED: pa.timestamp("us"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timedelta": pa.duration("us"),
}
NO_LENGTHS: Final = {"Y", "M", "generic"}


def of_objects(series: "pd.Series[Any]", name: str) -> Fitted:
    """Find the type of a column of objects. Raises `CellError` where there is none for all."""
    contents = Contents(name)
    values = contents.take_all(series.tolist())
    if "dict" in contents.kinds:
        return documents(series, name)
    if len(contents.depths) > 1:
        raise CellError(f"column {name}: its lists are not all of one depth")
    return _of_kind(contents, values, _common(contents.kinds, name), name)


def surrogates(name: str, error: UnicodeEncodeError) -> CellError:
    """Say which half of a pair stands alone in a text, and where."""
    half = error.object[error.start]
    return CellError(
        f"column {name}: it has a text with U+{ord(half):04X} in it, half of a character",
        hint="series.str.encode('utf-8', 'replace').str.decode('utf-8') puts ? in its place",
    )


def _common(kinds: set[str], name: str) -> str | None:
    """Tell the kind that can hold all; None where there is nothing to hold."""
    if kinds == {"int", "float"}:
        return "float"
    if kinds == {"int", "Decimal"}:
        return "Decimal"
    if kinds == {ZONED, UNZONED}:
        raise CellError(
            f"column {name}: it has {ZONED} and {UNZONED}, and no zone is invented for these",
            hint="say in the frame which zone they are of, or take it off the others",
        )
    if len(kinds) > 1:
        raise CellError(
            f"column {name}: its values are of several kinds: {', '.join(sorted(kinds))}",
            hint="series.astype(...) makes one kind of them",
        )
    return next(iter(kinds), None)


def _of_kind(contents: Contents, values: list[Any], kind: str | None, name: str) -> Fitted:
    depth = next(iter(contents.depths), contents.deepest)
    packed, make = _way(kind, contents)
    arrow = pa.large_binary() if packed else pa.null() if kind is None else ARROW[kind]
    if len(contents.dtypes) == 1 and not contents.loose:  # such as float32, which stays that
        arrow, make = pa.from_numpy_dtype(next(iter(contents.dtypes))), None
    elif contents.dtypes:
        values = _each(values, _as_list)
    if kind == "Decimal" and (array := _decimals(values)) is not None:
        return fitted(pa.chunked_array([array]), name)
    type_ = reduce(lambda inner, _: pa.list_(inner), range(depth), arrow)
    try:
        array = pa.array(_each(values, make) if make else values, type_, from_pandas=True)
    except UnicodeEncodeError as error:
        raise surrogates(name, error) from None
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise CellError(f"column {name}: {INEXACT}") from None
    return fitted(pa.chunked_array([array]), name, packed)


def _decimals(values: list[Any]) -> pa.Array | None:
    """Make Arrow's decimals of all, which are quick; None where they are too short for one."""
    try:
        array = pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    return array if pa.types.is_decimal128(leaves(array).type) else None


def _way(kind: str | None, contents: Contents) -> tuple[str | None, Callable[[Any], Any] | None]:
    """Tell what is packed, as which type, and what becomes of each value on its way to Arrow.

    Most often nothing does: a list of millions is not made again for that.
    """
    if kind == "Decimal" or (kind == "int" and contents.wide):
        return "numeric", _numeric
    if kind == "UUID":
        return "uuid", lambda value: value.bytes
    if kind == "float" and "int" in contents.kinds:
        return None, _exactly
    if kind == "bytes" and contents.known:
        return None, bytes
    if kind in (ZONED, UNZONED, "timedelta") and contents.known:
        return None, _whole_microseconds
    return None, None


def _numeric(value: Any) -> bytes:
    return from_decimal(value if isinstance(value, Decimal) else Decimal(int(value)))


def _exactly(value: Any) -> float:
    if (number := float(value)) != value:
        raise ValueError("a float would round it")
    return number


def _whole_microseconds(value: Any) -> Any:
    """Count microseconds where Arrow would cut some off, or misread a year beyond 9999."""
    if isinstance(value, pd.Timestamp):
        if MINYEAR <= value.year <= MAXYEAR and not value.nanosecond:
            return value
        value = value.asm8  # in UTC
    elif isinstance(value, pd.Timedelta):
        value = value.asm8
    if not isinstance(value, np.datetime64 | np.timedelta64):
        return value
    if value.dtype.kind == "m" and np.datetime_data(value.dtype)[0] in NO_LENGTHS:
        raise ValueError("its unit has no length")
    counted = value.astype(f"{value.dtype.kind}8[us]")
    if counted.astype(value.dtype) != value:  # which NumPy cuts off, or lets flow over
        raise ValueError("finer than a microsecond, or too far away")
    return int(counted.astype(np.int64))


def _each(values: Iterable[Any], make: Callable[[Any], Any]) -> list[Any]:
    """Change what stands in lists, however deep."""
    return [
        None
        if value is None
        else _each(value, make)
        if isinstance(value, list | tuple | set | frozenset)
        else make(value)
        for value in values
    ]


def _as_list(value: Any) -> Any:
    """Take a vector apart; what Arrow made of one beside other values might be rounded."""
    if not isinstance(value, np.ndarray):
        return value
    return [None if is_missing(each) else each for each in value.tolist()]
