"""Columns of type numeric: doubles where nothing is lost that matters, decimals else."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns import pgtypes as t
from pgmagic.columns.decoder import doubles
from pgmagic.columns.numeric import EXACT, to_decimal
from pgmagic.columns.scalars import text_of
from pgmagic.outcome import PgType

__all__ = ["numeric"]

MAX_DIGITS_128, MAX_DIGITS_256 = 38, 76


def numeric(
    pieces: Sequence[tuple[pa.ChunkedArray, PgType]], mode: Literal["float", "exact"]
) -> tuple[pa.ChunkedArray, str | None]:
    """Make one column out of numerics, and of the integers some databases have instead.

    Gives the column and a note where it is not what `mode` asked for.
    """
    chunks = [(chunk, type_) for values, type_ in pieces for chunk in values.chunks]
    if mode == "float":
        floats = []
        for chunk, type_ in chunks:
            if (array := _doubles(chunk, type_)) is None:
                break
            floats.append(array)
        else:
            return pa.chunked_array(floats, pa.float64()), None
    decimals = [_decimals(chunk, type_) for chunk, type_ in chunks]
    fitting = _decimal_type(value for values in decimals for value in values)
    if fitting is None:
        texts = [
            pa.array(
                [None if v is None else write(v) for v in chunk.to_pylist()], pa.large_string()
            )
            for chunk, type_ in chunks
            for write in [text_of(type_)]
        ]
        return (
            pa.chunked_array(texts, pa.large_string()),
            "text, because a value has more digits than a decimal holds, or is not a number",
        )
    arrays = [pa.array(values, fitting) for values in decimals]
    note = None if mode == "exact" else "exact decimals, because a float would round a value"
    return pa.chunked_array(arrays, fitting), note


def _doubles(chunk: pa.Array, type_: PgType) -> pa.Array | None:
    """Give the nearest doubles, or None where one would lose what matters."""
    if type_.oid != t.NUMERIC:
        span = pc.min_max(chunk).as_py()
        if span["min"] is not None and max(-span["min"], span["max"]) > EXACT:
            return None
        return chunk.cast(pa.float64())
    return doubles(chunk)


def _decimals(chunk: pa.Array, type_: PgType) -> list[Decimal | None]:
    read = to_decimal if type_.oid == t.NUMERIC else Decimal
    return [None if value is None else read(value) for value in chunk.to_pylist()]


def _decimal_type(values: Iterable[Decimal | None]) -> pa.DataType | None:
    """Find the decimal type that holds all values with the places each of them shows."""
    whole = places = 0
    for value in values:
        if value is None:
            continue
        if not value.is_finite():
            return None
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        places = max(places, -exponent)
        whole = max(whole, value.adjusted() + 1)
    if whole + places <= MAX_DIGITS_128:
        return pa.decimal128(MAX_DIGITS_128, places)
    return pa.decimal256(MAX_DIGITS_256, places) if whole + places <= MAX_DIGITS_256 else None
