"""A PostgreSQL server of our own: without Docker, a system service or a fixed port."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode

from pgmagic.errors import SandboxError
from pgmagic.sandbox.account import Account, readable_binaries
from pgmagic.sandbox.binaries import Binaries, find_binaries
from pgmagic.sandbox.cluster import initialize
from pgmagic.sandbox.hold import Hold, exclusive
from pgmagic.sandbox.temporary import new_socket_dir, temporary_folder
from pgmagic.sandbox.watchdog import SOCKET_PREFIX, STEP_SECONDS, Postmaster

if TYPE_CHECKING:
    from pgmagic.secret import Secret

__all__ = ["Server"]

LOOPBACK = "127.0.0.1"
MIN_SHARED_MEMORY = 256 * 1024**2  # bytes of /dev/shm; Docker gives a container 64 MB
LAUNCH_ATTEMPTS = 5
SHUTDOWN_SECONDS = 20.0

DEFAULTS = {
    "max_connections": "100",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "unix_socket_permissions": "0700",
}
# What is thrown away need not survive a power cut.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Server:
    """One PostgreSQL server, alive while any process uses it.

        with Server() as server:
            connection = await asyncpg.connect(server.dsn())

    Without `root` everything lies in a temporary folder and is removed at the end. With `root`
    the data are kept there, one data directory for each major version, and every process that
    starts a Server on it shares the same one. The server stops when the last of them calls
    `stop` or ends, even by SIGKILL. `root` must be on a local disk: the lock that counts the
    users is not reliable on a network file system.

    It listens on a private Unix socket and, with `tcp`, on a free port of 127.0.0.1. Everybody
    signs in with SCRAM; the password is random. Run by root, the server runs as
    $PGMAGIC_PG_USER, `postgres` or `nobody`.

    `settings` are those of postgresql.conf, for whoever launches the server; `hba` replaces
    the lines of pg_hba.conf and `files` adds files to the data directory, by name, when that
    is made. POSIX only. https://www.postgresql.org/docs/current/runtime.html
    """

    user = "postgres"

    def __init__(
        self,
        root: Path | None = None,
        *,
        binaries: Binaries | None = None,
        settings: Mapping[str, str | int] | None = None,
        hba: Sequence[str] | None = None,
        files: Mapping[str, bytes] | None = None,
        tcp: bool = True,
        start_timeout: float = 60.0,
    ) -> None:
        self.root = root
        self.settings = dict(settings or {})
        self.hba = hba
        self.files = dict(files or {})
        self.tcp = tcp
        self.start_timeout = start_timeout
        self._binaries = binaries
        self._account: Account
        self._data: Path
        self._password: Secret
        self._hold: Hold | None = None
        self._postmaster: Postmaster | None = None
        self._child: threading.Thread | None = None  # waits for the server, where it is ours

    # -- life

    def start(self) -> Self:
        """Start the server, or join the one that runs on `root`. Blocks 0.1 to 1 s.

        Raises SandboxError.
        """
        if self._hold is not None:
            return self
        self._account = Account.choose()
        self._binaries = readable_binaries(self._binaries or find_binaries(), self._account)
        root = self._open_root()
        # No server can read the data directory of another major version.
        self._data = root / f"data{self._binaries.major}"
        with exclusive(root / "start.lock"):
            self._hold = Hold(self._data, throw_away=self.root is None)
            try:
                self._password = initialize(
                    self._data,
                    self.binaries,
                    self._account,
                    user=self.user,
                    hba=self.hba,
                    files=self.files,
                    durable=self.root is not None,
                )
                self._postmaster = self._running() or self._launch(new_socket_dir(self._account))
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """Give up the use of the server; its last user stops it."""
        if self._hold is None:
            return
        self._hold.release()
        self._hold = self._postmaster = None
        if Postmaster.read(self._data) is None:
            self._wait_ended()

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL, as a crash would; its backends follow."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait_ended()

    def halt(self) -> None:
        """Stop the server for everybody; `resume` starts it at the same address."""
        self._known().stop(self._data)
        self._wait_ended()

    def resume(self) -> None:
        """Start the server where it was, if it does not run."""
        if not self._known().listens():
            self.restart()

    def restart(self) -> None:
        """Stop the server, if it still runs, and start it at the same address."""
        before = self._known()
        if before.listens():
            before.stop(self._data)
        self._wait_ended()
        self._postmaster = self._launch(before.socket_dir, port=before.port)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    # -- where it is

    @property
    def binaries(self) -> Binaries:
        if self._binaries is None:
            self._binaries = find_binaries()
        return self._binaries

    @property
    def host(self) -> str:
        """The folder of the Unix socket."""
        return str(self._known().socket_dir)

    @property
    def socket_dir(self) -> Path:
        return self._known().socket_dir

    @property
    def port(self) -> int:
        return self._known().port

    @property
    def pid(self) -> int:
        return self._known().pid

    @property
    def password(self) -> str:
        self._known()
        return self._password.reveal()

    @property
    def log(self) -> Path:
        return self._data.parent / "server.log"

    def dsn(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """Give a DSN with the password, for the Unix socket or for 127.0.0.1."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        name = quote(database, safe="")
        if tcp:
            return f"postgresql://{login}@{LOOPBACK}:{self.port}/{name}"
        return f"postgresql://{login}@/{name}?" + urlencode({"host": self.host, "port": self.port})

    def __repr__(self) -> str:
        where = f"at {self._postmaster.socket}" if self._postmaster else "stopped"
        return f"<Server {where}>"

    def _known(self) -> Postmaster:
        if self._postmaster is None:
            raise RuntimeError("the server is not started")
        return self._postmaster

    # -- data directory

    def _open_root(self) -> Path:
        if self.root is None:
            root = Path(tempfile.mkdtemp(prefix="pgmagic-", dir=temporary_folder(self._account)))
            made = True
        else:
            root = self.root.expanduser().absolute()
            made = not root.exists()
            root.mkdir(parents=True, exist_ok=True)
        if made:
            # Another account must pass through, on its way to the data directory.
            root.chmod(0o700 if self._account.uid is None else 0o711)
        if not self._account.can_enter(root):
            raise SandboxError(
                f"the account {self._account.name}, which the server runs as, cannot enter {root}",
                hint="use a folder outside root's home",
            )
        return root

    # -- process

    def _running(self) -> Postmaster | None:
        """The server that another process has started on the same root."""
        postmaster = Postmaster.read(self._data)
        if postmaster is None:
            return None
        if postmaster.ready and postmaster.listens():
            return postmaster
        # A crash left it there.
        if postmaster.socket_dir.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(postmaster.socket_dir, ignore_errors=True)
        return None

    def _launch(self, socket_dir: Path, *, port: int | None = None) -> Postmaster:
        deadline = time.monotonic() + self.start_timeout
        attempts = 0
        while True:
            attempts += 1
            postmaster = self._try_launch(socket_dir, port or self._free_port(), deadline)
            if postmaster is not None:
                return postmaster
            said = self.log.read_text(errors="replace")[-2000:]
            # Both pass: another process was faster to take the port, or the backends of a
            # killed server are still on their way out.
            taken = "could not create any" in said and attempts < LAUNCH_ATTEMPTS
            if not (taken or "shared memory block" in said) or time.monotonic() > deadline:
                shutil.rmtree(socket_dir, ignore_errors=True)
                raise SandboxError(f"{self.binaries} did not start:\n{said}")
            time.sleep(STEP_SECONDS)

    def _try_launch(self, socket_dir: Path, port: int, deadline: float) -> Postmaster | None:
        command = [str(self.binaries.bindir / "postgres"), "-D", str(self._data)]
        for name, value in self._effective_settings(socket_dir, port).items():
            command += ["-c", f"{name}={value}"]
        if self._hold is not None:
            self._hold.announce_launch()
        self.log.touch(mode=0o600)
        with self.log.open("wb") as log:
            process = self._account.spawn(command, log)
        try:
            while process.poll() is None:
                postmaster = Postmaster.read(self._data)
                if postmaster and postmaster.ready and postmaster.pid == process.pid:
                    # Reaped whenever it ends, which may be long after we have left.
                    self._child = threading.Thread(target=process.wait, daemon=True)
                    self._child.start()
                    return postmaster
                if time.monotonic() > deadline:
                    break
                time.sleep(STEP_SECONDS)
        except BaseException:
            _end(process)
            raise
        _end(process)
        return None

    def _wait_ended(self) -> None:
        if self._child is not None:
            self._child.join(SHUTDOWN_SECONDS)

    def _effective_settings(self, socket_dir: Path, port: int) -> dict[str, str | int]:
        settings: dict[str, str | int] = {
            **DEFAULTS,
            "listen_addresses": LOOPBACK if self.tcp else "",
            "unix_socket_directories": str(socket_dir),
            "port": port,
        }
        if self.root is None:
            settings |= NOT_DURABLE
        if _shared_memory_is_small():
            # Parallel queries would fail with "could not resize shared memory segment".
            settings["dynamic_shared_memory_type"] = "mmap"
        return settings | self.settings

    def _free_port(self) -> int:
        if not self.tcp:
            return 5432  # the name of the socket, nothing more
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
            return port


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server that did not get ready; its children go with it."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        process.wait(SHUTDOWN_SECONDS)


def _shared_memory_is_small() -> bool:
    with contextlib.suppress(OSError):
        shared_memory = os.statvfs("/dev/shm")
        return shared_memory.f_bavail * shared_memory.f_frsize < MIN_SHARED_MEMORY
    return False
