"""Named connections that keep their state from cell to cell."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Literal

from pgmagic.database.connection import Connection
from pgmagic.database.lease import STOPPED, Lease
from pgmagic.database.statistics import SessionStatistics
from pgmagic.errors import ConnectionLost, PoolTimeout, QueryCancelled
from pgmagic.grace import CANCEL_GRACE

__all__ = ["Session", "Sessions"]


class Session:
    """One connection that belongs to a name: its temporary tables, settings and transaction stay.

    It stands beside the pool and takes no slot of it.
    """

    def __init__(
        self, name: str, connection: Connection, *, database: str, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.database = database
        self.connection = connection
        self._clock = clock
        self._used = clock()
        self._aborted = False
        self._closing = False
        self._busy = asyncio.Lock()

    @property
    def is_closed(self) -> bool:
        return self.connection.is_closed()

    @property
    def transaction(self) -> Literal["none", "open", "aborted"]:
        """State of the user's own transaction; an aborted one takes nothing but ROLLBACK."""
        if self.is_closed or not self.connection.is_in_transaction():
            return "none"
        return "aborted" if self._aborted else "open"

    @asynccontextmanager
    async def lease(self, *, timeout: float) -> AsyncIterator[Lease]:
        """Use the connection, one cell at a time. `timeout` is in seconds.

        Raises PoolTimeout where another cell uses it for longer, ConnectionLost where it broke.
        """
        await self._enter(timeout)
        try:
            if self.is_closed:
                raise ConnectionLost(
                    f"the connection of session {self.name} was lost, and with it "
                    "its temporary tables, settings and transaction",
                    database=self.database,
                    sent=False,
                    hint="the next cell begins the session anew",
                )
            lease = Lease(self.connection, database=self.database, since=self._clock())
            try:
                yield lease
            except BaseException as error:
                self._aborted = True
                if self._closing and isinstance(error, Exception):
                    # What the driver says of it depends on the moment.
                    raise QueryCancelled(
                        f"session {self.name} was closed", database=self.database
                    ) from None
                if isinstance(error, STOPPED):
                    await self._settle()
                raise
            else:
                self._aborted = False
            finally:
                lease.end()
                self._used = self._clock()
        finally:
            self._busy.release()

    def statistics(self) -> SessionStatistics:
        return SessionStatistics(
            name=self.name,
            pid=self.connection.get_server_pid() if not self.is_closed else 0,
            transaction=self.transaction,
            busy=self._busy.locked(),
            idle=self._clock() - self._used,
        )

    async def close(self, *, timeout: float) -> None:
        """Close the connection; what runs on it is cancelled. `timeout` is in seconds."""
        self._closing = True
        try:
            await self.connection.close(timeout=timeout)
        except Exception:  # it is gone, which is all that was wanted
            self.connection.terminate()

    async def _enter(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._busy.acquire()
        except TimeoutError:
            raise PoolTimeout(
                f"another cell used session {self.name} for {timeout:g} s",
                database=self.database,
            ) from None

    async def _settle(self) -> None:
        """Wait until the server has acknowledged a cancellation, or give the connection up."""
        settling = asyncio.ensure_future(self.connection.is_alive(timeout=CANCEL_GRACE))
        await asyncio.wait({settling})  # goes on by itself where this wait is cancelled too


class Sessions:
    """The sessions of one database, by name."""

    def __init__(
        self,
        database: str,
        connect: Callable[[], Awaitable[Connection]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._connect = connect
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, name: str) -> Session | None:
        return self._sessions.get(name)

    async def open(self, name: str) -> Session:
        """Give the session of that name, with a new connection where there is none yet."""
        async with self._opening.setdefault(name, asyncio.Lock()):
            session = self._sessions.get(name)
            if session is None:
                connection = await self._connect()
                session = Session(name, connection, database=self._database, clock=self._clock)
                self._sessions[name] = session
            return session

    @asynccontextmanager
    async def lease(self, name: str, *, timeout: float) -> AsyncIterator[Lease]:
        """Use a session, opened where it is not yet. `timeout` is in seconds.

        A session whose connection broke says so once, and is begun anew by the next cell.
        """
        session = await self.open(name)
        try:
            async with session.lease(timeout=timeout) as lease:
                yield lease
        finally:
            if session.is_closed and self._sessions.get(name) is session:
                del self._sessions[name]

    async def close(self, name: str, *, timeout: float = CANCEL_GRACE) -> bool:
        """Close a session; False where there is none of that name. `timeout` is in seconds."""
        session = self._sessions.pop(name, None)
        if session is not None:
            await session.close(timeout=timeout)
        return session is not None

    def terminate(self) -> None:
        """Drop all connections at once; what runs on them may go on for a moment."""
        for session in self:
            session.connection.terminate()
        self._sessions.clear()

    def statistics(self) -> tuple[SessionStatistics, ...]:
        return tuple(session.statistics() for session in self)
