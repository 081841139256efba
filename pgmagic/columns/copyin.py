"""COPY a frame into a table, in binary form.

https://www.postgresql.org/docs/current/sql-copy.html
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import pgpq
import pyarrow as pa
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb

from pgmagic.columns.options import Progress
from pgmagic.columns.outgoing import Outgoing

if TYPE_CHECKING:
    import asyncpg

__all__ = ["copy_in"]

ROWS_AT_ONCE: Final = 65_536


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
    for batch in outgoing.table.to_batches(max_chunksize=ROWS_AT_ONCE):
        data = await asyncio.to_thread(encoder.write_batch, batch)
        progress.rows += batch.num_rows
        progress.bytes += len(data)
        yield data
    yield encoder.finish()


def _encoder(outgoing: Outgoing) -> Any:
    schema = outgoing.table.schema
    builders = {field.name: _builder(field, outgoing.types[field.name]) for field in schema}
    return pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(schema, builders)


def _builder(field: pa.Field, type_: str) -> Any:
    if type_ == "jsonb":
        return LargeStringEncoderBuilder.new_with_output(field, Jsonb())
    return pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)
