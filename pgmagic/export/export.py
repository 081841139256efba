"""The files of one cell: written beside, and renamed when all of them are complete."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pyarrow as pa

from pgmagic.columns import Agreement, FrameOptions, Sink, agree, listing
from pgmagic.errors import CellError, ExportError
from pgmagic.export.files import PartFile, make_folder
from pgmagic.export.schema import FileColumn, file_columns
from pgmagic.language.destination import Destination
from pgmagic.outcome import Column

__all__ = ["Export", "Sink"]


class Export:
    """Takes the rows of all databases of a cell, batch by batch.

    A single file of several databases has a column that names them; their batches stand in the
    order in which they came. In a folder each database has a file, as a partition.

    A context manager: whatever was not committed in the block is gone after it.
    """

    def __init__(self, destination: Destination, *, tag: str = "database") -> None:
        self.destination = destination
        self._tag = tag
        self._files: dict[Path, PartFile] = {}
        self._made: list[Path] = []  # folders, which stay only where there is something in them
        self._statement: int | None = None
        self._written: dict[str, tuple[int, Path]] = {}
        self._order: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.discard()
        for folder in reversed(self._made):
            with suppress(OSError):
                folder.rmdir()

    def sink(
        self,
        database: str,
        statement: int,
        described: Mapping[str, tuple[Column, ...]],
        options: FrameOptions,
    ) -> Sink:
        """Begin what a database writes, and give what takes its batches.

        `described` has the columns of all databases of the cell. Raises `ExportError`.
        """
        if self._statement not in (None, statement):
            raise CellError("two statements of this cell have rows: --to takes those of one")
        self._statement = statement
        agreement = agree(described)
        together = len(described) > 1 and not self.destination.folder
        tag = self._tag if together else None
        columns = file_columns(
            agreement.columns,
            self.destination.format,
            options,
            tag=tag,
        )
        schema = pa.schema([(column.name, column.arrow) for column in columns])
        names = pa.array(list(described), pa.large_string())
        if together:
            tags = pa.dictionary(pa.int32(), pa.large_string())
            schema = schema.insert(0, pa.field(self._tag, tags))
        file = self._open(self._path(database), schema)
        self._written[database] = (0, file.path)
        self._order = tuple(described)
        code = list(described).index(database)

        def write(batch: pa.RecordBatch) -> None:
            arrays = _arrays(batch, columns, agreement, database)
            if together:
                codes = pa.repeat(pa.scalar(code, pa.int32()), len(batch))
                arrays.insert(0, pa.DictionaryArray.from_arrays(codes, names))
            file.write(arrays, database)

        async def take(batch: pa.RecordBatch) -> None:
            await asyncio.to_thread(write, batch)
            rows, path = self._written[database]
            self._written[database] = (rows + batch.num_rows, path)

        return take

    def has_rows(self, database: str) -> bool:
        """Whether rows of a database are in its file, from which they can't be taken back."""
        return self._written.get(database, (0, None))[0] > 0

    def commit(self) -> Any:
        """Give the files their names; give a frame of database, rows, bytes and file.

        Raises `ExportError`, and `CellError` where nobody had anything to write.
        """
        if not self._files:
            raise CellError("what the cell gave has no columns: there is nothing to write")
        files = list(self._files.values())
        for file in files:  # what may fail comes first, for all of them
            file.close()
        for at, file in enumerate(files):
            try:
                file.rename()
            except ExportError as error:
                if done := ", ".join(str(each.path) for each in files[:at]):
                    error.hint = f"complete and in its place: {done}"
                raise
        rows = []
        for database in self._order:
            count, path = self._written[database]
            size = self._files[path].size
            rows.append({"database": database, "rows": count, "bytes": size, "file": str(path)})
        return listing(("database", "rows", "bytes", "file"), rows)

    def _path(self, database: str) -> Path:
        path = self.destination.path
        if not self.destination.folder:
            return path
        # https://arrow.apache.org/docs/python/dataset.html#different-partitioning-schemes
        return path / f"{quote(self._tag, safe='')}={quote(database, safe='')}" / "rows.parquet"

    def _open(self, path: Path, schema: pa.Schema) -> PartFile:
        if file := self._files.get(path):
            return file
        if self.destination.folder:
            for folder in (self.destination.path, path.parent):
                if make_folder(folder):
                    self._made.append(folder)
        file = PartFile.begin(path, schema, self.destination.format)
        return self._files.setdefault(path, file)


def _arrays(
    batch: pa.RecordBatch, columns: tuple[FileColumn, ...], agreement: Agreement, database: str
) -> list[pa.Array]:
    """Bring a batch into the order and the types of the file."""
    order, own = agreement.order[database], agreement.described[database]
    arrays = []
    for column, position, described in zip(columns, order, own, strict=True):
        try:
            arrays.append(column.read(batch.column(position), described.type))
        except ExportError as error:
            error.database = database
            raise
    return arrays
