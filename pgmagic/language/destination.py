"""Where `--to` puts the rows of a cell, as its ending says."""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["Destination", "Format", "destination"]

Format: TypeAlias = Literal["parquet", "csv", "arrow", "feather"]
FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "feather",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One file for all databases, or a folder with one of each."""

    path: Path
    format: Format
    folder: bool = False


def destination(path: str | PathLike[str]) -> Destination:
    """Read a path. One that ends in `/` is a folder of Parquet files.

    Raises `ValueError` with what it takes.
    """
    text = fspath(path)
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~somebody, who is not here
        raise ValueError("a path whose ~ is the home of somebody") from None
    if text.endswith("/"):
        return Destination(path=path, format="parquet", folder=True)
    if (known := FORMATS.get(path.suffix.lower())) is None:
        raise ValueError(f"a file that ends in {', '.join(FORMATS)}, or a folder that ends in /")
    return Destination(path=path, format=known)
