"""Values of the notebook, as plain Python values.

NumPy, pandas, Arrow and Polars are recognised by where a type comes from, so that none of them has
to be imported. NA, NaT and None all mean NULL. NaN stays: only the type of its parameter decides.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, TypeAlias
from uuid import UUID

__all__ = ["Unsendable", "is_untyped", "plain"]

DEPTH_MAX = 64  # of lists within lists; PostgreSQL's arrays have six dimensions, JSON nests more

SENT_AS_THEY_ARE = (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    UUID,
)
Ids: TypeAlias = tuple[int, ...]  # of the containers around a value
NOT_SENDABLE = re.compile(r"[\x00\ud800-\udfff]")


class Unsendable(ValueError):
    """PostgreSQL has no value for this. The message shows no value."""


def plain(value: object) -> object:
    """Give the plain Python value that means the same.

    Scalars become None, bool, int, float, Decimal, str, bytes, date, datetime, time, timedelta,
    UUID or an address of `ipaddress`; an Enum its value; a path its text; a Mapping a dict; a
    tuple a tuple; a list, set, Series, Index or array a list. Raises `Unsendable` for what
    PostgreSQL has no value for, and where digits would be lost. The message shows no value.
    """
    return _plain(value, ())


def is_untyped(value: object) -> bool:
    """Whether nothing in a plain value tells its type: None, and lists of nothing else."""
    if isinstance(value, list | tuple):
        return all(is_untyped(item) for item in value)
    return value is None


def _plain(value: Any, above: Ids) -> object:
    kind = type(value)
    if kind in {type(None), bool, int, float, bytes, date, time, UUID}:
        return value
    if kind is str:
        return _text(value)
    if id(value) in above or len(above) == DEPTH_MAX:
        raise Unsendable("it holds itself, or is nested too deeply")
    above = (*above, id(value))
    if (foreign := FOREIGN.get(kind.__module__.partition(".")[0])) is not None:
        return foreign(value, above)
    return _of_standard_library(value, above)


def _of_standard_library(value: Any, above: Ids) -> object:
    match value:
        case Enum():
            return _plain(value.value, above)
        case str():
            return _text(str(value))
        case int():
            return int(value)
        case float():
            return float(value)
        case Decimal():
            return Decimal("NaN") if value.is_snan() else value
        case datetime() | date() | time() | timedelta():
            return value
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case os.PathLike():
            return _plain(os.fspath(value), above)
        case Mapping():
            return {_key(key): _plain(item, above) for key, item in value.items()}
        case tuple():
            return tuple(_plain(item, above) for item in value)
    if isinstance(value, SENT_AS_THEY_ARE):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        raise Unsendable(
            f"{_a(value)} is a dataclass; name one of its fields, or make a dict of it"
        )
    if isinstance(value, AbstractSet):
        # A set of texts has another order in every process, and a recording is found by its values.
        return sorted((_plain(item, above) for item in value), key=repr)
    if isinstance(value, list) or _is_sequence(value):
        return [_plain(item, above) for item in value]
    raise Unsendable(f"{_a(value)} is nothing that PostgreSQL has a value for")


def _of_numpy(value: Any, above: Ids) -> object:
    kind = getattr(value, "dtype", None)
    if kind is None:
        raise Unsendable(f"{_a(value)} is nothing that PostgreSQL has a value for")
    if kind.names is not None:
        raise Unsendable("a structured array has fields; name one of them")
    if kind.kind in "mM":
        return _plain(_microseconds(value), above)
    if kind.kind == "f":
        value = value.astype("float64")  # tolist() gives a longdouble back as it is
    items = value.tolist()
    if type(items) is type(value):
        raise Unsendable(f"{_a(value)} is nothing that PostgreSQL has a value for")
    return _plain(items, above)


def _microseconds(value: Any) -> object:
    """Bring datetime64 and timedelta64 to PostgreSQL's resolution, and into Python's range."""
    unit = value.dtype.name.partition("[")[2].rstrip("]")
    if value.dtype.kind == "M":
        result = value.astype("datetime64[D]" if unit in {"Y", "M", "W", "D"} else "datetime64[us]")
    elif unit in {"Y", "M"}:
        raise Unsendable("months and years of timedelta64 have no length; write an interval")
    else:
        result = value.astype("timedelta64[us]")
    if ((result.astype(value.dtype) != value) & (value == value)).any():  # NaT is unequal to itself
        raise Unsendable("it has digits beyond microseconds, which PostgreSQL does not keep")
    items = result.tolist()
    if any(isinstance(item, int) for item in _flat(items)):
        raise Unsendable("it is outside the years 1 to 9999, which Python's dates can hold")
    return items


def _flat(items: object) -> Iterator[object]:
    if isinstance(items, list):
        for item in items:
            yield from _flat(item)
    else:
        yield items


def _of_pandas(value: Any, above: Ids) -> object:
    name = type(value).__name__
    if name in {"NAType", "NaTType"}:
        return None
    if name in {"Timestamp", "Timedelta"}:
        if value.nanosecond if name == "Timestamp" else value.nanoseconds:
            raise Unsendable(
                "it has nanoseconds, which PostgreSQL does not keep; take its floor('us')"
            )
        return value.to_pydatetime() if name == "Timestamp" else value.to_pytimedelta()
    if name == "DataFrame":
        raise Unsendable("a DataFrame is no single value; name one of its columns")
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), above)
    raise Unsendable(f"{_a(value)} of pandas has no counterpart; give its text or its parts")


def _of_arrow(value: Any, above: Ids) -> object:
    for method in ("as_py", "to_pylist", "to_list"):  # Arrow's scalars and arrays, Polars' Series
        if hasattr(value, method) and not hasattr(value, "columns"):
            return _plain(getattr(value, method)(), above)
    raise Unsendable(f"{_a(value)} is no single value; name one of its columns")


def _of_asyncpg(value: Any, above: Ids) -> object:
    if type(value).__name__ == "Record":
        return tuple(_plain(item, above) for item in value)
    return value  # Range, BitString, Point …: the driver's own types for PostgreSQL's


FOREIGN = {
    "numpy": _of_numpy,
    "pandas": _of_pandas,
    "pyarrow": _of_arrow,
    "polars": _of_arrow,
    "asyncpg": _of_asyncpg,
}


def _text(value: str) -> str:
    if NOT_SENDABLE.search(value):
        raise Unsendable("it has a character that PostgreSQL's text can't hold")
    return value


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(str(key))
    raise Unsendable("a key of it is no string, and a JSON object has no others")


def _is_sequence(value: Any) -> bool:
    """Whether it can be read twice: a range, a deque, an array, but no generator."""
    return isinstance(value, Iterable) and hasattr(value, "__len__")


def _a(value: object) -> str:
    """Name a value's type with its article."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
