"""The databases that a program or a notebook knows, each with its pool."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from pgmagic.columns import listing
from pgmagic.database.checks import check
from pgmagic.database.configuration import Configuration
from pgmagic.database.neighbours import Neighbours
from pgmagic.database.passwords import Ask, Prompts
from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.snapshot import Snapshot
from pgmagic.database.statistics import DatabaseStatistics, Sample
from pgmagic.database.translation import translated
from pgmagic.errors import CellError, RecordingError, UnknownDatabase
from pgmagic.language.targets import resolve_targets
from pgmagic.snapshots import SECONDS, hold, let_go

__all__ = ["Pools"]


class Pools:
    """Databases by name, their groups, and a pool for each that has been used."""

    def __init__(
        self, configuration: Configuration | None = None, *, ask: Ask | None = None
    ) -> None:
        configuration = configuration or Configuration()
        self.databases: dict[str, DatabaseSettings] = dict(configuration.databases)
        self.groups: dict[str, tuple[str, ...]] = dict(configuration.groups)
        self.default: str | None = configuration.default
        self._pools: dict[str, DatabasePool] = {}
        self._prompts = Prompts(ask) if ask else None
        self._neighbours = Neighbours()
        self.replaying = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        open_pools = ", ".join(self._pools) or "none"
        kind = type(self).__name__
        return f"<pgmagic.{kind} [{len(self.databases)} databases | open pools: {open_pools}]>"

    def pool(self, name: str) -> DatabasePool:
        """Give the pool of a database. It connects when it is first asked for a connection.

        Raises `RecordingError` in a replay, which asks nobody.
        """
        if self.replaying:
            raise RecordingError(
                "this is a replay, which has recorded answers only: no database is asked",
                hint="without PGMAGIC_MODE=replay it runs on the live databases",
            )
        if name not in self._pools:
            self._pools[name] = DatabasePool(
                self.databases[name], neighbours=self._neighbours, prompts=self._prompts
            )
        return self._pools[name]

    async def add(self, settings: DatabaseSettings) -> None:
        """Add a database, or replace one of the same name and close its old pool."""
        pool = self._pools.pop(settings.name, None)
        self.databases[settings.name] = settings  # first: cells go on asking while the old closes
        if pool is not None:
            await pool.close()

    def targets(self, words: Sequence[str]) -> tuple[str, ...]:
        """Resolve names, patterns and groups. Raises `UnknownDatabase`."""
        return resolve_targets(words, tuple(self.databases), self.groups, self.default)

    def statistics(self) -> tuple[DatabaseStatistics, ...]:
        """Give the statistics of every pool that has been used."""
        return tuple(pool.statistics() for pool in self._pools.values())

    def history(self, name: str) -> Sequence[Sample]:
        """Give how busy a database's pool was of late."""
        pool = self._pools.get(name)
        return pool.history() if pool else ()

    async def close(self, *names: str) -> None:
        """Close the pools of these databases, or all: cancel, then close, then terminate."""
        chosen = [
            self._pools.pop(name) for name in names or tuple(self._pools) if name in self._pools
        ]
        await asyncio.gather(*(pool.close() for pool in chosen))

    async def remove(self, *names: str) -> None:
        """Forget databases, and close their pools."""
        for name in names:  # first, as in `add`
            self.databases.pop(name, None)
        await self.close(*names)

    def cancel(self, name: str, query: int) -> None:
        """Cancel a running query by the id that the statistics give it. From any thread."""
        if pool := self._pools.get(name):
            pool.running_queries.cancel(query)

    async def connect(self, settings: DatabaseSettings) -> str:
        """Add a database, try it, and say in one line what was reached.

        It stays added where it can't be reached. Raises `Unavailable` and `SettingsError`.
        """
        await self.add(settings)
        return await self.reach(settings.name)

    async def reach(self, name: str) -> str:
        """Try a database that is known, and say in one line what was reached.

        However long its circuit would stay open. Raises `Unavailable` and `SettingsError`.
        """
        pool = self.pool(name)
        pool.breaker.force_trial()
        started = time.monotonic()
        async with pool.acquire() as lease:
            elapsed = time.monotonic() - started
            with translated(name):
                [row] = await lease.connection.fetch(
                    "select current_setting('server_version') as version, current_user as role, "
                    "current_database() as database, "
                    "(select ssl from pg_stat_ssl where pid = pg_backend_pid()) as tls"
                )
        about = [
            f"{name}: PostgreSQL {row['version'].split()[0]}",
            f"{row['role']} in {row['database']}",
            "TLS" if row["tls"] else "no TLS",
            "read only" if pool.settings.read_only else "read and write",
            f"{elapsed * 1000:.0f} ms",
        ]
        return " · ".join(about)

    async def retry(self, *names: str) -> str:
        """Try databases now, however long their circuits would stay open."""
        for name in self.targets(names):
            await self.pool(name).retry_now()
        return f"{', '.join(self.targets(names))}: answers again"

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """What databases are held at, by name; also what is over or lost and was not let go."""
        return {name: pool.snapshot for name, pool in self._pools.items() if pool.snapshot}

    @asynccontextmanager
    async def snapshot(
        self, *targets: str, seconds: float = SECONDS
    ) -> AsyncIterator[tuple[Snapshot, ...]]:
        """Let all queries in the block read the databases as they are when it begins.

        Raises as `hold_snapshot`.
        """
        held = await self.hold_snapshot(*targets, seconds=seconds)
        try:
            yield held
        finally:
            ours = [name for name, snapshot in self.snapshots.items() if snapshot in held]
            await let_go([self.pool(name) for name in ours])

    async def hold_snapshot(self, *targets: str, seconds: float = SECONDS) -> tuple[Snapshot, ...]:
        """Let all queries from now on read the databases as they are now, on all or on none.

        Until `end_snapshot`, at most so many `seconds`: so long vacuum keeps what is deleted.
        Then queries raise `SnapshotEnded`. Raises the database's own error, or `FanOutError`.
        """
        return await hold([self.pool(name) for name in self.targets(targets)], seconds)

    async def end_snapshot(self, *targets: str) -> tuple[str, ...]:
        """Let queries read the present again, of these databases or of all; give their names."""
        names = self.targets(targets) if targets else tuple(self.snapshots)
        return await let_go([self._pools[name] for name in names if name in self._pools])

    async def check(self, *targets: str) -> Any:
        """Run the production checklist on databases, all at once; without a target on all.

        Gives a frame of what was found and what to do, what fails first. A database that is down
        is a line of it.
        """
        names = self.targets(targets) if targets else tuple(self.databases)
        found = await check([self.pool(name) for name in names])
        rows = [{"database": name, **asdict(finding)} for name in names for finding in found[name]]
        rows.sort(key=lambda row: ("fail", "warn", "pass").index(row["result"]))
        return listing(("check", "database", "result", "found", "remedy"), rows)

    async def close_session(self, session: str, *names: str) -> str:
        """Close a session on these databases, or on all that have it."""
        closed = [
            name
            for name in names or tuple(self._pools)
            if name in self._pools and await self._pools[name].sessions.close(session)
        ]
        if not closed:
            raise CellError(f"there is no session {session}")
        return f"session {session} closed on {', '.join(closed)}"

    def listing(self) -> Any:
        """Give a frame of the databases: name, where, groups, read only or not, state."""
        rows = []
        for name, settings in self.databases.items():
            pool = self._pools.get(name)
            rows.append(
                {
                    "name": name,
                    "database": settings.database,
                    "host": settings.host or settings.service or settings.dsn_env,
                    "groups": " ".join(
                        f"@{group}" for group in self.groups if name in self._members(group)
                    ),
                    "read_only": settings.read_only,
                    "open": pool.statistics().size if pool else 0,
                    "breaker": pool.statistics().breaker if pool else "closed",
                }
            )
        return listing(("name", "database", "host", "groups", "read_only", "open", "breaker"), rows)

    def _members(self, group: str) -> tuple[str, ...]:
        try:
            return self.targets([f"@{group}"])
        except UnknownDatabase:  # a pattern that nothing matches yet
            return ()
