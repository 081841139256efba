"""One process's use of a server. The last hold that goes takes the server with it."""

import contextlib
import fcntl
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

from pgmagic.errors import SandboxError
from pgmagic.sandbox import watchdog

__all__ = ["Hold", "exclusive"]


@contextlib.contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Keep other processes out. The kernel lets the lock go should we be killed."""
    descriptor = _open(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Hold:
    """Keeps the server of a data directory alive until `release`, or until this process ends.

    Take it before the server is started: there is no moment in which a kill leaks one.
    """

    def __init__(self, data: Path, *, throw_away: bool) -> None:
        users_lock, stop_lock = data.parent / "users.lock", data.parent / "stop.lock"
        os.close(_open(stop_lock))
        self._lock: int | None = _open(users_lock)
        # Waits while a watchdog, which has the lock to itself, is still stopping the server.
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        read_end, write_end = os.pipe()
        self._pipe: int | None = write_end
        try:
            self._watchdog = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", watchdog.__file__),
                    *(str(data), str(users_lock), str(stop_lock)),
                    "throw-away" if throw_away else "keep",
                ],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(read_end)
        _holds.add(self)

    def announce_launch(self) -> None:
        """Say that a server is about to run, so that the watchdog waits for it to show up."""
        if self._pipe is not None:
            os.write(self._pipe, watchdog.LAUNCHING)

    def release(self) -> None:
        """Let go, and wait until the server is stopped, if this was its last user."""
        if self._pipe is None:
            return
        os.write(self._pipe, watchdog.LEAVING)
        self._close()
        self._watchdog.wait()

    def _close(self) -> None:
        # The lock first: the watchdog looks at it as soon as the pipe is closed.
        for descriptor in (self._lock, self._pipe):
            if descriptor is not None:
                os.close(descriptor)
        self._lock = self._pipe = None

    def _forget(self) -> None:
        """In a forked child, which must not keep the server alive."""
        with contextlib.suppress(OSError):
            self._close()


_holds: weakref.WeakSet[Hold] = weakref.WeakSet()


def _forget_all() -> None:
    for hold in list(_holds):
        hold._forget()


os.register_at_fork(after_in_child=_forget_all)


def _open(lock: Path) -> int:
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise SandboxError(
            f"{lock} belongs to another account",
            hint="use another folder, or the account that made this one",
        ) from error
