"""One database: its connections, its breaker, its counters."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pgmagic.database.breaker import Breaker
from pgmagic.database.connection import Connection
from pgmagic.database.connections import Connections
from pgmagic.database.connector import Connect, Connector
from pgmagic.database.endpoint import Endpoint
from pgmagic.database.fault import Verdict, verdict
from pgmagic.database.lease import STOPPED, Lease
from pgmagic.database.lending import Lending
from pgmagic.database.neighbours import Neighbours
from pgmagic.database.opening import MayWait, Opening
from pgmagic.database.passwords import Prompts
from pgmagic.database.quiet import keep_quiet
from pgmagic.database.running import RunningQueries, RunningQuery
from pgmagic.database.session import Sessions
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.snapshot import Snapshot, take
from pgmagic.database.statistics import DatabaseStatistics, Recorder, Sample, percentile
from pgmagic.errors import CellError, CircuitOpen, PgMagicError, Unavailable

if TYPE_CHECKING:
    from pgmagic.outcome import PgType

__all__ = ["DatabasePool", "Lease", "Visit"]

CLOSE_TIMEOUT = 2.0  # seconds to say good-bye


class Visit(NamedTuple):
    """A connection beside the pool, where it goes, and the seconds that it took to open it."""

    connection: Connection
    endpoint: Endpoint
    connect_seconds: float


class DatabasePool:
    """The connections of one database, lent to cells in the order in which they ask.

    Nothing is opened before the first cell asks. A pool belongs to the event loop of its first
    use. All times are in seconds.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        neighbours: Neighbours | None = None,
        prompts: Prompts | None = None,
        connect: Connect | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.types: dict[int, PgType] = {}
        self.tells_position: bool | None = None  # known after the first transaction
        self.has_copy: bool | None = None  # in binary; known once a connection has asked
        self.breaker = Breaker(
            settings.name,
            fail_max=settings.fail_max,
            reset_timeout=settings.reset_timeout,
            clock=clock,
        )
        self.running_queries = RunningQueries(settings.name, clock=clock)
        self.sessions = Sessions(settings.name, partial(self._open_own, "a session"), clock=clock)
        self.snapshot: Snapshot | None = None  # what cells read, also where it is over or lost
        self._clock = clock
        self._recorder = Recorder(clock)
        self._connector = Connector(settings, prompts=prompts, connect=connect)
        self._connections = Connections(settings, self._connector, self._recorder)
        self._neighbours = neighbours or Neighbours()
        self._opening = Opening(
            settings,
            self.breaker,
            self._connector,
            self._connections,
            self._neighbours,
            prompts=prompts,
            clock=clock,
        )
        self._lending = Lending(
            settings,
            connections=self._connections,
            opening=self._opening,
            neighbours=self._neighbours,
            breaker=self.breaker,
            running=self.running_queries,
            recorder=self._recorder,
            check_usable=self._check_usable,
            clock=clock,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __repr__(self) -> str:
        now = self.statistics()
        return (
            f"<DatabasePool {self.name!r} [{now.size} open, {now.idle} idle, {now.waiting} waiting "
            f"of {now.max_size} | breaker {now.breaker}]>"
        )

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def endpoint(self) -> Endpoint:
        """Where the next connection goes. Raises SettingsError."""
        return self._connector.endpoint

    @property
    def pooled(self) -> bool:
        """Whether PgBouncer was found between here and the server."""
        return self._connector.pooled

    @property
    def local_settings(self) -> tuple[str, ...]:
        """Statements that each transaction begins with, where no connection could be told."""
        return self._connector.local_settings

    @property
    def is_closed(self) -> bool:
        return self._closed

    @asynccontextmanager
    async def acquire(
        self, *, timeout: float | None = None, may_wait: MayWait = lambda: True
    ) -> AsyncIterator[Lease]:
        """Lend a connection; `timeout` counts until there is one.

        Where the server is full, an idle connection of a pool beside this one is closed for it.
        Where none is idle, one is waited for, unless `may_wait` objects.

        It is reset in the background afterwards, so that an answer waits for nothing. Where the
        block was stopped, the statement is cancelled on the server first, for two seconds at
        most; a connection that does not settle is closed.

        Raises CircuitOpen, ConnectFailed, PoolTimeout, SettingsError.
        """
        limit = self.settings.acquire_timeout if timeout is None else timeout
        with self._request():
            lease = await self._lending.lend(limit, may_wait)
        since = self.breaker.outages
        try:
            yield lease
        except BaseException as error:
            self._learn(error, since)
            returned = self._lending.take_back(lease)
            if isinstance(error, STOPPED):
                self._recorder.cancels += 1
                # A second interrupt ends this wait only; the connection still comes back.
                await asyncio.wait({returned})
            raise
        else:
            self.breaker.record(Verdict.ANSWERED)
            self._lending.take_back(lease)

    @asynccontextmanager
    async def session(self, name: str, *, timeout: float | None = None) -> AsyncIterator[Lease]:
        """Lend the connection of a session, opened where it is not yet; nothing is reset.

        Raises what `acquire` raises, and ConnectionLost where its connection broke meanwhile.
        """
        limit = self.settings.acquire_timeout if timeout is None else timeout
        with self._request():
            await self.sessions.open(name)
        async with self.sessions.lease(name, timeout=limit) as lease:
            since = self.breaker.outages
            try:
                yield lease
            except BaseException as error:
                self._learn(error, since)
                self._recorder.cancels += isinstance(error, STOPPED)
                raise
            else:
                self.breaker.record(Verdict.ANSWERED)

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visit]:
        """Lend a new connection that nobody else has or gets: to look at the database.

        It is opened even where the circuit is open, takes no slot, and is closed afterwards.
        Raises CircuitOpen where somebody else tries just now, ConnectFailed, SettingsError.
        """
        self.breaker.force_trial()
        with self._request():
            connection, elapsed = await self._opening.apart()
        try:
            yield Visit(connection, self.endpoint, elapsed)
        finally:
            with suppress(Exception):  # whatever it says, nobody uses it again
                await connection.close(timeout=CLOSE_TIMEOUT)
            connection.terminate()

    async def take_snapshot(self, seconds: float) -> Snapshot:
        """Export a snapshot that lasts so many seconds, on a new connection beside the pool.

        Cells read it once it is `hold`'s. Raises what `acquire` raises, QueryError, and CellError
        where a pooler stands in between.
        """
        with self._request():
            connection = await self._open_own("a snapshot")
        limit = self.settings.acquire_timeout
        return await take(connection, database=self.name, seconds=seconds, timeout=limit)

    def hold(self, snapshot: Snapshot | None) -> Snapshot | None:
        """Let all cells from now on read a snapshot, or the present; give what they read before.

        That, where there is one, is the caller's to end.
        """
        before, self.snapshot = self.snapshot, snapshot
        return before

    def running(self, sql: str, cell: str | None = None) -> AbstractContextManager[RunningQuery]:
        """List a query while the block runs, so that somebody can see and cancel it."""
        return self.running_queries.register(sql, cell)

    def statistics(self) -> DatabaseStatistics:
        """Give all counts and gauges of this instant."""
        recorder = self._recorder
        return DatabaseStatistics(
            database=self.name,
            size=self._connections.size,
            idle=self._connections.idle,
            in_use=self._lending.in_use,
            waiting=self._lending.waiting,
            max_size=self.settings.max_size,
            requests_num=recorder.requests_num,
            requests_queued=recorder.requests_queued,
            requests_errors=recorder.requests_errors,
            requests_wait_ms=recorder.requests_wait_ms,
            usage_ms=recorder.usage_ms,
            acquire_p50_ms=percentile(recorder.acquires, 0.50),
            acquire_p95_ms=percentile(recorder.acquires, 0.95),
            usage_p50_ms=percentile(recorder.usages, 0.50),
            usage_p95_ms=percentile(recorder.usages, 0.95),
            connections_num=recorder.connections_num,
            connections_ms=recorder.connections_ms,
            connections_errors=recorder.connections_errors,
            connections_lost=recorder.connections_lost,
            returns_bad=recorder.returns_bad,
            cancels=recorder.cancels,
            breaker=self.breaker.state,
            retry_in=self.breaker.retry_in,
            failures=self.breaker.failures,
            pooled=self.pooled,
            last_error=recorder.last_error,
            sessions=self.sessions.statistics(),
            running=self.running_queries.statistics(),
            snapshot=self.snapshot.statistics() if self.snapshot else None,
        )

    def history(self) -> Sequence[Sample]:
        """Give how busy the pool was of late, oldest first, taken whenever that changed."""
        return self._recorder.history()

    async def retry_now(self) -> None:
        """Try the database at once, however long its circuit would stay open.

        Raises what `acquire` raises.
        """
        self.breaker.force_trial()
        async with self.acquire() as lease:
            await lease.connection.execute("select")

    async def settle(self) -> None:
        """Wait until what was lent and came back is ready for the next, or closed."""
        await self._lending.settle()

    async def close_idle(self) -> None:
        """Close what is idle now, and wait until the server has heard of it."""

        async def close_one() -> None:
            async with self.acquire() as lease:
                lease.taint()

        closing = (close_one() for _ in range(self._connections.idle))
        await asyncio.gather(*closing, return_exceptions=True)
        await self.settle()

    async def expire(self) -> None:
        """Renew all connections, and look up anew where they go."""
        self._connector.forget()
        self.types.clear()
        self.tells_position = self.has_copy = None
        await self._connections.expire()

    async def close(self, *, grace: float = 2.0) -> None:
        """Cancel what runs, close the connections, drop those that do not answer within `grace`."""
        if self._closed:
            return
        self._closed = True
        for query in self.running_queries:
            query.cancel()
        deadline = self._clock() + grace
        await self._lending.until_returned(deadline)
        rest = max(0.1, deadline - self._clock())
        await asyncio.gather(
            *([self.snapshot.end()] if self.snapshot else ()),
            self._connections.close(timeout=rest),
            *(self.sessions.close(session.name, timeout=rest) for session in self.sessions),
        )
        self.terminate()
        self._neighbours.stir()

    def terminate(self) -> None:
        """Drop all connections at once; what runs on them ends when its server notices."""
        self._closed = True
        if self.snapshot is not None:
            self.snapshot.terminate()
        self._connections.terminate()
        self.sessions.terminate()
        self._neighbours.leave(self._connections)

    async def _open_own(self, what: str) -> Connection:
        """Open a connection that `what` keeps. Raises CellError where a pooler would lend it."""
        connection, _ = await self._opening.apart()
        if self.pooled:
            connection.terminate()
            error = CellError(
                f"{what} needs a connection of its own, "
                "but a pooler stands between here and the server"
            )
            error.database = self.name
            raise error
        return connection

    @contextmanager
    def _request(self) -> Iterator[None]:
        """Count a request for a connection, and note why there was none."""
        self._recorder.requests_num += 1
        try:
            self._check_usable()
            yield
        except PgMagicError as error:
            self._recorder.requests_errors += 1
            self._note(error)
            raise

    def _check_usable(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._neighbours.join(self._connections)
            keep_quiet(loop)
        if self._loop is not loop:
            raise PgMagicError(
                "its connections belong to another event loop",
                database=self.name,
                hint="await in the notebook itself, not inside asyncio.run()",
            )
        if self._closed:
            raise PgMagicError("its pool is closed", database=self.name)

    def _learn(self, error: BaseException, since: int) -> None:
        self.breaker.record(verdict(error), error, since=since)
        self._note(error)

    def _note(self, error: BaseException) -> None:
        # A circuit that is open only repeats what opened it.
        if isinstance(error, Unavailable) and not isinstance(error, CircuitOpen):
            self._recorder.failed(error.message)
