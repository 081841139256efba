"""Passwords that we make up, in files that only we can read."""

import os
import secrets
from pathlib import Path

__all__ = ["new_password", "write_secret"]


def new_password() -> str:
    """Make a password that needs no quoting anywhere."""
    return secrets.token_urlsafe(18)


def write_secret(path: Path, text: str) -> None:
    """Write a file, all or nothing, that others can't read at any moment."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
