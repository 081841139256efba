"""Files that are there whole, or not at all."""

import json
from collections.abc import Mapping
from os import fsync
from pathlib import Path
from secrets import token_hex
from typing import Any

from pgmagic.errors import RecordingError

__all__ = ["as_json", "read_json", "write_file"]


def as_json(written: Mapping[str, Any], *, sort: bool = True) -> bytes:
    """Write JSON that differs in few lines where little has changed."""
    text = json.dumps(written, indent=1, sort_keys=sort, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def read_json(path: Path) -> dict[str, Any]:
    try:
        written = json.loads(path.read_bytes())
    except (OSError, ValueError):
        written = None
    if not isinstance(written, dict):
        raise RecordingError(f"{path} can't be read", hint="delete it, and record again")
    return written


def write_file(path: Path, data: bytes) -> None:
    """Put a file in place in one step, complete."""
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
