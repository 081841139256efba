"""`pg_service.conf`: connection parameters under a name.

https://www.postgresql.org/docs/current/libpq-pgservice.html
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pgmagic.database.parameters import KEYWORDS, SECRETS, Layer
from pgmagic.errors import SettingsError
from pgmagic.language.suggest import did_you_mean
from pgmagic.secret import Secret

__all__ = ["read_service", "service_names"]


def read_service(name: str, files: Iterable[Path]) -> Layer:
    """Give the parameters of a service, from the first file that defines it.

    Raises SettingsError where none does, or where its section cannot be read; lines are named by
    number and never repeated, since one may hold a password.
    """
    files = tuple(files)
    for path in files:
        layer = _section(path, name)
        if layer is not None:
            return layer
    known = service_names(files)
    hint = f"services: {', '.join(known)}" if known else "no service file defines any"
    near = did_you_mean(name, known)
    raise SettingsError(f'definition of service "{name}" not found{near}', hint=hint)


def service_names(files: Iterable[Path]) -> list[str]:
    """List the services that the files define, for messages and completion."""
    names: dict[str, None] = {}
    for path in files:
        for _, line in _lines(path):
            if line.startswith("[") and "]" in line:
                names.setdefault(line[1 : line.index("]")])
    return list(names)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that say something, numbered from 1. A file that is not there is empty."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise SettingsError(f'service file "{path}": {error.strerror}') from None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r\f\v")
        if line and not line.startswith("#"):
            yield number, line


def _section(path: Path, name: str) -> Layer | None:
    found = False
    values: dict[str, str | Secret] = {}
    for number, line in _lines(path):
        if line.startswith("["):
            if found:
                break
            # What follows the bracket does not matter, in libpq neither.
            found = line.startswith(f"[{name}]")
        elif found:
            keyword, equals, value = line.partition("=")
            if keyword in {"service", "servicefile"} and equals:
                raise SettingsError(
                    f'service file "{path}", line {number}: a service cannot name another one'
                )
            if not equals or keyword not in KEYWORDS:
                raise SettingsError(
                    f'service file "{path}", line {number}: not a connection parameter',
                    hint="write keyword=value, without blanks around the sign",
                )
            values.setdefault(keyword, Secret(value) if keyword in SECRETS else value)
    return Layer.of(f"service {name}", values.items()) if found else None
