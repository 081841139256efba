"""PgBouncer in transaction mode, with its default settings, before a test's database.

Skipped where the program is not installed; it fails in CI.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote, urlencode

import pytest

from pgmagic.sandbox.account import Account
from tests.servers import TestDatabase, missing

PORT = 6432  # the name of a socket, nothing more
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PgBouncer:
    """A pooler in front of one database, at a Unix socket."""

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


@pytest.fixture
def pgbouncer(database: TestDatabase) -> Iterator[PgBouncer]:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        missing("pgbouncer is not installed")
    account = Account.choose()  # it refuses root, as PostgreSQL does
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    try:
        _configure(folder, database)
        for path in (folder, *folder.iterdir()):
            account.own(path)
        with (folder / "log").open("wb") as log:
            process = account.spawn([program, str(folder / "pgbouncer.ini")], log)
        try:
            deadline = monotonic() + START_SECONDS
            while not (folder / f".s.PGSQL.{PORT}").exists():
                if process.poll() is not None or monotonic() > deadline:
                    pytest.fail(f"pgbouncer did not start:\n{(folder / 'log').read_text()}")
                sleep(0.01)
            yield PgBouncer(
                host=str(folder),
                port=PORT,
                user=database.user,
                password=database.password,
                name=database.name,
            )
        finally:
            process.kill()
            process.wait(10)
    finally:
        shutil.rmtree(folder)


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
    for name, text in (
        ("pgbouncer.ini", settings),
        ("users.txt", f'"{database.user}" "{database.password}"\n'),
    ):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
