"""Files that take their names when they are complete.

Nothing else of an export touches the file system, and every way in raises `ExportError`: the rows
come in where a connection is read, and an `OSError` would be taken there for one of the network.
"""

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Self

import pyarrow as pa

from pgmagic.errors import ExportError
from pgmagic.export.formats import BatchWriter, new_writer
from pgmagic.language.destination import Format

__all__ = ["PartFile", "make_folder"]

FAILURES = (OSError, pa.ArrowException, ValueError)  # ValueError: a path that no system takes


@dataclass(slots=True, kw_only=True)
class PartFile:
    """A file that is being written. Batches of several databases come in turns.

    `path` is as the user wrote it, `target` what it stands for: a link stays, and what it points
    to is written. `size` is known once it is closed.
    """

    path: Path
    target: Path
    part: Path
    schema: pa.Schema
    writer: BatchWriter
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False
    size: int = 0

    @classmethod
    def begin(cls, path: Path, schema: pa.Schema, format_: Format) -> Self:
        """Begin it beside the place that it is for, which stays as it is. Raises `ExportError`."""
        with _told(path):
            _check_folder(path.parent)
            target = Path(os.path.realpath(path))
            _check_folder(target.parent)
            _check_replaceable(target)
            # The dot keeps those who read a whole folder from reading it.
            part = target.with_name(f".pgmagic.{token_hex(8)}.part")
            try:
                writer = new_writer(part, schema, format_)
            except FAILURES:
                _remove(part)
                raise
            return cls(path=path, target=target, part=part, schema=schema, writer=writer)

    def write(self, arrays: Sequence[pa.Array], database: str) -> None:
        """Write a batch of a database, as its columns. Raises `ExportError`."""
        with self.lock, _told(self.path, database):
            if not self.closed:
                batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
                self.writer.write_batch(batch)

    def close(self) -> None:
        """Wait for the batch that is being written, and write no more. Raises `ExportError`."""
        with self.lock, _told(self.path):
            if not self.closed:
                self.closed = True
                self.writer.close()
                self.size = self.part.stat().st_size

    def rename(self) -> None:
        """Give the file its name, whether there was one of that name or not."""
        with _told(self.path):
            self.part.replace(self.target)

    def discard(self) -> None:
        """Leave nothing of what has no name yet."""
        with suppress(ExportError):  # such as a full disk: the error that says so is on its way
            self.close()
        _remove(self.part)


def make_folder(path: Path) -> bool:
    """Make a folder in one that is there; say whether it was missing. Raises `ExportError`."""
    with _told(path):
        if path.is_dir():
            return False
        _check_folder(path.parent)
        if path.exists():
            raise NotADirectoryError("it is no folder")
        Path(os.path.realpath(path)).mkdir()
        return True


def _check_folder(path: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no folder {path}") from None
    if not is_folder:
        raise NotADirectoryError(f"{path} is no folder")


def _check_replaceable(path: Path) -> None:
    """Find out before the first row what the renaming would run into."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError("it is a folder")
    if not stat.S_ISREG(mode):  # a device, which a file would take the place of
        raise FileExistsError("it is no regular file")


def _remove(path: Path) -> None:
    with suppress(*FAILURES):
        path.unlink()


@contextmanager
def _told(path: Path, database: str = "") -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise ExportError(f"{path} can't be written: {_reason(error)}", database=database) from None


def _reason(error: Exception) -> str:
    # Arrow's own words name the file that has no name yet.
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
