"""Fill the sandbox's databases, each all or nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg

from pgmagic.sandbox import schema
from pgmagic.sandbox.nycflights import Rows, find_data, read_rows
from pgmagic.sandbox.secret import verifier
from pgmagic.sandbox.server import Server
from pgmagic.secret import Secret, bare

__all__ = ["ROLE", "Progress", "fill"]

# Called with the name of a stage, how much of it is done, and how much there is. What is
# counted depends on the stage: servers, rows or databases.
Progress: TypeAlias = Callable[[str, int, int], None]

ROLE = "pgmagic"
BATCH = 5_000  # lines sent at a time
# A database gets its own name when it is complete, as the last step.
UNFINISHED = "_unfinished"


async def fill(
    homes: Mapping[str, Server],
    password: Secret,
    report: Progress,
    *,
    data: Path | None = None,
    reset: bool = False,
) -> None:
    """Make the databases that are missing; with `reset` make all of them anew.

    `homes` says which server each database lives on, `password` is for the role that owns
    them. What an interrupted run has left behind is dropped. `data` is the folder of the CSV
    files, where that is not the package's.
    """
    missing: dict[str, Server] = {}
    for server in dict.fromkeys(homes.values()):
        names = {name for name, home in homes.items() if home is server}
        unfilled = await _prepare(server, names, password, reset=reset)
        missing |= dict.fromkeys(unfilled, server)
    if missing:
        await _load(missing, data or find_data(), report)


async def _prepare(server: Server, names: set[str], password: Secret, *, reset: bool) -> set[str]:
    """Make the role, drop what is unfinished or to be reset; give the names to be filled."""
    async with _connected(server) as connection:
        if not await connection.fetchval("select true from pg_roles where rolname = $1", ROLE):
            await connection.execute(f"create role {ROLE} login")
        await connection.execute(f"alter role {ROLE} password '{verifier(password)}'")
        rows = await connection.fetch("select datname from pg_database")
        found = {row["datname"] for row in rows}
        to_drop = {f"{name}{UNFINISHED}" for name in names} | (names if reset else set())
        for name in to_drop & found:
            await connection.execute(f'drop database "{name}" with (force)')
        return names - (found - to_drop)


async def _load(missing: Mapping[str, Server], data: Path, report: Progress) -> None:
    tables = {table: read_rows(data, table) for table in schema.TABLES}
    contents = {
        name: {table: rows.where("origin", name.upper()) for table, rows in tables.items()}
        for name in missing
    }
    loading = _Stage("loading rows", _count(contents), report)
    indexing = _Stage("building indexes", len(missing), report)
    # One stage after the other for all: a bar that jumps between them tells nothing.
    everything_loaded = asyncio.Barrier(len(missing))

    async def make(name: str, server: Server) -> None:
        # Copied in the transaction that made the table, rows are frozen, and no WAL is written
        # where wal_level is minimal.
        async with _new_database(server, name) as connection, connection.transaction():
            await connection.execute(schema.CREATE)
            for table, rows in contents[name].items():
                await _copy(connection, table, rows, loading)
            await everything_loaded.wait()
            await connection.execute(schema.COMPLETE)
        indexing.advance(1)

    try:
        async with asyncio.TaskGroup() as tasks:
            for name, server in missing.items():
                tasks.create_task(make(name, server))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


class _Stage:
    """How far the databases have come together."""

    def __init__(self, name: str, total: int, report: Progress) -> None:
        self._name, self._total, self._report = name, total, report
        self._done = 0

    def advance(self, done: int) -> None:
        self._done += done
        self._report(self._name, self._done, self._total)


def _count(contents: Mapping[str, Mapping[str, Rows]]) -> int:
    return sum(len(rows.lines) for tables in contents.values() for rows in tables.values())


@asynccontextmanager
async def _new_database(server: Server, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Make a database and give a connection to fill it; it has its name when that went well."""
    unfinished = f"{name}{UNFINISHED}"
    async with _connected(server) as administrator:
        await administrator.execute(f'create database "{unfinished}" owner {ROLE}')
        async with _connected(server, unfinished, role=ROLE) as connection:
            yield connection
        await administrator.execute(
            f'alter database "{unfinished}" rename to "{name}";'
            f"comment on database \"{name}\" is 'Departures from {name.upper()} in 2013'"
        )


@asynccontextmanager
async def _connected(
    server: Server, database: str = "postgres", **settings: str
) -> AsyncIterator[asyncpg.Connection]:
    """Connect as the administrator; an error shows no frame of the driver with the password."""
    try:
        connection = await asyncpg.connect(server.dsn(database), server_settings=settings)
    except BaseException as error:
        raise bare(error) from None
    try:
        yield connection
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection, table: str, rows: Rows, loading: _Stage) -> None:
    async def batches() -> AsyncIterator[bytes]:
        for start in range(0, len(rows.lines), BATCH):
            batch = rows.lines[start : start + BATCH]
            yield b"".join(batch)
            loading.advance(len(batch))

    await connection.copy_to_table(
        table, source=batches(), columns=rows.columns, format="csv", null="NA", freeze=True
    )
