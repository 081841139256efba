"""PgBouncer in transaction mode, with its default settings, before a test's database.

Skipped where the program is not installed; it fails in CI.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest

from pgmagic.sandbox.account import Account
from tests.servers import TestDatabase, missing

if TYPE_CHECKING:
    import subprocess

PORT = 6432  # the name of a socket, nothing more
START_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class PgBouncer:
    """A pooler in front of one database, at a Unix socket."""

    program: str
    process: "subprocess.Popen[bytes] | None" = None

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str

    @property
    def dsn(self) -> str:
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@/{self.name}?" + urlencode(
            {"host": self.host, "port": self.port}
        )

    def start(self) -> None:
        """Start it, and wait until it listens."""
        folder = Path(self.host)
        with (folder / "log").open("wb") as log:
            # It refuses root, as PostgreSQL does.
            self.process = Account.choose().spawn(
                [self.program, str(folder / "pgbouncer.ini")], log
            )
        deadline = monotonic() + START_SECONDS
        while not self.socket.exists():
            if self.process.poll() is not None or monotonic() > deadline:
                pytest.fail(f"pgbouncer did not start:\n{(folder / 'log').read_text()}")
            sleep(0.01)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.socket.unlink(missing_ok=True)

    @property
    def socket(self) -> Path:
        return Path(self.host) / f".s.PGSQL.{self.port}"


def installed() -> str | None:
    """Find the program."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def pgbouncer_before(database: TestDatabase, program: str) -> Iterator[PgBouncer]:
    """Run a pooler in front of a database while the block runs."""
    account = Account.choose()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    pooler = PgBouncer(
        program=program,
        host=str(folder),
        port=PORT,
        user=database.user,
        password=database.password,
        name=database.name,
    )
    try:
        _configure(folder, database)
        for path in (folder, *folder.iterdir()):
            account.own(path)
        try:
            pooler.start()
            yield pooler
        finally:
            if pooler.process is not None:
                pooler.kill()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def pgbouncer(database: TestDatabase) -> Iterator[PgBouncer]:
    program = installed()
    if program is None:
        missing("pgbouncer is not installed")
    with pgbouncer_before(database, program) as pooler:
        yield pooler


def _configure(folder: Path, database: TestDatabase) -> None:
    settings = f"""\
[databases]
{database.name} = host={database.host} port={database.port}

[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {PORT}
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
"""
    password = database.password.replace('"', '""')
    for name, text in (
        ("pgbouncer.ini", settings),
        ("users.txt", f'"{database.user}" "{password}"\n'),
    ):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
