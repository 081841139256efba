"""From values as they lie in memory to the Arrow columns that users see.

A column may come in pieces from several databases. What Arrow's type cannot hold exactly makes
the whole column text, all pieces of it, and a note says why: never a value that is not the
server's, never a lost result.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns import pgtypes as t
from pgmagic.columns.arrays import array_text, depth_of, nested, unpack
from pgmagic.columns.copybinary import arrow_type, column_of
from pgmagic.columns.numerics import numeric
from pgmagic.columns.options import FrameOptions
from pgmagic.columns.pgtypes import layout_of, wire_type
from pgmagic.columns.scalars import text_of
from pgmagic.columns.text import DATE_INFINITIES, DAY, TIMESTAMP_INFINITIES
from pgmagic.outcome import PgType

__all__ = ["Interpreted", "Piece", "interpret"]

EPOCH_DAYS: Final = 10_957  # from 1970-01-01 to PostgreSQL's 2000-01-01
EPOCH_MICROSECONDS: Final = EPOCH_DAYS * DAY
LARGEST: Final = 2**63 - 1
INTERVAL: Final = np.dtype([("microseconds", ">i8"), ("days", ">i4"), ("months", ">i4")])
MONTH_DAY_NANO: Final = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])

HEXADECIMAL: Final = np.array([list(b"%02x" % byte) for byte in range(256)], "u1")
UUID_DIGITS: Final = [i for i in range(36) if i not in (8, 13, 18, 23)]


class Piece(NamedTuple):
    """The values of one column from one database, and the type they have there."""

    values: pa.ChunkedArray
    type: PgType


class Interpreted(NamedTuple):
    """A column, and what the caption should say of it, if anything."""

    values: pa.ChunkedArray
    note: str | None = None


def interpret(pieces: Sequence[Piece], type_: PgType, options: FrameOptions) -> Interpreted:
    """Make one column of the agreed type out of its pieces."""
    type_ = wire_type(type_)
    pieces = [Piece(values, wire_type(source)) for values, source in pieces]
    if type_.kind == "array":
        return _array(pieces, type_, options)
    if type_.kind == "enum":
        return _enum(pieces, type_)
    reader = _READERS.get(type_.oid)
    if reader is not None:
        return reader(pieces, options)
    if type_.oid in _WRITTEN:
        return Interpreted(_texts(pieces))
    return Interpreted(_joined(pieces, arrow_type(layout_of(type_))))


def _joined(pieces: Sequence[Piece], type_: pa.DataType) -> pa.ChunkedArray:
    """Put the pieces one after the other; narrow numbers become wide ones."""
    if len(pieces) == 1 and pieces[0].values.type == type_:
        return pieces[0].values
    chunks = [
        chunk if chunk.type == type_ else chunk.cast(type_)
        for piece in pieces
        for chunk in piece.values.chunks
    ]
    return pa.chunked_array(chunks, type_)


def _texts(pieces: Sequence[Piece]) -> pa.ChunkedArray:
    """Write every value as PostgreSQL would."""
    chunks = []
    for piece in pieces:
        write = text_of(piece.type)
        chunks += [
            pa.array(
                [None if value is None else write(value) for value in chunk.to_pylist()],
                pa.large_string(),
            )
            for chunk in piece.values.chunks
        ]
    return pa.chunked_array(chunks, pa.large_string())


def _span(pieces: Sequence[Piece]) -> tuple[int, int]:
    """Give the smallest and the largest value, (0, 0) where there is none."""
    spans = [pc.min_max(piece.values).as_py() for piece in pieces]
    return (
        min((span["min"] for span in spans if span["min"] is not None), default=0),
        max((span["max"] for span in spans if span["max"] is not None), default=0),
    )


def _numeric(pieces: Sequence[Piece], options: FrameOptions) -> Interpreted:
    return Interpreted(*numeric([(p.values, p.type) for p in pieces], options.numeric))


def _date(pieces: Sequence[Piece], _: FrameOptions) -> Interpreted:
    smallest, largest = _span(pieces)
    if smallest in DATE_INFINITIES or largest in DATE_INFINITIES:
        return Interpreted(_texts(pieces), "text, because infinity is no date")
    days = _joined(pieces, pa.int32())
    return Interpreted(pc.add(days, pa.scalar(EPOCH_DAYS, pa.int32())).cast(pa.date32()))


def _timestamp(pieces: Sequence[Piece], *, tz: str | None = None) -> Interpreted:
    pieces = [_as_timestamp(piece) if piece.type.oid == t.DATE else piece for piece in pieces]
    smallest, largest = _span(pieces)
    if smallest in TIMESTAMP_INFINITIES or largest in TIMESTAMP_INFINITIES:
        return Interpreted(_texts(pieces), "text, because infinity is no time")
    if largest > LARGEST - EPOCH_MICROSECONDS:
        return Interpreted(_texts(pieces), "text, because the year is too far in the future")
    since_2000 = _joined(pieces, pa.int64())
    since_1970 = pc.add(since_2000, pa.scalar(EPOCH_MICROSECONDS, pa.int64()))
    return Interpreted(since_1970.cast(pa.timestamp("us", tz)))


def _as_timestamp(piece: Piece) -> Piece:
    """Turn dates to timestamps at midnight, in microseconds since 2000; infinity stays."""
    chunks = []
    for chunk in piece.values.chunks:
        days = chunk.cast(pa.int64())
        microseconds = pc.multiply(days, DAY)
        for day, moment in zip(DATE_INFINITIES, TIMESTAMP_INFINITIES, strict=True):
            microseconds = pc.if_else(pc.equal(days, day), moment, microseconds)
        chunks.append(microseconds)
    return Piece(pa.chunked_array(chunks, pa.int64()), t.BUILTIN[t.TIMESTAMP])


def _time(pieces: Sequence[Piece], _: FrameOptions) -> Interpreted:
    smallest, largest = _span(pieces)
    if not 0 <= smallest <= largest < DAY:
        return Interpreted(_texts(pieces), "text, because 24:00:00 is no time of day")
    return Interpreted(_joined(pieces, pa.int64()).cast(pa.time64("us")))


def _interval(pieces: Sequence[Piece], _: FrameOptions) -> Interpreted:
    chunks = []
    for chunk in _chunks(pieces):
        parts = np.frombuffer(chunk.buffers()[1] or b"", INTERVAL)[chunk.offset :][: len(chunk)]
        microseconds = parts["microseconds"].astype("<i8")
        microseconds[np.asarray(chunk.is_null())] = 0
        if np.any(np.abs(microseconds // 1000) > LARGEST // 1_000_000):
            return Interpreted(_texts(pieces), "text, because the interval is too long")
        values = np.empty(len(chunk), MONTH_DAY_NANO)
        values["months"] = parts["months"]
        values["days"] = parts["days"]
        values["nanoseconds"] = microseconds * 1000
        valid = pc.is_valid(chunk).buffers()[1]
        buffers = [valid, pa.py_buffer(values)]
        chunks.append(pa.Array.from_buffers(pa.month_day_nano_interval(), len(chunk), buffers))
    return Interpreted(pa.chunked_array(chunks, pa.month_day_nano_interval()))


def _uuids(pieces: Sequence[Piece]) -> pa.ChunkedArray:
    """Write uuids in groups of digits, a whole chunk at a time."""
    chunks = []
    for chunk in _chunks(pieces):
        raw = np.frombuffer(chunk.buffers()[1] or b"", "u1").reshape(-1, 16)
        raw = raw[chunk.offset :][: len(chunk)]
        text = np.full((len(raw), 36), ord("-"), "u1")
        text[:, UUID_DIGITS] = HEXADECIMAL[raw].reshape(-1, 32)
        offsets = np.arange(len(raw) + 1, dtype=np.int64) * 36
        buffers = [pc.is_valid(chunk).buffers()[1], pa.py_buffer(offsets), pa.py_buffer(text)]
        chunks.append(pa.Array.from_buffers(pa.large_string(), len(chunk), buffers))
    return pa.chunked_array(chunks, pa.large_string())


def _enum(pieces: Sequence[Piece], type_: PgType) -> Interpreted:
    """Number the labels in the enum's own order."""
    labels = pa.array(type_.labels, pa.large_string())
    values = _joined(pieces, pa.large_string())
    codes = pc.index_in(values, labels)
    if codes.null_count != values.null_count:
        return Interpreted(values, "text, because the enum has got a new label")
    chunks = [pa.DictionaryArray.from_arrays(chunk, labels, ordered=True) for chunk in codes.chunks]
    return Interpreted(
        pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.large_string(), ordered=True))
    )


