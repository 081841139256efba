"""A few values as text, to be shown side by side."""

from collections.abc import Callable, Sequence
from typing import Any

from pgmagic.columns.arrays import array_text, unpack
from pgmagic.columns.copybinary import column_of
from pgmagic.columns.pgtypes import layout_of, wire_type
from pgmagic.columns.scalars import text_of
from pgmagic.outcome import PgType

__all__ = ["written"]


def written(values: Sequence[Any], type_: PgType) -> list[str]:
    """Write values, as they lie in memory, as PostgreSQL does.

    What would be taken for NULL, or for nothing, stands in quotes.
    """
    write = _writer(wire_type(type_))
    return ["NULL" if value is None else _quoted(write(value)) for value in values]


def _writer(type_: PgType) -> Callable[[Any], str]:
    if type_.kind != "array" or type_.element is None:
        return text_of(type_)
    layout, write = layout_of(type_.element), text_of(wire_type(type_.element))

    def write_array(value: bytes) -> str:
        shape, elements = unpack(value)
        texts = [
            None if element is None else write(element)
            for element in column_of(layout, elements).to_pylist()
        ]
        return array_text(shape, texts, str)

    return write_array


def _quoted(text: str) -> str:
    return f'"{text}"' if text == "NULL" or text != text.strip() or not text else text
