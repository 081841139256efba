"""What is in a column of Python objects: of which kinds its values are, and how deep its lists."""

import operator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Final
from uuid import UUID

import numpy as np
import pandas as pd

from pgmagic.columns.documents import is_missing
from pgmagic.columns.fitting import unknown

__all__ = ["UNZONED", "ZONED", "Contents"]

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
PLAIN: Final[dict[type, str | None]] = {
    type(None): None,
    str: "str",
    bytes: "bytes",
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "Decimal",
    date: "date",
    timedelta: "timedelta",
    UUID: "UUID",
}
EASY: Final = frozenset(PLAIN) | {datetime}  # whose zones are asked
LISTS: Final = frozenset({list, tuple, set, frozenset, type(None)})
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


@dataclass(slots=True)
class Contents:
    """What is in a column, as far as it has been looked at. Missing values have no kind.

    `depths` are those at which values stand, in how many lists; `deepest` counts lists in which
    nothing is as well. `dtypes` are those of vectors, `loose` says whether there are values outside
    of them, `wide` whether there is an int that is no bigint. `known` has the kinds of the types
    that had to be looked at one value at a time; without it all values are of plain types.
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
        if _has_nan(values, types):
            absent = is_missing if Decimal in types else _is_nan
            values = [None if absent(value) else value for value in values]
            types = set(map(type, values))
        if int in types:
            numbers = [value for value in values if type(value) is int]
            self.wide |= min(numbers) < -(2**63) or max(numbers) >= 2**63
        kinds = {kind for each in types if (kind := PLAIN.get(each)) is not None}
        if datetime in types:
            offsets = {value.utcoffset() for value in values if type(value) is datetime}
            kinds |= set(map(_zoning, offsets))
        if kinds:
            self.kinds |= kinds
            self.depths.add(depth)
            self.loose = True
        return values

    def _lists(self, values: list[Any], depth: int) -> list[Any]:
        self.deepest = max(self.deepest, depth + 1)
        together = list(chain.from_iterable(value for value in values if value is not None))
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
        if isinstance(value, pd.Timestamp):  # which has no utcoffset() beyond 9999
            return UNZONED if value.tzinfo is None else ZONED
        if kind == UNZONED and isinstance(value, datetime):
            return _zoning(value.utcoffset())
        if kind == "time" and value.tzinfo is not None:
            raise unknown(self.name, "a time of day with a time zone")
        return kind


def _has_nan(values: list[Any], types: set[type]) -> bool:
    if Decimal in types:  # one of which, sNaN, must not be compared
        return any(map(is_missing, values))
    return float in types and any(map(operator.ne, values, values))


def _is_nan(value: Any) -> bool:
    return bool(value != value)


def _zoning(offset: timedelta | None) -> str:
    return UNZONED if offset is None else ZONED
