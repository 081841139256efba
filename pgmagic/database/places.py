"""Where libpq keeps its files on this system."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Places", "default_socket_directory", "socket_directory", "system_user"]

# Compiled into libpq, so it differs: Debian and Ubuntu, Red Hat and Fedora, others.
SYSTEM_DIRECTORIES = ("/etc/postgresql-common", "/etc/sysconfig/pgsql", "/etc")
SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files of one user, and those of the system."""

    home: Path
    passfile: Path
    service_files: tuple[Path, ...]
    certificates: Path

    @classmethod
    def of(cls, environ: Mapping[str, str], home: Path | None = None) -> "Places":
        """Find the places, https://www.postgresql.org/docs/current/libpq-pgservice.html."""
        home = home or Path(environ.get("HOME") or Path.home())
        if sys.platform == "win32":
            own = Path(environ.get("APPDATA", home)) / "postgresql"
            passfile, certificates = own / "pgpass.conf", own
        else:
            own = home
            passfile, certificates = home / ".pgpass", home / ".postgresql"
        user_file = environ.get("PGSERVICEFILE") or own / ".pg_service.conf"
        directory = environ.get("PGSYSCONFDIR")
        return cls(
            home=home,
            passfile=passfile,
            service_files=(
                Path(user_file),
                *(
                    Path(place) / "pg_service.conf"
                    for place in ((directory,) if directory else SYSTEM_DIRECTORIES)
                ),
            ),
            certificates=certificates,
        )

    def path(self, text: str) -> Path:
        """Read a path as a user writes it; unlike libpq, `~` is the home directory."""
        return self.home / text[2:] if text.startswith("~/") else Path(text)

    def shown(self, path: Path) -> str:
        """Write a path as a user would."""
        return f"~/{path.relative_to(self.home)}" if path.is_relative_to(self.home) else str(path)


def default_socket_directory() -> str:
    """Name the directory that is libpq's default on this system: Debian's, or upstream's."""
    debian, upstream = SOCKET_DIRECTORIES
    return debian if Path(debian).is_dir() else upstream


def socket_directory(port: int) -> str | None:
    """Find the directory in which a server of this machine listens, or None."""
    for directory in SOCKET_DIRECTORIES:
        if (Path(directory) / f".s.PGSQL.{port}").exists():
            return directory
    return None


def system_user() -> str:
    """Name the user as the system knows them; like libpq, `USER` is not believed."""
    if sys.platform == "win32":
        return os.getlogin()
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
