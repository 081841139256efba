"""Columns of Python objects, of which pandas says nothing but that they are objects.

What is in one is found out here and not left to Arrow, which goes by the first values: it takes a
time without a zone for one in UTC, cuts a moment to its day beside a day, and drops the zone of a
time of day. Here all values are of one kind, and the kind is known, or the column is refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from itertools import islice
from typing import Any, Final
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa

from pgmagic.columns.documents import is_missing
from pgmagic.columns.fitting import INEXACT, Fitted, documents, fitted, unknown
from pgmagic.columns.numeric import from_decimal
from pgmagic.columns.rectangles import leaves
from pgmagic.errors import CellError

__all__ = ["of_objects", "surrogates"]

ZONED: Final = "times with a time zone"
UNZONED: Final = "times without a time zone"

# The first that fits decides: True and np.timedelta64 are ints as well, and a datetime a date.
KINDS: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((timedelta, np.timedelta64), "timedelta"),
    ((bool, np.bool_), "bool"),
    ((int, np.integer), "int"),
    ((float, np.float16, np.float32), "float"),
    ((Decimal,), "Decimal"),
    ((str,), "str"),
    ((bytes, bytearray, memoryview), "bytes"),
    ((datetime, np.datetime64), UNZONED),
    ((date,), "date"),
    ((time,), "time"),
    ((UUID,), "UUID"),
    ((dict,), "dict"),
)
# Most values are of these very types, and are quickly looked at together.
PLAIN: Final[dict[type, Any]] = {
    type(None): None,
    str: "str",
    bytes: "bytes",
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "Decimal",
    date: "date",
    UUID: "UUID",
}
EASY: Final = frozenset(PLAIN)
LISTS: Final = frozenset({list, tuple, set, frozenset, type(None)})
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
# NumPy's arrays of these are handed to Arrow as they are: there may be millions of values in them.
VECTORS: Final = {
    np.dtype(name): kind
    for kind, names in {
        "bool": ["bool"],
        "int": ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"],
        "float": ["float16", "float32", "float64"],
    }.items()
    for name in names
}


def of_objects(series: "pd.Series[Any]", name: str) -> Fitted:
    """Find the type of a column of objects. Raises `CellError` where there is none for all."""
    contents = _Contents(name)
    values = contents.take_all(list(series))
    if "dict" in contents.kinds:
        return documents(series, name)
    if len(contents.depths) > 1:
        raise CellError(f"column {name}: its lists are not all of one depth")
    return _of_kind(contents, values, _common(contents.kinds, name), name)


@dataclass(slots=True)
class _Contents:
    """What is in a column, as far as it has been looked at. Missing values have no kind.

    `dtypes` are those of vectors, `loose` says whether there are values outside of them, `wide`
    whether there is an int that is no bigint.
    """

    name: str
    kinds: set[str] = field(default_factory=set)
    depths: set[int] = field(default_factory=set)
    deepest: int = 0
    dtypes: set[np.dtype[Any]] = field(default_factory=set)
    loose: bool = False
    wide: bool = False
    known: dict[type, str] = field(default_factory=dict)

    def take_all(self, values: list[Any], depth: int = 0) -> list[Any]:
        """Look at values; give them with lists as lists, and None for what is missing.

        Where nothing is to be changed, which is most often so, it is the same list.
        """
        types = set(map(type, values))
        if types <= LISTS:
            return self._lists(values, depth) if types - {type(None)} else values
        if not types <= EASY:
            return [self._take(value, depth) for value in values]
        if (float in types or Decimal in types) and any(map(is_missing, values)):
            values = [None if is_missing(value) else value for value in values]
            types = set(map(type, values))
        if int in types:
            numbers = [value for value in values if type(value) is int]
            self.wide |= min(numbers) < -(2**63) or max(numbers) >= 2**63
        if kinds := {PLAIN[each] for each in types} - {None}:
            self.kinds |= kinds
            self.depths.add(depth)
            self.loose = True
        return values

    def _lists(self, values: list[Any], depth: int) -> list[Any]:
        self.deepest = max(self.deepest, depth + 1)
        together = [each for value in values if value is not None for each in value]
        taken = self.take_all(together, depth + 1)
        if taken is together:
            return values
        following = iter(taken)
        return [None if each is None else list(islice(following, len(each))) for each in values]

    def _take(self, value: Any, depth: int) -> Any:
        if isinstance(value, list | tuple | set | frozenset):
            return self._lists([value], depth)[0]
        if hasattr(value, "__array__") and not isinstance(value, np.generic):
            return self._array(value, depth)
        if is_missing(value):
            return None
        kind = self._kind(value)
        self.kinds.add(kind)
        self.depths.add(depth)
        self.loose = True
        self.wide |= kind == "int" and not -(2**63) <= int(value) < 2**63
        return value

    def _array(self, value: Any, depth: int) -> Any:
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return self._take(value[()], depth)
        is_vector = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype in VECTORS
        if is_vector and value.size:
            self.kinds.add(VECTORS[value.dtype])
            self.dtypes.add(value.dtype)
            self.depths.add(depth + 1)
            return value
        try:
            values = list(value)
        except TypeError:
            raise unknown(self.name, type(value).__name__) from None
        return self._take(values, depth)

    def _kind(self, value: Any) -> str:
        kind = self.known.get(type(value))
        if kind is None:
            kind = next((kind for types, kind in KINDS if isinstance(value, types)), None)
            if kind is None:
                raise unknown(self.name, type(value).__name__)
            self.known[type(value)] = kind
        if kind == UNZONED and isinstance(value, datetime) and value.utcoffset() is not None:
            return ZONED
        if kind == "time" and value.tzinfo is not None:
            raise unknown(self.name, "a time of day with a time zone")
        return kind


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


def _of_kind(contents: _Contents, values: list[Any], kind: str | None, name: str) -> Fitted:
    depth = next(iter(contents.depths), contents.deepest)
    packed, make = _way(kind, contents.wide)
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


def _way(kind: str | None, wide: bool) -> tuple[str | None, Callable[[Any], Any] | None]:
    """Tell what is packed, as which type, and what becomes of each value on its way to Arrow."""
    if kind == "Decimal" or (kind == "int" and wide):
        return "numeric", _numeric
    if kind == "UUID":
        return "uuid", lambda value: value.bytes
    if kind == "float":
        return None, _exactly
    if kind == "bytes":
        return None, bytes
    if kind in (ZONED, UNZONED, "timedelta"):
        return None, _whole_microseconds
    return None, None


def _numeric(value: Any) -> bytes:
    return from_decimal(value if isinstance(value, Decimal) else Decimal(int(value)))


def _exactly(value: Any) -> float:
    if (number := float(value)) != value:
        raise ValueError("a float would round it")
    return number


def _whole_microseconds(value: Any) -> Any:
    """Refuse what Arrow would cut off."""
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    elif isinstance(value, np.timedelta64):
        value = pd.Timedelta(value)
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise ValueError("finer than a microsecond")
    return value


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


def surrogates(name: str, error: UnicodeEncodeError) -> CellError:
    """Say which half of a pair stands alone in a text, and where."""
    half = error.object[error.start]
    return CellError(
        f"column {name}: it has a text with U+{ord(half):04X} in it, half of a character",
        hint="series.str.encode('utf-8', 'replace').str.decode('utf-8') puts ? in its place",
    )
