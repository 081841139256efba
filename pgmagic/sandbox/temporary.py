"""Temporary folders that the account of a server can enter."""

import os
import tempfile
from pathlib import Path

from pgmagic.sandbox.account import Account
from pgmagic.sandbox.watchdog import SOCKET_PREFIX

__all__ = ["new_socket_dir", "temporary_folder"]

MAX_SOCKET_PATH = 103  # bytes on macOS; Linux has four more


def temporary_folder(account: Account) -> Path:
    """Give the system's temporary folder, or /tmp where a socket in it had too long a path."""
    folder = Path(tempfile.gettempdir())
    longest = folder / f"{SOCKET_PREFIX}xxxxxxxx" / ".s.PGSQL.65535.lock"
    if len(os.fsencode(longest)) > MAX_SOCKET_PATH or not account.can_enter(folder):
        return Path("/tmp")
    return folder


def new_socket_dir(account: Account) -> Path:
    """Make a private folder for the socket of a server."""
    socket_dir = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=temporary_folder(account)))
    account.own(socket_dir)
    return socket_dir
