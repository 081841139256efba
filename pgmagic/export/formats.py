"""Writers of record batches, one for each format. The file is complete once it is closed."""

from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pgmagic.language.destination import Format

__all__ = ["BatchWriter", "new_writer"]


class BatchWriter(Protocol):
    """What pyarrow's writers have in common."""

    def write_batch(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def new_writer(path: Path, schema: pa.Schema, format_: Format) -> BatchWriter:
    """Begin a file. Raises `OSError`."""
    target = str(path)
    writer: BatchWriter
    match format_:
        case "parquet":
            writer = pq.ParquetWriter(target, schema, compression="zstd")
        case "csv":
            writer = _CsvWriter(target, schema)
        case "feather":  # compressed as pandas and polars write it
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writer = pa.ipc.new_file(target, schema, options=options)
        case "arrow":  # not compressed, so that it can be mapped into memory
            writer = pa.ipc.new_file(target, schema)
    return writer


class _CsvWriter:
    """Writes dictionaries as what they stand for."""

    def __init__(self, target: str, schema: pa.Schema) -> None:
        self._schema = pa.schema([(field.name, _plain(field.type)) for field in schema])
        self._writer = pa.csv.CSVWriter(target, self._schema)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


def _plain(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_
