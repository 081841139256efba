"""Where faults are tried: a server that is broken again and again, and its quiet neighbour."""

import asyncio
import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from pgmagic.sandbox.binaries import Binaries, find_binaries
from pgmagic.sandbox.server import Server
from pgmagic.sandbox.watchdog import remove
from tests.servers import ORDERS, TestDatabase

__all__ = ["LEDGER", "SETTINGS", "World", "binaries_of", "opened"]

LEDGER = "create table ledger (id bigint)"  # without a key: what is written twice stands twice
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    # On: else a server that is killed loses what it said was committed.
    "synchronous_commit": "on",
    "deadlock_timeout": "50ms",
    "max_connections": "60",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`far` is what faults happen to, on a server that may be killed; `near` must notice nothing.

    Files may be written to `folder`.
    """

    server: Server
    far: TestDatabase
    near: TestDatabase
    folder: Path

    def restart(self) -> None:
        """Start the server of `far` again, whether it still runs or not. Blocks."""
        self.server.restart()


def binaries_of(choice: str) -> Binaries:
    """Find the programs of a server, as `--pg` of the tests does. Raises `SandboxError`."""
    return find_binaries(ORDERS[choice])


@contextmanager
def opened(binaries: Binaries, **changes: Any) -> Iterator[World]:
    """Start both servers; they and all files are gone after the block. `changes` are theirs."""
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="pgmagic-faults-"))
        stack.callback(remove, root)
        root.chmod(0o711)  # the account of the servers passes through
        servers = [
            stack.enter_context(
                Server(root / name, binaries=binaries, **{"settings": SETTINGS} | changes)
            )
            for name in ("far", "near")
        ]
        far, near = (_database(server) for server in servers)
        asyncio.run(_prepare(far, near))
        folder = root / "files"
        folder.mkdir()
        stack.callback(shutil.rmtree, folder)
        gc.freeze()  # each trial collects what it has left, and only that
        yield World(server=servers[0], far=far, near=near, folder=folder)


def _database(server: Server) -> TestDatabase:
    return TestDatabase(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        name="faults",
    )


async def _prepare(*databases: TestDatabase) -> None:
    for database in databases:
        where = {"host": database.host, "port": database.port, "user": database.user}
        connection = await asyncpg.connect(**where, password=database.password, database="postgres")
        await connection.execute(f"create database {database.name}")
        await connection.close()
        async with database.connection() as connection:
            await connection.execute(LEDGER)