def _array(pieces: Sequence[Piece], type_: PgType, options: FrameOptions) -> Interpreted:
    assert type_.element is not None
    shapes: list[tuple[int, ...] | None] = []
    leaves: list[Piece] = []
    for piece in pieces:
        assert piece.type.element is not None
        elements: list[bytes | None] = []
        for chunk in piece.values.chunks:
            for value in chunk.to_pylist():
                shape, found = (None, []) if value is None else unpack(value)
                shapes.append(shape)
                elements += found
        leaf = column_of(layout_of(piece.type.element), elements)
        leaves.append(Piece(pa.chunked_array([leaf]), piece.type.element))
    if (depth := depth_of(shapes)) is None:
        texts = pa.array(_array_texts(shapes, leaves), pa.large_string())
        note = "text, because its arrays differ in their number of dimensions"
        return Interpreted(pa.chunked_array([texts]), note)
    inner = interpret(leaves, type_.element, options)
    lists = nested(shapes, inner.values.combine_chunks(), depth)
    return Interpreted(pa.chunked_array([lists]), inner.note)


def _array_texts(
    shapes: Sequence[tuple[int, ...] | None], leaves: Sequence[Piece]
) -> Iterator[str | None]:
    elements = [
        None if value is None else write(value)
        for leaf in leaves
        for write in [text_of(leaf.type)]
        for value in leaf.values.to_pylist()
    ]
    start = 0
    for shape in shapes:
        if shape is None:
            yield None
            continue
        count = int(np.prod(shape)) if shape else 0
        yield array_text(shape, elements[start : start + count], str)
        start += count


def _chunks(pieces: Sequence[Piece]) -> Iterator[Any]:
    for piece in pieces:
        yield from piece.values.chunks


# What needs more than to be put together.
_READERS: Final[dict[int, Callable[[Sequence[Piece], FrameOptions], Interpreted]]] = {
    t.DATE: _date,
    t.INTERVAL: _interval,
    t.NUMERIC: _numeric,
    t.TIME: _time,
    t.TIMESTAMP: lambda pieces, _: _timestamp(pieces),
    t.UUID: lambda pieces, _: Interpreted(_uuids(pieces)),
    t.TIMESTAMPTZ: lambda pieces, options: _timestamp(pieces, tz=options.tz or "UTC"),
}

_WRITTEN: Final = {t.CHAR, t.CIDR, t.INET}  # text in Arrow, something else on the wire
