"""Whom a server runs as. PostgreSQL refuses root, so root hands it to a lesser account."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from pgmagic.errors import SandboxError
from pgmagic.sandbox.binaries import Binaries

__all__ = ["Account", "readable_binaries"]

# Root's copies of the programs stay in a folder that root alone can write: what lies in a
# world-writable one could have been put there by anybody.
COPIES = Path("/var/cache/pgmagic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account of the server's processes; `uid` is None where that is our own."""

    name: str
    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls) -> "Account":
        """Take our own account; for root $PGMAGIC_PG_USER, `postgres` or `nobody`.

        Raises SandboxError where root finds none of them.
        """
        if os.geteuid() != 0:
            return cls(name=str(os.geteuid()))
        for name in (os.environ.get("PGMAGIC_PG_USER"), "postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name or "")
            except KeyError:
                continue
            if entry.pw_uid != 0:
                return cls(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
        raise SandboxError(
            "PostgreSQL does not run as root, and no other account was found to run it",
            hint="name one in PGMAGIC_PG_USER",
        )

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with its output as text."""
        return subprocess.run(
            command,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=self._extra_groups,
            check=False,
        )

    def spawn(self, command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program and let it run.

        It leads a session of its own: Ctrl-C and the interrupt of a kernel go to our process
        group, and would shut a server down.
        """
        return subprocess.Popen(
            command,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=self._extra_groups,
        )

    def own(self, path: Path) -> None:
        """Give a file or folder of ours to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        return self.run("/bin/sh", "-c", 'test -x "$0"', folder).returncode == 0

    @property
    def _extra_groups(self) -> list[int] | None:
        return None if self.uid is None else []


def _environment() -> Mapping[str, str]:
    """Our environment without what would change the server's settings or language."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_")) and name not in ("LANG", "LANGUAGE")
    }
    return kept | {"LC_ALL": "C"}


def readable_binaries(binaries: Binaries, account: Account) -> Binaries:
    """Give binaries that the account can run.

    A virtual environment below root's home is closed to others. Nothing there is opened:
    the programs are copied once, and the copy is used.
    """
    if (
        account.uid is None
        or account.run("/bin/sh", "-c", '"$0" --version', binaries.bindir / "postgres").returncode
        == 0
    ):
        return binaries
    installation = binaries.bindir.parent
    about = (binaries.bindir / "postgres").stat()
    copy = COPIES / f"postgresql-{binaries.version}-{about.st_size:x}-{about.st_mtime_ns:x}"
    if not copy.exists():
        _copy_installation(installation, copy)
    if copy.stat().st_uid != 0 or copy.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SandboxError(f"{copy} can be written by others than root")
    return replace(binaries, bindir=copy / installation.parent.name / installation.name / "bin")


def _copy_installation(installation: Path, copy: Path) -> None:
    package = installation.parent
    COPIES.mkdir(parents=True, exist_ok=True)
    COPIES.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(prefix=".copy-", dir=COPIES))
    try:
        # The programs look for their libraries beside the package, two folders up.
        shutil.copytree(installation, unfinished / package.name / installation.name, symlinks=True)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        unfinished.rename(copy)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not copy.exists():  # somebody else may have been faster
            raise
