"""PostgreSQL's arrays: from the wire to Arrow lists, every dimension and NULL kept.

A type such as int4[] says nothing of dimensions: each value has its own. Lower bounds are not
kept, because a list has none.
https://www.postgresql.org/docs/current/arrays.html
"""

import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from pgmagic.columns.copybinary import DecodeError

__all__ = ["Shape", "array_text", "depth_of", "nested", "parse", "unpack"]

MAX_DIMENSIONS = 6

Shape = tuple[int, ...] | None
"""The lengths of an array's dimensions, outermost first; () if it is empty, None if NULL."""

_header = struct.Struct(">iiI")
_dimension = struct.Struct(">ii")
_length = struct.Struct(">i")


def unpack(value: bytes) -> tuple[tuple[int, ...], list[bytes | None]]:
    """Take a binary array apart: its shape, and its elements in reading order."""
    try:
        dimensions, _, _ = _header.unpack_from(value)
        position = _header.size
        if not 0 <= dimensions <= MAX_DIMENSIONS:
            raise DecodeError(f"an array of {dimensions} dimensions")
        lengths = []
        for _ in range(dimensions):
            lengths.append(_dimension.unpack_from(value, position)[0])
            position += _dimension.size
        elements: list[bytes | None] = []
        if any(length <= 0 for length in lengths):
            raise DecodeError("an array with an empty dimension")
        count = math.prod(lengths) if lengths else 0
        if count * _length.size > len(value) - position:
            raise DecodeError(f"an array of {count} elements in {len(value)} bytes")
        for _ in range(count):
            (length,) = _length.unpack_from(value, position)
            position += _length.size
            if length == -1:
                elements.append(None)
                continue
            if length < 0 or position + length > len(value):
                raise DecodeError(f"an array element of {length} bytes")
            elements.append(value[position : position + length])
            position += length
    except struct.error:
        raise DecodeError(f"an array that breaks off after {len(value)} bytes") from None
    if position != len(value):
        raise DecodeError("an array with bytes behind its end")
    return tuple(lengths), elements


def depth_of(shapes: Iterable[Shape]) -> int | None:
    """Give the number of dimensions that all arrays have; None where they do not agree.

    An empty array agrees with any.
    """
    depths = {len(shape) for shape in shapes if shape}
    if len(depths) > 1:
        return None
    return depths.pop() if depths else 1


def nested(shapes: Sequence[Shape], leaf: pa.Array, depth: int) -> pa.Array:
    """Make lists of lists of a flat array of all elements."""
    values = leaf
    for level in reversed(range(1, depth)):
        offsets = [0]
        for shape in shapes:
            if shape:
                for _ in range(math.prod(shape[:level])):
                    offsets.append(offsets[-1] + shape[level])
        values = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
    offsets = [0]
    for shape in shapes:
        offsets.append(offsets[-1] + (shape[0] if shape else 0))
    missing = pa.array([shape is None for shape in shapes], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=missing)


_PLAIN = re.compile(r'[^\s{},"\\]+')


def array_text(
    shape: Sequence[int], elements: Sequence[object], write: Callable[[object], str]
) -> str:
    """Write an array as PostgreSQL does: `{1,NULL,"two words"}`."""
    if not shape:
        return "{}"

    def quoted(element: object) -> str:
        if element is None:
            return "NULL"
        text = write(element)
        if _PLAIN.fullmatch(text) and text.upper() != "NULL":
            return text
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    parts = [quoted(element) for element in elements]
    for length in reversed(shape):
        parts = ["{" + ",".join(parts[i : i + length]) + "}" for i in range(0, len(parts), length)]
    return parts[0]


def parse(text: str, delimiter: str = ",") -> tuple[tuple[int, ...], list[str | None]]:
    """Read an array's text: its shape, and its elements in reading order."""
    if text.startswith("["):
        text = text.partition("=")[2]  # lower bounds
    token = re.compile(
        rf'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<brace>[{{}}])|{re.escape(delimiter)}'
        rf"|(?P<plain>(?:[^{{}}\"\\{re.escape(delimiter)}]|\\.)+)",
        re.DOTALL,
    )
    elements: list[str | None] = []
    lengths: list[int] = []  # of each dimension, counted where it is met first
    counts: list[int] = []  # of the braces that are open
    position = 0
    while position < len(text):
        found = token.match(text, position)
        if found is None:
            raise DecodeError("the text of an array that is not well formed")
        position = found.end()
        if found["brace"] == "{":
            if counts:
                counts[-1] += 1
            counts.append(0)
        elif found["brace"] == "}":
            if not counts:
                raise DecodeError("the text of an array with a brace too many")
            depth = len(counts) - 1
            while len(lengths) <= depth:
                lengths.append(0)
            lengths[depth] = counts.pop()
        elif found.lastgroup in ("quoted", "plain") and counts:
            counts[-1] += 1
            raw = found[found.lastgroup]
            is_null = found.lastgroup == "plain" and raw.upper() == "NULL"
            elements.append(None if is_null else re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL))
    if counts:
        raise DecodeError("the text of an array with a brace too few")
    return (tuple(lengths) if elements else ()), elements


def pack_texts(shape: Sequence[int], elements: Sequence[str | None]) -> bytes:
    """Write an array of text in binary form, as the server would have sent it."""
    parts = [_header.pack(len(shape), int(None in elements), 25)]
    parts += [_dimension.pack(length, 1) for length in shape]
    for element in elements:
        encoded = None if element is None else element.encode()
        parts.append(_length.pack(-1 if encoded is None else len(encoded)) + (encoded or b""))
    return b"".join(parts)
