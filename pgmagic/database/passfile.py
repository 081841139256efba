"""`.pgpass`: a password for each host, port, database and user.

https://www.postgresql.org/docs/current/libpq-pgpass.html
"""

import os
import re
import stat
from pathlib import Path

__all__ = ["find_password", "passfile_problem"]

# A field ends at a colon; a backslash makes the character after it an ordinary one.
FIELD = re.compile(r"(?:[^\\:]|\\.|\\$)*")
ESCAPED = re.compile(r"\\(.)")


def find_password(path: Path, *, host: str, port: int, database: str, user: str) -> str | None:
    """Give the password of the first line that matches, or None.

    `host` is `localhost` for the default socket directory, otherwise as the user wrote it. A file
    that others may read is ignored, see `passfile_problem`.
    """
    if passfile_problem(path) is not None:
        return None
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    wanted = (host, str(port), database, user)
    for line in text.split("\n"):
        fields = _fields(line.removesuffix("\r"))
        if fields is None:
            continue
        *patterns, password = fields
        if all(
            pattern == "*" or _plain(pattern) == value
            for pattern, value in zip(patterns, wanted, strict=True)
        ):
            return _plain(password)
    return None


def passfile_problem(path: Path) -> str | None:
    """Say why libpq, and pgmagic, do not read the file; None where they do or there is none."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode):
        return "is not a plain file"
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "may be read by others; its permissions should be u=rw (0600) or less"
    return None


def _fields(line: str) -> list[str] | None:
    """Cut a line into its five fields, escapes kept; None for comments and broken lines."""
    if line.startswith("#"):
        return None
    fields = []
    start = 0
    for _ in range(5):
        if start > len(line):
            return None
        match = FIELD.match(line, start)
        assert match is not None, "the pattern matches the empty text as well"
        fields.append(match[0])
        start = match.end() + 1
    return fields


def _plain(field: str) -> str:
    return ESCAPED.sub(r"\1", field)
