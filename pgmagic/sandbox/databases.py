"""The databases of the sandbox, on two servers: ewr on one, jfk and lga on the other."""

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from pathlib import Path
from types import MappingProxyType
from typing import Self

import asyncpg

from pgmagic.errors import SandboxError
from pgmagic.sandbox.address import Address
from pgmagic.sandbox.binaries import Binaries, find_binaries
from pgmagic.sandbox.folder import open_folder, sandbox_folder
from pgmagic.sandbox.hold import exclusive
from pgmagic.sandbox.loading import ROLE, Progress, fill
from pgmagic.sandbox.secret import new_password, write_secret
from pgmagic.sandbox.server import Server
from pgmagic.secret import Secret

__all__ = ["Sandbox", "start_sandbox"]

# Newark is in New Jersey, the other two airports are in the city.
HOMES = {"ewr": "newjersey", "jfk": "newyork", "lga": "newyork"}

SETTINGS = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Nobody replicates a sandbox; filling it writes hardly any WAL then.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
}


class Sandbox:
    """Three running databases. They stop with `stop`, or when the last process that uses them ends.

    `databases` gives the address of each by name; `servers` are what they run on.
    """

    def __init__(self, servers: Mapping[str, Server], password: Secret) -> None:
        self.servers = MappingProxyType(dict(servers))
        self.databases: Mapping[str, Address] = MappingProxyType(
            {
                name: Address(
                    host=servers[home].host,
                    port=servers[home].port,
                    user=ROLE,
                    secret=password,
                    database=name,
                )
                for name, home in HOMES.items()
            }
        )

    def halt(self, database: str) -> tuple[str, ...]:
        """Stop the server of a database, for everybody; give all databases that it has."""
        self.servers[HOMES[database]].halt()
        return self._beside(database)

    def resume(self, database: str) -> tuple[str, ...]:
        """Start the server of a database again, where it was; give all databases that it has."""
        self.servers[HOMES[database]].resume()
        return self._beside(database)

    def _beside(self, database: str) -> tuple[str, ...]:
        return tuple(name for name in self.databases if HOMES[name] == HOMES[database])

    def stop(self) -> None:
        """Give up the use of the servers; their last user stops them."""
        _stop(self.servers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Sandbox {', '.join(self.databases)}>"


def start_sandbox(
    progress: Progress | None = None,
    *,
    reset: bool = False,
    folder: Path | None = None,
    binaries: Binaries | None = None,
    data: Path | None = None,
) -> Sandbox:
    """Do what `pgmagic.sandbox.start` says.

    `folder` keeps the data, `binaries` are those of the server, `data` is the folder of the
    CSV files; all three are found where they are not given.
    """
    report = _silence if progress is None else progress
    folder = folder or sandbox_folder()
    open_folder(folder)
    binaries = binaries or find_binaries()
    servers = {
        name: Server(folder / name, binaries=binaries, settings=SETTINGS, tcp=False)
        for name in dict.fromkeys(HOMES.values())
    }
    with exclusive(folder / "start.lock"):
        password = _role_password(folder / "password")
        try:
            _start(servers, report)
            homes = {name: servers[home] for name, home in HOMES.items()}
            _run(fill(homes, password, report, data=data, reset=reset))
            return Sandbox(servers, password)
        except (asyncpg.PostgresError, OSError) as error:
            _stop(servers)
            raise SandboxError(f"the sandbox could not be filled: {error}") from error
        except BaseException:
            _stop(servers)
            raise


def _role_password(path: Path) -> Secret:
    try:
        return Secret(path.read_text())
    except FileNotFoundError:
        password = new_password()
        write_secret(path, password)
        return password


def _start(servers: Mapping[str, Server], report: Progress) -> None:
    """Start all at the same time; a first start takes a second."""
    report("starting servers", 0, len(servers))
    with ThreadPoolExecutor(len(servers)) as pool:
        starts = [pool.submit(server.start) for server in servers.values()]
        for done, start in enumerate(as_completed(starts), 1):
            start.result()
            report("starting servers", done, len(servers))


def _stop(servers: Mapping[str, Server]) -> None:
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(Server.stop, servers.values()))


def _run(coroutine: Coroutine[None, None, None]) -> None:
    """Run it to its end in a thread, because ours may have a loop that runs already.

    The thread has our context: a kernel finds there which cell the progress belongs to.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(copy_context().run, asyncio.run, coroutine).result()


def _silence(stage: str, done: int, total: int) -> None:
    """Report to nobody."""
