"""Read COPY … (FORMAT binary) in pure Python: rows of bytes in, columns of bytes out.

https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pgmagic.columns.pgtypes import WIDTHS, Layout

__all__ = ["BATCH_ROWS", "HEADER", "TRAILER", "DecodeError", "PythonDecoder", "arrow_type"]

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = SIGNATURE + bytes(8)  # no flags, no extension
TRAILER = b"\xff\xff"
MAX_EXTENSION = 1 << 16  # bytes; the server sends none
BATCH_ROWS = 65_536
BATCH_BYTES = 16 << 20

_ARROW = {
    Layout.BOOL: pa.bool_(),
    Layout.INT16: pa.int16(),
    Layout.INT32: pa.int32(),
    Layout.INT64: pa.int64(),
    Layout.UINT32: pa.uint32(),
    Layout.FLOAT32: pa.float32(),
    Layout.FLOAT64: pa.float64(),
    Layout.FIXED16: pa.binary(16),
    Layout.BYTES: pa.large_binary(),
    Layout.TEXT: pa.large_string(),
    Layout.JSONB: pa.large_string(),
}

_BIG_ENDIAN = {
    Layout.BOOL: "u1",
    Layout.INT16: ">i2",
    Layout.INT32: ">i4",
    Layout.INT64: ">i8",
    Layout.UINT32: ">u4",
    Layout.FLOAT32: ">f4",
    Layout.FLOAT64: ">f8",
}

_int16 = struct.Struct(">h")
_int32 = struct.Struct(">i")


class DecodeError(ValueError):
    """The bytes are not what PostgreSQL's binary format says they must be."""


def arrow_type(layout: Layout) -> pa.DataType:
    """Give the Arrow type in which a layout is kept."""
    return _ARROW[layout]


def column_of(layout: Layout, values: Sequence[bytes | None]) -> pa.Array:
    """Make one Arrow array of the bytes of one column."""
    type_ = arrow_type(layout)
    if (width := WIDTHS.get(layout)) is None:
        if layout is Layout.JSONB:
            values = [None if v is None else _without_version(v) for v in values]
        array = pa.array(values, pa.large_binary())
        if type_ == pa.large_binary():
            return array
        try:
            return array.cast(type_)
        except pa.ArrowInvalid as error:
            raise DecodeError(f"text that is not UTF-8: {error}") from None
    for value in values:
        if value is not None and len(value) != width:
            raise DecodeError(f"{len(value)} bytes where a {layout.name} has {width}")
    if layout is Layout.FIXED16:
        return pa.array(values, type_)
    filler = bytes(width)
    joined = b"".join([filler if value is None else value for value in values])
    numbers = np.frombuffer(joined, _BIG_ENDIAN[layout])
    native = (
        numbers != 0 if layout is Layout.BOOL else numbers.astype(numbers.dtype.newbyteorder("="))
    )
    missing = np.fromiter((value is None for value in values), bool, len(values))
    return pa.array(native, type_, mask=missing)


def _without_version(value: bytes) -> bytes:
    if value[:1] != b"\x01":
        raise DecodeError(f"jsonb of an unknown version: {value[:1]!r}")
    return value[1:]


class PythonDecoder:
    """Takes a COPY stream in pieces of any size, gives record batches.

    `keep` is how many rows are kept at most; more are read over and counted.
    Raises `DecodeError` for anything that is not such a stream.
    """

    def __init__(self, layouts: Sequence[Layout], *, keep: int | None = None) -> None:
        self._layouts = tuple(layouts)
        self._keep = keep
        self._buffer = bytearray()
        self._wanted = len(HEADER)  # bytes without which there is no use in trying
        self._begun = False
        self._ended = False
        self._values: list[list[bytes | None]] = [[] for _ in self._layouts]
        self._held = 0
        self._held_bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self.rows = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return
        done = 0
        if not self._begun:
            if (after := self._header()) is None:
                return
            done = after
        while not self._ended and (after := self._row(done)) is not None:
            done = after
        if self._ended and done != len(self._buffer):
            raise DecodeError("the stream goes on behind its end")
        del self._buffer[:done]
        self._wanted = max(0, self._wanted - done)

    def close(self) -> None:
        """Say that there are no more pieces."""
        if not self._ended:
            raise DecodeError("the stream breaks off")
        self._flush()

    def batches(self) -> list[pa.RecordBatch]:
        """Give the batches that are complete, and forget them."""
        batches, self._batches = self._batches, []
        return batches

    def _header(self) -> int | None:
        if not self._buffer.startswith(SIGNATURE):
            raise DecodeError("the stream has no COPY signature")
        flags, extension = struct.unpack_from(">iI", self._buffer, len(SIGNATURE))
        if flags & 0xFFFF0000:
            raise DecodeError(f"unknown COPY flags {flags:#x}")
        if extension > MAX_EXTENSION:
            raise DecodeError(f"a COPY header of {extension} bytes more")
        after = len(HEADER) + int(extension)
        if len(self._buffer) < after:
            self._wanted = after
            return None
        self._begun = True
        return after

    def _row(self, start: int) -> int | None:
        """Read one row; give where it ends, or None where it is not all there."""
        buffer, size = self._buffer, len(self._buffer)
        position = start + 2
        if position > size:
            self._wanted = position
            return None
        (fields,) = _int16.unpack_from(buffer, start)
        if fields == -1:
            self._ended = True
            return position
        if fields != len(self._layouts):
            raise DecodeError(f"a row of {fields} fields where {len(self._layouts)} were described")
        row: list[bytes | None] = []
        for _ in range(fields):
            if position + 4 > size:
                self._wanted = position + 4
                return None
            (length,) = _int32.unpack_from(buffer, position)
            position += 4
            if length < -1:
                raise DecodeError(f"a field of {length} bytes")
            if length == -1:
                row.append(None)
                continue
            if position + length > size:
                self._wanted = position + length
                return None
            row.append(bytes(buffer[position : position + length]))
            position += length
        self._take(row, position - start)
        return position

    def _take(self, row: list[bytes | None], size: int) -> None:
        self.rows += 1
        if self._keep is not None and self.rows > self._keep:
            return
        for values, value in zip(self._values, row, strict=True):
            values.append(value)
        self._held += 1
        self._held_bytes += size
        if self._held >= BATCH_ROWS or self._held_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        arrays = [column_of(*column) for column in zip(self._layouts, self._values, strict=True)]
        self._batches.append(batch_of(arrays, self._held))
        self._values = [[] for _ in self._layouts]
        self._held = self._held_bytes = 0


def batch_of(arrays: Sequence[pa.Array], rows: int) -> pa.RecordBatch:
    """Make a record batch; without columns it still knows how many rows it has."""
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(list(arrays), [str(i) for i in range(len(arrays))])
