"""COPY a frame into a table, in binary form.

https://www.postgresql.org/docs/current/sql-copy.html
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pgpq
import pyarrow as pa
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb

from pgmagic.columns import pgtypes as t
from pgmagic.columns.fitting import is_packed
from pgmagic.columns.options import Progress
from pgmagic.columns.outgoing import Outgoing
from pgmagic.columns.rectangles import is_list, leaves, pack, shapes

if TYPE_CHECKING:
    import asyncpg

__all__ = ["copy_in"]

ROWS_AT_ONCE: Final = 65_536
ELEMENTS_AT_ONCE: Final = 1_000_000  # of lists: each takes about 70 bytes on its way

FIELD_COUNT = struct.Struct(">h")
LENGTH = struct.Struct(">i")

ELEMENTS: Final = {
    "boolean": t.BOOL,
    "smallint": t.INT2,
    "integer": t.INT4,
    "bigint": t.INT8,
    "numeric": t.NUMERIC,
    "real": t.FLOAT4,
    "double precision": t.FLOAT8,
    "text": t.TEXT,
    "bytea": t.BYTEA,
    "date": t.DATE,
    "time without time zone": t.TIME,
    "timestamp without time zone": t.TIMESTAMP,
    "timestamp with time zone": t.TIMESTAMPTZ,
    "interval": t.INTERVAL,
    "uuid": t.UUID,
}


async def copy_in(
    connection: "asyncpg.Connection[Any]",
    outgoing: Outgoing,
    table: str,
    schema: str | None,
    progress: Progress,
) -> None:
    """Copy all rows. The types of the table's columns are those of the frame.

    Raises asyncpg's errors; the table is as it was then.
    """
    await connection.copy_to_table(
        table,
        schema_name=schema,
        columns=list(outgoing.types),
        source=_stream(outgoing, progress),
        format="binary",
    )


async def _stream(outgoing: Outgoing, progress: Progress) -> AsyncIterator[bytes]:
    encoder = _encoder(outgoing)
    yield encoder.write_header()
    for batch in _batches(outgoing.table):
        data = await asyncio.to_thread(_encoded, encoder, batch, outgoing)
        progress.rows += batch.num_rows
        progress.bytes += len(data)
        yield data
    yield encoder.finish()


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Cut rows into batches that are neither long nor, where they have large lists, heavy."""
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from _halves(
            batch, [at for at, type_ in enumerate(table.schema.types) if is_list(type_)]
        )


def _halves(batch: pa.RecordBatch, lists: list[int]) -> Iterator[pa.RecordBatch]:
    elements = sum(len(leaves(batch.column(at))) for at in lists)
    if elements <= ELEMENTS_AT_ONCE or batch.num_rows < 2:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _halves(batch.slice(0, middle), lists)
    yield from _halves(batch.slice(middle), lists)


def _encoded(encoder: Any, batch: pa.RecordBatch, outgoing: Outgoing) -> bytes:
    for at, (field, type_) in enumerate(zip(batch.schema, outgoing.types.values(), strict=True)):
        if _is_packed_list(field, type_):
            batch = batch.set_column(at, _packed(field), _arrays(batch.column(at), type_))
    return bytes(encoder.write_batch(batch))


def _encoder(outgoing: Outgoing) -> Any:
    """Make what writes all batches. Lists that it has no form for are packed beforehand."""
    fields, builders = [], {}
    for given, type_ in zip(outgoing.table.schema, outgoing.types.values(), strict=True):
        field = _packed(given) if _is_packed_list(given, type_) else given
        fields.append(field)
        builders[field.name] = _builder(field, type_)
    return pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(pa.schema(fields), builders)


def _builder(field: pa.Field, type_: str) -> Any:
    if type_ == "jsonb":
        return LargeStringEncoderBuilder.new_with_output(field, Jsonb())
    return pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)


def _is_packed_list(field: pa.Field, type_: str) -> bool:
    """Whether a column has arrays of several dimensions, or of elements that are packed."""
    if not is_list(field.type):
        return False
    element = field.type.value_type
    return is_list(element) or is_packed(type_.removesuffix("[]"), element)


def _packed(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.large_binary())


def _arrays(values: pa.Array, type_: str) -> pa.Array:
    """Write lists as PostgreSQL's arrays."""
    oid = ELEMENTS[type_.removesuffix("[]")]
    return pa.array(pack(shapes(values), oid, _elements(leaves(values))), pa.large_binary())


def _elements(values: pa.Array) -> list[bytes]:
    """Write values one by one, each behind its length, as they stand in a row of COPY."""
    field = pa.field("element", values.type)
    builders = {field.name: _builder(field, "")}
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(pa.schema([field]), builders)
    encoder.write_header()
    batch = pa.RecordBatch.from_arrays([values], schema=pa.schema([field]))
    data = bytes(encoder.write_batch(batch)) + bytes(encoder.finish())
    elements, at = [], 0
    for _ in range(len(values)):
        begin = at + FIELD_COUNT.size
        (length,) = LENGTH.unpack_from(data, begin)
        at = begin + LENGTH.size + max(0, length)
        elements.append(data[begin:at])
    return elements
