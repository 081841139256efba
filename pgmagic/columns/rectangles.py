"""Lists of Arrow as arrays of PostgreSQL, which are rectangular, of any number of dimensions.

https://www.postgresql.org/docs/current/arrays.html
"""

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns.arrays import MAX_DIMENSIONS, Shape

__all__ = ["innermost", "is_list", "leaves", "pack", "shapes"]

NULL = struct.pack(">i", -1)


def is_list(arrow: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(arrow) for is_kind in kinds)


def innermost(arrow: pa.DataType) -> pa.DataType:
    """Give the type of the elements of lists, however deep."""
    while is_list(arrow):
        arrow = arrow.value_type
    return arrow


def leaves(values: pa.Array) -> pa.Array:
    """Give the elements of all lists, end to end."""
    while is_list(values.type):
        values = values.flatten()
    return values


def shapes(values: pa.Array) -> list[Shape]:
    """Give the lengths of each list's dimensions. Raises `ValueError` for what is no rectangle."""
    levels: list[Iterator[int | None]] = []
    while is_list(values.type):
        levels.append(iter(pc.list_value_length(values).to_pylist()))
        values = values.flatten()
    if len(levels) > MAX_DIMENSIONS:
        raise ValueError(f"PostgreSQL has no arrays of more than {MAX_DIMENSIONS} dimensions")
    outermost, *inner = levels
    return [_shape(length, inner) for length in outermost]


def _shape(length: int | None, inner: Sequence[Iterator[int | None]]) -> Shape:
    if not length:
        return None if length is None else ()
    shape = [length]
    for level in inner:
        lengths = set(islice(level, math.prod(shape)))
        if len(lengths) > 1:
            raise ValueError("it has lists of lists of several lengths: no array can be that")
        (common,) = lengths
        if not common:
            raise ValueError("it has lists of lists in which nothing is: no array can be that")
        shape.append(common)
    return tuple(shape)


def pack(shapes: Sequence[Shape], oid: int, elements: Sequence[bytes]) -> list[bytes | None]:
    """Write arrays in binary form, of elements of type `oid`, each behind its length."""
    arrays: list[bytes | None] = []
    following = iter(elements)
    for shape in shapes:
        if shape is None:
            arrays.append(None)
            continue
        own = list(islice(following, math.prod(shape) if shape else 0))
        dimensions = [struct.pack(">ii", length, 1) for length in shape]
        header = struct.pack(">iiI", len(shape), int(NULL in own), oid)
        arrays.append(b"".join([header, *dimensions, *own]))
    return arrays
