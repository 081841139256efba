"""Rows as numbers: two rows have the same number exactly where all their values are the same.

Values are numbered by a dictionary, which compares them; no hash decides alone. Same is what has
the same text: NULL is NULL, NaN is NaN whatever its bits, and -0.0 is not 0.0.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns import pgtypes as t
from pgmagic.columns.pgtypes import wire_type
from pgmagic.outcome import PgType

__all__ = ["Numbers", "comparable", "differ", "numbered", "row_numbers", "surplus"]

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

ROOM: Final = 2**62  # numbers that are multiplied stay below this
SCALE: Final = (6, 7)  # the bytes of a numeric that say how many digits are written
ELEMENT: Final = (8, 9, 10, 11)  # those of an array with the oid of its elements' type


def comparable(values: pa.ChunkedArray, type_: PgType, *, exact: bool) -> pa.ChunkedArray:
    """Give the values of a column in a form in which the same values have the same bytes.

    A numeric is the same as one that has more zeros behind its point, unless `exact`. An array
    is the same where the type of its elements has another oid, as it has after a restore.
    """
    if pa.types.is_floating(values.type):
        whole = pa.int64() if values.type == pa.float64() else pa.int32()
        nan = pa.scalar(float("nan"), values.type)
        one_nan = pc.if_else(pc.is_nan(values), nan, values)
        return pa.chunked_array([chunk.view(whole) for chunk in one_nan.chunks], whole)
    arriving = wire_type(type_)
    if arriving.kind == "array":
        return _without(ELEMENT, values)
    if arriving.oid == t.NUMERIC and not exact:
        return _without(SCALE, values)
    return values


def differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say of two columns of the same length, value by value, whether they differ."""
    equal = pc.fill_null(pc.equal(one, other), False)
    if one.null_count and other.null_count:
        equal = pc.or_(equal, pc.and_(pc.is_null(one), pc.is_null(other)))
    return ~np.asarray(equal.to_numpy(), np.bool_)


def numbered(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Numbers:
    """Number the values of two columns, one behind the other: 0, 1, 2 …, NULL as any other."""
    together = pa.chunked_array([*one.chunks, *other.chunks], one.type)
    encoded = together.dictionary_encode("encode")
    parts = [chunk.indices.to_numpy() for chunk in encoded.chunks]
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def row_numbers(columns: Sequence[Numbers], rows: int) -> Numbers:
    """Number rows by the numbers of their values: 0, 1, 2 … Rows of no columns are all the same."""
    numbers, count = np.zeros(rows, np.int64), 1
    for column in columns:
        width = int(column.max(initial=0)) + 1
        if count * width >= ROOM:
            numbers, count = _dense(numbers)
        numbers = numbers * width + column
        count *= width
    return _dense(numbers)[0]


def surplus(one: Numbers, other: Numbers) -> tuple[Numbers, Numbers]:
    """Give the places of what either has more often than the other, duplicates counted."""
    size = max(int(one.max(initial=-1)), int(other.max(initial=-1))) + 1
    counts = np.bincount(one, minlength=size), np.bincount(other, minlength=size)
    return (
        np.flatnonzero(_occurrence(one, counts[0]) >= counts[1][one]),
        np.flatnonzero(_occurrence(other, counts[1]) >= counts[0][other]),
    )


def _occurrence(numbers: Numbers, counts: Numbers) -> Numbers:
    """Say of each place how often its number stood before it."""
    order = np.argsort(numbers, kind="stable")
    starts = np.cumsum(counts) - counts
    occurrence = np.empty(len(numbers), np.int64)
    occurrence[order] = np.arange(len(numbers)) - starts[numbers[order]]
    return occurrence


def _dense(numbers: Numbers) -> tuple[Numbers, int]:
    """Number the numbers that there are: 0, 1, 2 … Give also how many."""
    encoded = pa.array(numbers).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _without(places: Sequence[int], values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Forget some bytes of every value that is as long."""
    return pa.chunked_array([_zeroed(chunk, places) for chunk in values.chunks], values.type)


def _zeroed(chunk: pa.Array, places: Sequence[int]) -> pa.Array:
    valid, offsets, data = chunk.buffers()
    if data is None or not len(chunk):
        return chunk
    bounds = np.frombuffer(offsets, np.int64)[chunk.offset :][: len(chunk) + 1]
    starts = bounds[:-1][np.diff(bounds) > max(places)]
    plain = np.frombuffer(data, np.uint8).copy()
    for byte in places:
        plain[starts + byte] = 0
    buffers = [valid, offsets, pa.py_buffer(plain)]
    return pa.Array.from_buffers(chunk.type, len(chunk), buffers, offset=chunk.offset)
