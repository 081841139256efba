"""Two servers with three databases, a proxy before each, and what can be done to them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Self

import asyncpg

from pgmagic import DatabaseSettings
from pgmagic.sandbox.server import Server
from tests.servers import TestDatabase
from tests.soak.desk import FACTS, facts
from tests.soak.ledger import TABLE
from tests.soak.proxies import Proxies
from tests.soak.record import Record
from tests.soak.schedule import DATABASES, SERVERS, Fault, Planned

__all__ = ["APPLICATION", "SETTINGS", "World"]

APPLICATION = "pgmagic/%"
BACK_WITHIN = 20.0  # seconds for a server to recover

# So short that a fault of a few seconds meets every limit.
SETTINGS = {
    "max_size": 8,
    "connect_timeout": 2.0,
    "command_timeout": 3.0,
    "acquire_timeout": 5.0,
    "reset_timeout": 0.5,
}

OURS = "datname = $1 and application_name like $2"


class World:
    """What pgmagic is let loose on. `major` is the version of the servers."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._turns = [asyncio.Lock() for _ in set(SERVERS.values())]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._servers = [
                # What was committed must outlive a crash, or no write proves anything.
                await asyncio.to_thread(
                    stack.enter_context, Server(settings={"synchronous_commit": "on"})
                )
                for _ in self._turns
            ]
            self.databases = {name: self._database(name) for name in DATABASES}
            for name in DATABASES:
                await self._furnish(name)
            self.proxies = await stack.enter_async_context(Proxies(self.databases))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def major(self) -> int:
        return self._servers[0].binaries.major

    def settings(self) -> list[DatabaseSettings]:
        """Say how pgmagic reaches the databases: through the proxies."""
        return [
            DatabaseSettings(
                name=name,
                host="127.0.0.1",
                port=self.proxies.ports[name],
                user=database.user,
                database=database.name,
                password=lambda database=database: database.password,
                sslmode="disable",
                **SETTINGS,
            )
            for name, database in self.databases.items()
        ]

    async def backends(self) -> Mapping[str, int]:
        """Count the backends that serve pgmagic, by database."""
        return {name: await self._ask(name, "count(*)") for name in DATABASES}

    async def active(self) -> Mapping[str, int]:
        """Count those of them that are not idle."""
        count = "count(*) filter (where state <> 'idle')"
        return {name: await self._ask(name, count) for name in DATABASES}

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Let nothing be broken in the block; wait until nothing is."""
        async with AsyncExitStack() as stack:
            for turn in self._turns:
                await stack.enter_async_context(turn)
            yield

    async def break_(self, planned: Planned, record: Record) -> None:
        """Do what is planned, from its beginning to its end."""
        here = SERVERS[planned.database]
        whole = planned.fault in (Fault.RESTART, Fault.CRASH)
        touched = [name for name in DATABASES if whole and SERVERS[name] == here]
        async with self._turns[here]:  # one thing at a time, so that the end is the end
            trouble = record.begins(planned.fault, *(touched or [planned.database]))
            try:
                await self._do(planned, self._servers[here])
            finally:
                record.ends(trouble)

    async def _do(self, planned: Planned, server: Server) -> None:
        name = planned.database
        match planned.fault:
            case Fault.TERMINATE:
                if (pid := await self._victim(planned)) is not None:
                    await self._ask(name, f"pg_terminate_backend({pid}, 1000)", everybody=True)
            case Fault.RESET:
                await self.proxies.reset(name)
            case Fault.BLACK_HOLE:
                await self.proxies.set(name, blackhole=True)
                await asyncio.sleep(planned.seconds)
                # What was swallowed never arrives: those connections can't go on.
                await self.proxies.reset(name, blackhole=False)
            case Fault.DELAY:
                await self.proxies.set(name, latency=0.02 + 0.2 * planned.chance)
                await asyncio.sleep(planned.seconds)
                await self.proxies.set(name, latency=0.0)
            case Fault.RESTART:
                await asyncio.to_thread(server.restart)
            case Fault.CRASH:
                if (pid := await self._victim(planned)) is not None:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    await self._until_back(name, after=pid)

    async def _victim(self, planned: Planned) -> int | None:
        pids = await self._ask(planned.database, "array_agg(pid order by state, pid)")
        return pids[int(planned.chance * len(pids))] if pids else None

    async def _until_back(self, name: str, *, after: int) -> None:
        """Wait until the backend that was killed, and with it all others, is done with."""
        deadline = time.monotonic() + BACK_WITHIN
        while time.monotonic() < deadline:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                if after not in (await self._ask(name, "array_agg(pid)") or []):
                    return
            await asyncio.sleep(0.01)
        raise TimeoutError(f"the server of {name} has not recovered in {BACK_WITHIN:g} s")

    async def _ask(self, name: str, what: str, *, everybody: bool = False) -> object:
        """Ask about the backends of a database, past its proxy."""
        source = "" if everybody else f" from pg_stat_activity where {OURS}"
        async with self.databases[name].connection() as connection:
            arguments = () if everybody else (self.databases[name].name, APPLICATION)
            return await connection.fetchval(f"select {what}{source}", *arguments)

    def _database(self, name: str) -> TestDatabase:
        server = self._servers[SERVERS[name]]
        return TestDatabase(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            name=name,
        )

    async def _furnish(self, name: str) -> None:
        server = self._servers[SERVERS[name]]
        connection = await asyncpg.connect(server.dsn())
        await connection.execute(f"create database {name}")
        await connection.close()
        async with self.databases[name].connection() as connection:
            await connection.execute(f"{FACTS}; {TABLE}")
            rows = facts(name).astype(object)
            rows = rows.where(rows.notna(), None)
            await connection.copy_records_to_table("facts", records=rows.itertuples(index=False))
            await connection.execute("analyze")
