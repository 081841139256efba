"""Files that are there whole, or not at all."""

import json
from collections.abc import Callable, Mapping
from os import fsync
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

from pgmagic.errors import RecordingError
from pgmagic.recording.fitting import Misfit

__all__ = ["as_json", "damaged", "read_json", "write_file"]

Form = TypeVar("Form")


def as_json(written: Mapping[str, Any], *, sort: bool = True) -> bytes:
    """Write JSON that differs in few lines where little has changed."""
    text = json.dumps(written, indent=1, sort_keys=sort, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def read_json(path: Path, check: Callable[[Any], Form]) -> Form:
    """Read JSON that passes a check. Raises `RecordingError`, which names what is wrong."""
    try:
        return check(json.loads(path.read_bytes()))
    except OSError as error:
        raise RecordingError(f"{path} can't be read: {error.strerror}") from None
    except Misfit as error:
        raise damaged(path, str(error)) from None
    except (ValueError, RecursionError):
        raise damaged(path, "it is no JSON") from None


def damaged(path: Path, problem: str) -> RecordingError:
    """Make the error of a file that is not as pgmagic wrote it."""
    return RecordingError(f"{path} is damaged: {problem}", hint="delete it, and record again")


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
