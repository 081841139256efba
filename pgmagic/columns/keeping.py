"""Rows as they came, as a Parquet file and back: the same table, down to its last bit.

Values lie in the file as PostgreSQL sent them, since a frame is made of those; only dates and
times, which every reader of Parquet knows, are written as such where they are finite.
https://parquet.apache.org/docs/file-format/types/logicaltypes/
"""

from collections.abc import Collection, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pgmagic.columns import pgtypes as t
from pgmagic.columns.copybinary import arrow_type, batch_of
from pgmagic.columns.interpret import EPOCH_DAYS, EPOCH_MICROSECONDS, LARGEST
from pgmagic.columns.names import unique_names
from pgmagic.columns.pgtypes import layout_of, wire_type
from pgmagic.columns.text import DATE_INFINITIES, TIMESTAMP_INFINITIES
from pgmagic.outcome import Column

__all__ = ["pack", "unpack"]

MOMENTS: Final = {t.TIMESTAMP: pa.timestamp("us"), t.TIMESTAMPTZ: pa.timestamp("us", "UTC")}


def pack(table: pa.Table, columns: Sequence[Column]) -> bytes:
    """Write rows as `read` gave them into the bytes of a Parquet file. They have columns."""
    names, _ = unique_names([column.name for column in columns])
    arrays = [
        _dated(table.column(index), wire_type(column.type).oid)
        for index, column in enumerate(columns)
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, names=names), sink, compression="zstd")
    return bytes(sink.getvalue())


def unpack(data: bytes, columns: Sequence[Column], rows: int) -> pa.Table:
    """Read what `pack` wrote. `data` is not looked at where there are no rows or no columns.

    Raises `ValueError` where it is not what these columns and rows were packed into.
    """
    types = [arrow_type(layout_of(column.type)) for column in columns]
    names = [str(index) for index in range(len(columns))]
    if not columns:
        return pa.Table.from_batches([batch_of([], rows)])
    if not rows:
        return pa.schema(list(zip(names, types, strict=True))).empty_table()
    try:
        found = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"their file is no Parquet file: {error}") from None
    if (found.num_rows, found.num_columns) != (rows, len(columns)):
        raise ValueError("their file holds other rows or columns than the receipt says")
    arrays = [_undated(found.column(index)) for index in range(len(columns))]
    if [array.type for array in arrays] != types:
        raise ValueError("their file holds columns of other types than the receipt says")
    return pa.table(arrays, names=names)


def _dated(values: pa.ChunkedArray, oid: int) -> pa.ChunkedArray:
    """Write a date or a moment as one, where all of them are finite and in Arrow's range."""
    if oid == t.DATE and _within(values, DATE_INFINITIES, EPOCH_DAYS, 2**31 - 1):
        return pc.add(values, pa.scalar(EPOCH_DAYS, pa.int32())).cast(pa.date32())
    if oid in MOMENTS and _within(values, TIMESTAMP_INFINITIES, EPOCH_MICROSECONDS, LARGEST):
        return pc.add(values, pa.scalar(EPOCH_MICROSECONDS, pa.int64())).cast(MOMENTS[oid])
    return values


def _undated(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_date32(values.type):
        return pc.subtract(values.cast(pa.int32()), pa.scalar(EPOCH_DAYS, pa.int32()))
    if pa.types.is_timestamp(values.type):
        return pc.subtract(values.cast(pa.int64()), pa.scalar(EPOCH_MICROSECONDS, pa.int64()))
    return values


def _within(values: pa.ChunkedArray, infinities: Collection[int], epoch: int, largest: int) -> bool:
    span = pc.min_max(values).as_py()
    smallest, greatest = span["min"], span["max"]
    if smallest is None:
        return True
    return smallest not in infinities and greatest not in infinities and greatest <= largest - epoch
