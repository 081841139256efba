"""Where the sandbox keeps its data."""

import os
import re
import sys
from pathlib import Path

from pgmagic.errors import SandboxError

__all__ = ["file_system", "open_folder", "sandbox_folder"]

MOUNTS = Path("/proc/self/mounts")  # Linux
NETWORK_FILE_SYSTEMS = frozenset(
    "afs beegfs ceph cifs fuse.glusterfs fuse.sshfs gpfs lustre ncpfs nfs nfs4 smb3 smbfs".split()
)


def sandbox_folder() -> Path:
    """Give the folder: PGMAGIC_SANDBOX_DIR, or one in the user's data directory.

    That is $XDG_DATA_HOME/pgmagic/sandbox, or the like. Root's home is closed to the account
    that its servers run as, so root uses /var/lib/pgmagic/sandbox.
    """
    if named := os.environ.get("PGMAGIC_SANDBOX_DIR"):
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/pgmagic/sandbox")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pgmagic" / "sandbox"
    # A relative path there is to be ignored:
    # https://specifications.freedesktop.org/basedir-spec/latest/
    data_home = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():
        data_home = Path.home() / ".local" / "share"
    return data_home / "pgmagic" / "sandbox"


def open_folder(folder: Path) -> None:
    """Make the folder where it is missing. Raises SandboxError where it can't serve."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SandboxError(
            f"the sandbox cannot use {folder}: {error.strerror}",
            hint="name another folder in PGMAGIC_SANDBOX_DIR",
        ) from error
    if MOUNTS.exists():
        kind = file_system(folder.resolve(), MOUNTS.read_text(errors="replace"))
        if kind in NETWORK_FILE_SYSTEMS:
            # Locks, and what a server needs of fsync, are not reliable there.
            raise SandboxError(
                f"the sandbox needs a local disk, and {folder} is on a network ({kind})",
                hint="name another folder in PGMAGIC_SANDBOX_DIR",
            )


def file_system(path: Path, mounts: str) -> str | None:
    """Find the type of the file system of an absolute path in the text of /proc/mounts."""
    kinds: dict[Path, str] = {}
    for line in mounts.split("\n"):
        match line.split(" "):
            case [_, mount_point, kind, *_]:
                # The last mount on a point covers the others.
                kinds[Path(_unescaped(mount_point))] = kind
    return next((kinds[place] for place in (path, *path.parents) if place in kinds), None)


def _unescaped(mount_point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mount_point)
