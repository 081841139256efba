"""The open connections of one pool: lent, reset, checked, closed when idle."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncpg

from pgmagic import events
from pgmagic.database.connection import Connection
from pgmagic.database.connector import Connector
from pgmagic.database.endpoint import Address
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.statistics import Recorder
from pgmagic.grace import CANCEL_GRACE

__all__ = ["Connections", "Taken"]

CHECK_AFTER = 30.0  # seconds of idleness: firewalls forget a connection without a word
CHECK_TIMEOUT = 2.0


class Taken(NamedTuple):
    """A connection from asyncpg's pool. `warm`: it was open; `answered`: the server was asked."""

    connection: Any  # asyncpg's proxy, dead once it is handed back
    warm: bool
    answered: bool


class Connections:
    """asyncpg's pool of one database, and what it leaves to be done.

    `opening` counts the connections that are being made.

    asyncpg's own floor of connections is not used: it reconnects in the background past every
    breaker. Here `min_size` connections stay open once they are, until the whole pool is idle.
    """

    def __init__(
        self, settings: DatabaseSettings, connector: Connector, recorder: Recorder
    ) -> None:
        self._settings = settings
        self._connector = connector
        self._recorder = recorder
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._open: set[Connection] = set()
        self.opening = 0
        self._reaper: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[Connection]:
        return (connection for connection in tuple(self._open) if not connection.is_closed())

    @property
    def size(self) -> int:
        return sum(1 for _ in self)

    @property
    def idle(self) -> int:
        return sum(connection.idle_since is not None for connection in self)

    @property
    def busy(self) -> int:
        """How many are lent, being reset or being opened: sooner or later they are idle."""
        return self.size - self.idle + self.opening

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where they lead; nothing before the first of them."""
        return self._connector.addresses

    def longest_idle(self) -> Connection | None:
        """Give the one that nobody has needed for the longest time."""
        idle = [connection for connection in self if connection.idle_since is not None]
        return min(idle, key=lambda connection: connection.idle_since or 0.0, default=None)

    async def take(self, *, check: bool = False) -> Taken:
        """Take an idle connection, or open one. `check` asks the server even of a fresh one.

        Raises what `Connector.connect` raises.
        """
        pool = self._pool
        if pool is None:
            pool = self._pool = await self._make_pool()
        if self.idle:
            # The loop may have news of them that it had no time to read: that they are gone.
            await asyncio.sleep(0)
        while True:
            proxy: Any = await pool.acquire()
            connection: Connection = proxy.itself()
            idle = connection.idle_for()
            connection.mark_used()
            if idle is None:
                return Taken(proxy, warm=False, answered=True)
            if idle < CHECK_AFTER and not check:
                return Taken(proxy, warm=True, answered=False)
            try:
                if await connection.is_alive(timeout=CHECK_TIMEOUT):
                    return Taken(proxy, warm=True, answered=True)
            except BaseException:
                connection.retire()
                raise
            # What happened to one happened to all that were idle with it.
            self.drop_idle()

    async def give_back(self, proxy: Any) -> None:
        """Reset a connection and let the next one have it, within `CANCEL_GRACE`.

        Raises what went wrong; the connection is closed then.
        """
        assert self._pool is not None
        try:
            connection: Connection = proxy.itself()
        except (AttributeError, asyncpg.InterfaceError):
            return  # it broke, and left the pool already
        connection.retired = True
        try:
            if connection.tainted:
                await connection.close(timeout=CANCEL_GRACE)
            else:
                await self._pool.release(proxy, timeout=CANCEL_GRACE)
        except BaseException:
            connection.terminate()
            raise
        if not connection.is_closed():
            connection.retired = False
            connection.mark_idle()
            self._schedule_reaper()

    def drop_idle(self) -> None:
        """Close all idle connections."""
        for connection in self:
            if connection.idle_since is not None:
                connection.retire()

    async def expire(self) -> None:
        """Close all connections: the idle ones now, the others when they are handed back."""
        self.drop_idle()
        if self._pool is not None:
            await self._pool.expire_connections()

    async def close(self, *, timeout: float) -> None:
        """Close all connections, having cancelled what runs on them. `timeout` is in seconds."""
        closing = []
        for connection in self:
            connection.retired = True
            closing.append(asyncio.ensure_future(connection.close(timeout=timeout)))
        await asyncio.gather(*closing, return_exceptions=True)
        self.terminate()

    def terminate(self) -> None:
        """Drop all connections at once."""
        if self._reaper is not None:
            self._reaper.cancel()
        for connection in self:
            connection.retire()
        if self._pool is not None:
            self._pool.terminate()

    async def _make_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        # With nothing to open yet this waits for nothing, so there is one pool however many ask.
        return await asyncpg.create_pool(
            connect=self._connect,
            connection_class=Connection,
            min_size=0,
            init_size=0,
            max_size=self._settings.max_size,
            max_queries=self._settings.max_queries,
            max_inactive_connection_lifetime=0,
        )

    async def _connect(self, *_: Any, **__: Any) -> Connection:
        started = self._recorder.clock()
        self.opening += 1
        try:
            connection = await self._connector.connect()
        except Exception:
            self._recorder.connections_errors += 1
            raise
        finally:
            self.opening -= 1
        self._recorder.connected(self._recorder.clock() - started)
        self._open.add(connection)
        # A listener of asyncpg gets the proxy of the moment, and what was lent is not what we hold.
        connection.add_termination_listener(lambda _: self._ended(connection))
        return connection

    def _ended(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not connection.retired:
            self._recorder.connections_lost += 1
            events.connection_lost(self._settings.name)

    def _schedule_reaper(self) -> None:
        if self._reaper is None:
            limit = min(
                self._settings.max_inactive_connection_lifetime, self._settings.idle_pool_lifetime
            )
            self._reaper = asyncio.get_running_loop().call_later(limit, self._reap)

    def _reap(self) -> None:
        """Close what was idle for too long, the longest idle first."""
        self._reaper = None
        idle = sorted(
            (c for c in self if c.idle_since is not None), key=lambda c: c.idle_since or 0.0
        )
        left = self.size
        for connection in idle:
            limit = self._settings.idle_pool_lifetime
            if left > self._settings.min_size:
                limit = min(limit, self._settings.max_inactive_connection_lifetime)
            if (connection.idle_for() or 0.0) >= limit:
                connection.retire()
                left -= 1
        if self.idle:
            self._schedule_reaper()
