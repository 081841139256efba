"""The columns of a file, which are decided before the first row is read.

A frame may look at all values before it chooses a dtype. A file can't: a value that does not fit
its column stops the export with an error that says what to do, and is never changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pgmagic.columns import pgtypes as t
from pgmagic.columns.arrays import array_text, unpack
from pgmagic.columns.copybinary import arrow_type, column_of
from pgmagic.columns.interpret import Piece, interpret
from pgmagic.columns.names import unique_names
from pgmagic.columns.options import FrameOptions
from pgmagic.columns.pgtypes import array_of, layout_of, wire_type
from pgmagic.columns.scalars import text_of
from pgmagic.errors import ExportError
from pgmagic.language.destination import Format
from pgmagic.outcome import Column, PgType

__all__ = ["FileColumn", "file_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileColumn:
    """One column of a file: its name, PostgreSQL's type, the type in the file."""

    name: str
    type: PgType
    arrow: pa.DataType
    as_text: bool
    options: FrameOptions

    def read(self, values: pa.Array, source: PgType) -> pa.Array:
        """Make what the file holds of values as they lie in memory, of type `source` there.

        Raises `ExportError` for a value that the column can't hold.
        """
        source = _without_enums(wire_type(source))
        if self.as_text:
            return _texts(values, source)
        piece = Piece(pa.chunked_array([values]), source)
        found, note = interpret([piece], self.type, self.options)
        if note or found.type != self.arrow:
            raise self._misfit(note or "")
        combined = found.combine_chunks()
        return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined

    def _misfit(self, note: str) -> ExportError:
        _, _, reason = note.partition("because ")
        cast = f"cast it in the cell: {self.name}::text"
        return ExportError(
            f"column {self.name} can't be written as {self.arrow}"
            + (f": {reason}" if reason else ""),
            hint=f"--numeric exact, or {cast}" if self.type.oid == t.NUMERIC else cast,
        )


def file_columns(
    columns: Sequence[Column],
    format_: Format,
    options: FrameOptions,
    *,
    tag: str | None = None,
) -> tuple[FileColumn, ...]:
    """Decide the columns of a file. `tag` is the name that the column of the databases takes."""
    options = replace(options, as_="arrow", json="text")
    names, _ = unique_names([column.name for column in columns], taken=[tag] if tag else [])
    return tuple(
        _file_column(name, column.type, format_, options)
        for name, column in zip(names, columns, strict=True)
    )


def _file_column(name: str, type_: PgType, format_: Format, options: FrameOptions) -> FileColumn:
    type_ = _without_enums(wire_type(type_))
    as_text = _is_text(type_, format_, options)
    arrow = pa.large_string() if as_text else _empty(type_, options)
    return FileColumn(name=name, type=type_, arrow=arrow, as_text=as_text, options=options)


def _empty(type_: PgType, options: FrameOptions) -> pa.DataType:
    """Tell the Arrow type of a column of which no value is known."""
    nothing = pa.chunked_array([], arrow_type(layout_of(type_)))
    return interpret([Piece(nothing, type_)], type_, options).values.type


def _is_text(type_: PgType, format_: Format, options: FrameOptions) -> bool:
    """Whether a column is written as PostgreSQL writes it."""
    if type_.kind == "array" and type_.element is not None:
        return format_ == "csv" or _is_text(type_.element, format_, options)
    if type_.oid == t.NUMERIC:
        # How many digits it was declared with, the driver does not tell.
        return options.numeric == "exact"
    # Parquet has no interval with months.
    return type_.oid == t.INTERVAL or (format_ == "csv" and type_.oid == t.BYTEA)


def _without_enums(type_: PgType) -> PgType:
    """Take enums as text: a label may be added while rows are read."""
    if type_.kind == "enum":
        return t.BUILTIN[t.TEXT]
    if type_.kind == "array" and type_.element is not None:
        return array_of(_without_enums(type_.element))
    return type_


def _texts(values: pa.Array, type_: PgType) -> pa.Array:
    if type_.kind != "array" or type_.element is None:
        write = text_of(type_)
        texts = [None if value is None else write(value) for value in values.to_pylist()]
    else:
        texts = [
            None if value is None else _array_text(value, type_.element)
            for value in values.to_pylist()
        ]
    return pa.array(texts, pa.large_string())


def _array_text(value: bytes, element: PgType) -> str:
    shape, elements = unpack(value)
    write = text_of(element)
    leaves = column_of(layout_of(element), elements).to_pylist()
    return array_text(shape, [None if leaf is None else write(leaf) for leaf in leaves], str)
