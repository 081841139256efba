"""Name what rows say, in one short text that is equal where they are.

Every row becomes two numbers of 64 bits; their sums do not depend on the order of the rows. The
numbers mix hashes of the values and are no proof against somebody who looks for two results with
one name, nor is that what they are for.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns.pgtypes import wire_type
from pgmagic.outcome import Column, PgType

__all__ = ["content"]

Numbers = npt.NDArray[np.uint64]

SEEDS: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
MISSING: Final = 0x6A09E667F3BCC909  # stands for NULL
ROWS: Final = 1 << 18  # at once, so that a large result takes little more memory


def content(table: pa.Table, columns: Sequence[Column], *, ordered: bool) -> str:
    """Name the rows and the names and types of their columns; where `ordered`, the order too.

    NaN equals NaN, and -0.0 is not 0.0, as in what the server sends.
    """
    names = [[column.name, _type_name(column.type)] for column in columns]
    digest = hashlib.sha256(repr((names, table.num_rows, ordered)).encode())
    sums = [0, 0]
    for start in range(0, table.num_rows, ROWS):
        part = table.slice(start, ROWS)
        values = [_hashed(part.column(index), column.type) for index, column in enumerate(columns)]
        for lane, seed in enumerate(SEEDS):
            rows = np.full(part.num_rows, seed, np.uint64)
            for value in values:
                rows = _mixed(rows ^ value)
            if ordered:
                rows = _mixed(rows ^ _mixed(np.arange(start, start + len(rows), dtype=np.uint64)))
            sums[lane] = (sums[lane] + int(rows.sum(dtype=np.uint64))) % 2**64
    digest.update(b"%016x%016x" % tuple(sums))
    return digest.hexdigest()[:32]


def _hashed(values: pa.ChunkedArray, type_: PgType) -> Numbers:
    """Give one number for each value of a column."""
    arrow = values.type
    missing = values.is_null().to_numpy() if values.null_count else None
    if pa.types.is_fixed_size_binary(arrow) or pa.types.is_large_binary(arrow):
        numbers = _of_bytes(values, is_array=wire_type(type_).kind == "array")
    elif pa.types.is_large_string(arrow):
        numbers = _of_bytes(values.cast(pa.large_binary()))
    else:
        if values.null_count:
            values = pc.fill_null(values, False if pa.types.is_boolean(arrow) else 0)
        plain = np.ascontiguousarray(values.to_numpy())
        if plain.dtype.kind == "f":
            plain = np.where(np.isnan(plain), np.nan, plain.astype(np.float64))
            numbers = plain.view(np.uint64)
        else:
            numbers = plain.astype(np.int64).view(np.uint64)
    if missing is not None:
        numbers = np.where(missing, np.uint64(MISSING), numbers)
    return _mixed(numbers)


def _of_bytes(values: pa.ChunkedArray, *, is_array: bool = False) -> Numbers:
    """Hash every value that differs once."""
    encoded = values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    hashes = [
        # Of an array the bytes behind the first eight are the oid of its elements' type, which
        # may be another one after a restore.
        hashlib.blake2b(value[:8] + value[12:] if is_array else value, digest_size=8).digest()
        for value in encoded.dictionary.to_pylist()
    ]
    codes = encoded.indices.fill_null(0).to_numpy()
    if not hashes:
        return np.zeros(len(codes), np.uint64)
    numbers: Numbers = np.take(np.frombuffer(b"".join(hashes), np.uint64), codes)
    return numbers


def _mixed(numbers: Numbers) -> Numbers:
    """Let every bit of a number decide on every bit of the result: the end of splitmix64.

    https://doi.org/10.1145/2714064.2660195
    """
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _type_name(type_: PgType) -> str:
    labels = f"{type_.labels}" if type_.labels else ""
    return f"{type_.schema}.{type_.name}{labels}"
