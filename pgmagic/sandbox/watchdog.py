"""Stop a server when the last process that used it is gone, however that process ended.

This file is a program too: each user of a server runs one as a child, with the read end of a
pipe as its standard input. The kernel closes the pipe when the user ends, even by SIGKILL; the
watchdog then looks whether others hold the lock of the users, and stops the server if not.
It needs nothing but the standard library, so that it starts in a few milliseconds.
"""

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LAUNCHING = b"L"  # from here on there may be a server, even if postmaster.pid is not there yet
LEAVING = b"Q"  # an orderly end: our own lock is already let go

PID_FILE = "postmaster.pid"
SOCKET_PREFIX = "pgmagic-socket-"
LAUNCH_SECONDS = 2.0  # from the start of the process to its postmaster.pid, at most
LOCK_SECONDS = 1.5  # the lock of a killed process may outlive its pipe for a moment
SHUTDOWN_SECONDS = 10.0  # for a fast shutdown, before an immediate one
STEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """A running server, as its postmaster.pid tells it."""

    pid: int
    port: int
    socket_dir: Path
    ready: bool

    @classmethod
    def read(cls, data: Path) -> "Postmaster | None":
        """Read postmaster.pid of a data directory; None where it is missing or unfinished."""
        try:
            lines = (data / PID_FILE).read_text().splitlines()
            return cls(
                pid=int(lines[0]),
                port=int(lines[3]),
                socket_dir=Path(lines[4].strip()),
                ready=len(lines) > 7 and lines[7].strip() == "ready",
            )
        except (OSError, ValueError, IndexError):
            return None

    @property
    def socket(self) -> Path:
        return self.socket_dir / f".s.PGSQL.{self.port}"

    def listens(self) -> bool:
        """Whether somebody answers at the socket: a pid alone may be another process's by now."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError:  # a full backlog: busy, but alive
                return True
        return True

    def stop(self, data: Path) -> None:
        """End every session and stop; return when postmaster.pid is gone.

        The process itself may stay as a zombie where nobody reaps it, as in many containers.
        """
        for stage in (signal.SIGINT, signal.SIGQUIT):
            try:
                os.kill(self.pid, stage)
            except ProcessLookupError:
                return
            end = time.monotonic() + SHUTDOWN_SECONDS
            while time.monotonic() < end:
                current = Postmaster.read(data)
                if current is None or current.pid != self.pid:
                    return
                time.sleep(STEP_SECONDS)


def wait_end(pipe: int) -> bytes:
    """Wait until the other end is closed; give what was written."""
    written = b""
    while received := os.read(pipe, 64):
        written += received
    return written


def is_last(users: IO[bytes], *, patience: float) -> bool:
    """Whether nobody else holds the lock within `patience` seconds; it is ours then."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(STEP_SECONDS)
        else:
            return True


def stop_server(data: Path, *, patience: float) -> None:
    """Stop the server of a data directory, waiting `patience` seconds for it to show up."""
    end = time.monotonic() + patience
    while (postmaster := Postmaster.read(data)) is None and time.monotonic() < end:
        time.sleep(STEP_SECONDS)
    if postmaster is None:
        return
    if not postmaster.ready or postmaster.listens():
        postmaster.stop(data)
    if postmaster.socket_dir.name.startswith(SOCKET_PREFIX):
        shutil.rmtree(postmaster.socket_dir, ignore_errors=True)


def remove(folder: Path) -> None:
    """Remove a throw-away folder; something that is just ending may still write to it."""
    end = time.monotonic() + SHUTDOWN_SECONDS
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(STEP_SECONDS)


def main(*, data: Path, users_lock: Path, stop_lock: Path, throw_away: bool) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    written = wait_end(sys.stdin.fileno())
    left_in_order = LEAVING in written
    # One watchdog after the other: who leaves in order while another one is stopping the
    # server waits here, and so knows that it is stopped.
    with stop_lock.open("ab") as turn, users_lock.open("r+b") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not is_last(users, patience=0 if left_in_order else LOCK_SECONDS):
            return
        interrupted = LAUNCHING in written and not left_in_order
        stop_server(data, patience=LAUNCH_SECONDS if interrupted else 0)
        if throw_away:
            remove(data.parent)


if __name__ == "__main__":
    main(
        data=Path(sys.argv[1]),
        users_lock=Path(sys.argv[2]),
        stop_lock=Path(sys.argv[3]),
        throw_away=sys.argv[4] == "throw-away",
    )
