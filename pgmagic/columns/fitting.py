"""PostgreSQL's type for a column of Arrow, and the data that fits it.

A type that is not known here is refused. That goes for Arrow's extension types above all: what they
are stored as is not what they mean.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pgmagic.columns.documents import document
from pgmagic.columns.numeric import from_decimal
from pgmagic.columns.rectangles import innermost, is_list, leaves, shapes
from pgmagic.errors import CellError

__all__ = ["Fitted", "cast", "documents", "fitted", "is_packed", "unknown"]

# Arrow's types, PostgreSQL's as format_type() writes them, and the Arrow type that goes there.
SCALARS: Final = {
    pa.null(): ("text", pa.large_string()),
    pa.bool_(): ("boolean", pa.bool_()),
    pa.int8(): ("smallint", pa.int16()),
    pa.int16(): ("smallint", pa.int16()),
    pa.int32(): ("integer", pa.int32()),
    pa.int64(): ("bigint", pa.int64()),
    pa.uint8(): ("smallint", pa.int16()),
    pa.uint16(): ("integer", pa.int32()),
    pa.uint32(): ("bigint", pa.int64()),
    pa.uint64(): ("numeric", pa.uint64()),
    pa.float16(): ("real", pa.float32()),
    pa.float32(): ("real", pa.float32()),
    pa.float64(): ("double precision", pa.float64()),
    pa.string(): ("text", pa.large_string()),
    pa.large_string(): ("text", pa.large_string()),
    pa.string_view(): ("text", pa.large_string()),
    pa.binary(): ("bytea", pa.large_binary()),
    pa.large_binary(): ("bytea", pa.large_binary()),
    pa.binary_view(): ("bytea", pa.large_binary()),
    pa.date32(): ("date", pa.date32()),
    pa.date64(): ("date", pa.date32()),
}
HINTS: Final = {
    "period": "series.dt.to_timestamp() gives the moment it begins, series.astype(str) its name",
    "interval": "its two ends are columns of their own, or text: series.astype(str)",
}
EARLIEST: Final = -210_866_803_200_000_000  # microseconds from 1970 to the Julian day 0
INEXACT: Final = "it has a value that PostgreSQL can't hold exactly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A column: its type in PostgreSQL, and values that are written as that type.

    A jsonb is text here. What Arrow has no type for, a uuid or a numeric of any length, is packed:
    bytes as they go to the server.
    """

    type: str
    values: pa.ChunkedArray


def is_packed(type_: str, arrow: pa.DataType) -> bool:
    """Whether values are bytes as they go to the server, though their type is not bytea."""
    return arrow == pa.large_binary() and type_ != "bytea"


def fitted(values: pa.ChunkedArray, name: str, packed: str | None = None) -> Fitted:
    """Find the type of a column, and bring its values into the form for it. Raises `CellError`.

    `packed` is the type of values, or of the elements of lists, that are packed already.
    """
    if pa.types.is_dictionary(values.type):
        chunks = [chunk.dictionary.take(chunk.indices) for chunk in values.chunks]
        values = pa.chunked_array(chunks, values.type.value_type)
    if isinstance(values.type, pa.BaseExtensionType):
        return _extension(values, name)
    element = innermost(values.type)
    if pa.types.is_struct(element) or pa.types.is_map(element):
        return documents(values.to_pylist(), name)
    if pa.types.is_decimal256(values.type):
        packed, numbers = "numeric", map(_numeric, values.to_pylist())
        values = pa.chunked_array([pa.array(numbers, pa.large_binary())])
    type_, arrow = _types(values.type, name, packed)
    values = cast(values, arrow, name)
    if is_list(arrow) and is_list(arrow.value_type):
        _check_shapes(values, name)
    if pa.types.is_timestamp(innermost(arrow)):
        _check_moments(values, name)
    return Fitted(type=type_, values=values)


def documents(values: Any, name: str) -> Fitted:
    """Make jsonb of dicts, and of lists with dicts in them. Raises `CellError`."""
    try:
        texts = [document(value) for value in values]
    except (TypeError, ValueError, RecursionError) as error:
        raise CellError(f"column {name}: it can't be written as json: {error}") from None
    return Fitted(type="jsonb", values=pa.chunked_array([pa.array(texts, pa.large_string())]))


def cast(
    values: pa.ChunkedArray, arrow: pa.DataType, name: str, reason: str = INEXACT
) -> pa.ChunkedArray:
    """Change the Arrow type of a column, but no value. Raises `CellError` with the reason."""
    if values.type == arrow:
        return values
    try:
        return pc.cast(values, arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise CellError(f"column {name}: {reason}") from None


def unknown(name: str, what: str) -> CellError:
    """Say that there is no type in PostgreSQL for a type of a frame."""
    hints = [hint for word, hint in HINTS.items() if word in what.lower()]
    return CellError(
        f"column {name}: no type of PostgreSQL is known for {what}",
        hint=hints[0] if hints else "series.astype(str) makes text of it",
    )


def _extension(values: pa.ChunkedArray, name: str) -> Fitted:
    meaning = values.type.extension_name
    storage = values.cast(values.type.storage_type)
    if meaning == "arrow.uuid":
        return Fitted(type="uuid", values=storage.cast(pa.large_binary()))
    if meaning == "arrow.json":
        return Fitted(type="jsonb", values=storage.cast(pa.large_string()))
    raise unknown(name, meaning)


def _numeric(value: Decimal | None) -> bytes | None:
    return None if value is None else from_decimal(value)


def _types(arrow: pa.DataType, name: str, packed: str | None) -> tuple[str, pa.DataType]:
    if packed is not None and not is_list(arrow):
        return packed, pa.large_binary()
    if (known := SCALARS.get(arrow)) is not None:
        return known
    if pa.types.is_dictionary(arrow):
        return _types(arrow.value_type, name, packed)
    if pa.types.is_timestamp(arrow):
        zone = "without" if arrow.tz is None else "with"
        return f"timestamp {zone} time zone", pa.timestamp("us", arrow.tz)
    if pa.types.is_time(arrow):
        return "time without time zone", pa.time64("us")
    if pa.types.is_duration(arrow):
        return "interval", pa.duration("us")
    if pa.types.is_decimal(arrow):
        return "numeric", pa.decimal128(38, max(0, arrow.scale))
    if pa.types.is_fixed_size_binary(arrow):
        return "bytea", pa.large_binary()
    if is_list(arrow):
        type_, element = _types(arrow.value_type, name, packed)
        # However many dimensions the arrays have, it is the same type.
        return f"{type_.removesuffix('[]')}[]", pa.list_(element)
    raise unknown(name, str(arrow))


def _check_moments(values: pa.ChunkedArray, name: str) -> None:
    """Refuse what is too early before it is sent; the earliest of all would become -infinity."""
    for chunk in values.chunks:
        earliest = pc.min(leaves(chunk).cast(pa.int64())).as_py()
        if earliest is not None and earliest < EARLIEST:
            raise CellError(f"column {name}: it has a time before 4713 BC, PostgreSQL's earliest")


def _check_shapes(values: pa.ChunkedArray, name: str) -> None:
    try:
        for chunk in values.chunks:
            shapes(chunk)
    except ValueError as error:
        raise CellError(
            f"column {name}: {error}",
            hint="series.map(json.dumps) makes json of them, which takes any lists",
        ) from None
