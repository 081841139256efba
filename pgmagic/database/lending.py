"""Lend the connections of one pool: in turn, for so long, and take them back."""

import asyncio
from collections.abc import Callable

from pgmagic import events
from pgmagic.database.breaker import Breaker
from pgmagic.database.connections import Connections, Taken
from pgmagic.database.fault import Fault, Verdict, fault_of
from pgmagic.database.lease import Lease
from pgmagic.database.neighbours import Neighbours
from pgmagic.database.opening import MayWait, Opening
from pgmagic.database.running import RunningQueries
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.slots import Slots
from pgmagic.database.statistics import Recorder
from pgmagic.errors import ConnectFailed, PoolTimeout

__all__ = ["Lending"]

FULL_FOR = 30.0  # seconds until a server that was full is asked for more connections again
RETURN_WAIT = 0.1  # seconds to wait for a connection that comes back, before one is opened


class Lending:
    """The queue for the connections of one database, and who has them.

    `check_usable` raises where nothing may be lent any more. All times are in seconds.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        connections: Connections,
        opening: Opening,
        neighbours: Neighbours,
        breaker: Breaker,
        running: RunningQueries,
        recorder: Recorder,
        check_usable: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._name = settings.name
        self._max_size = settings.max_size
        self._connections = connections
        self._opening = opening
        self._neighbours = neighbours
        self._breaker = breaker
        self._running = running
        self._recorder = recorder
        self._check_usable = check_usable
        self._clock = clock
        self._slots = Slots(settings.max_size)
        self._full_until = -float("inf")
        self._leases: set[Lease] = set()
        self._returns: set[asyncio.Task[None]] = set()

    @property
    def in_use(self) -> int:
        """How many are lent."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return self._slots.waiting

    async def lend(self, timeout: float, may_wait: MayWait) -> Lease:
        """Give a connection within so many seconds.

        Where the server is full of other databases' connections, `may_wait` is asked before one
        of those is waited for. Raises CircuitOpen, ConnectFailed, PoolTimeout, SettingsError.
        """
        started = self._clock()
        self._breaker.check()
        taken: Taken | None = None
        again = False
        while taken is None:
            if self._slots.limit < self._max_size and not self._slots.is_free:
                may_wait()  # for one of ours, which there is: but who waits for us shall not
            await self._enter(timeout - (self._clock() - started), first=again)
            try:
                self._check_usable()  # it may have been closed meanwhile
                taken = await self._take(timeout - (self._clock() - started), may_wait)
            except BaseException as error:
                again = self._must_do_with_ours(error)
                self._slots.leave()
                if not again:
                    raise
        self._recorder.acquired(self._clock() - started, warm=taken.warm)
        lease = Lease(taken.connection, database=self._name, since=self._clock())
        self._leases.add(lease)
        self._sample()
        return lease

    def take_back(self, lease: Lease) -> "asyncio.Task[None]":
        """Make a connection new for the next one, in the background; give that task."""
        lease.end()
        self._leases.discard(lease)
        self._recorder.used(self._clock() - lease.since)
        returned = asyncio.get_running_loop().create_task(self._release(lease))
        self._returns.add(returned)
        returned.add_done_callback(self._returned)
        return returned

    async def settle(self) -> None:
        """Wait until what came back is ready for the next, or closed."""
        while self._returns:
            await asyncio.wait(tuple(self._returns))

    async def until_returned(self, deadline: float) -> None:
        """Wait until those who have a connection have ended, until a moment of the clock."""
        while self._leases or self._returns:
            rest = deadline - self._clock()
            if rest <= 0:
                return
            tasks = {*self._returns, *(lease.task for lease in self._leases if lease.task)}
            tasks.discard(asyncio.current_task())
            if not tasks:
                return
            await asyncio.wait(tasks, timeout=rest)

    async def _enter(self, timeout: float, *, first: bool) -> None:
        """Queue for a slot. Raises PoolTimeout."""
        if self._clock() >= self._full_until and self._slots.limit < self._max_size:
            self._slots.limit = self._max_size
        if self._slots.is_free:
            await self._slots.enter()  # at once
            return
        started = self._clock()
        self._recorder.requests_queued += 1
        self._sample(waiting=self._slots.waiting + 1)
        try:
            async with asyncio.timeout(timeout):
                await self._slots.enter(first=first)
        except TimeoutError:
            raise self._exhausted(timeout) from None
        finally:
            self._recorder.requests_wait_ms += (self._clock() - started) * 1e3

    def _must_do_with_ours(self, error: BaseException) -> bool:
        """Say whether the server is full of us, among others: then one of ours will come free."""
        ours = self._connections.size + self._connections.opening
        if not ours or not isinstance(error, ConnectFailed) or fault_of(error) is not Fault.FULL:
            return False
        events.server_full(self._name, connections=ours)
        self._full_until = self._clock() + FULL_FOR
        self._slots.limit = ours
        return True

    async def _take(self, timeout: float, may_wait: MayWait) -> Taken:
        if self._returns and not self._connections.idle:
            # One that is being reset is here sooner than a new one.
            await asyncio.wait(
                self._returns, timeout=RETURN_WAIT, return_when=asyncio.FIRST_COMPLETED
            )

        return await self._opening.pooled(timeout, may_wait)

    def _returned(self, task: "asyncio.Task[None]") -> None:
        self._returns.discard(task)
        if not task.cancelled():
            task.exception()  # an interrupt, perhaps: fetched, so that asyncio does not complain

    async def _release(self, lease: Lease) -> None:
        try:
            await self._connections.give_back(lease.connection)
        except Exception as error:
            # The cell has its answer, or its error, already: this is for the log only.
            self._recorder.returns_bad += 1
            events.connection_unfit(self._name, error=type(error).__name__)
            if isinstance(error, TimeoutError):
                self._breaker.record(Verdict.OUTAGE, error)
        finally:
            self._slots.leave()
            self._sample()
            self._neighbours.stir()

    def _exhausted(self, timeout: float) -> PoolTimeout:
        message = f"no connection came free within {timeout:.3g} s"
        if self._leases:
            oldest = min(self._leases, key=lambda lease: lease.since)
            message += f"; all {len(self._leases)} are in use, one for "
            message += f"{self._clock() - oldest.since:.1f} s"
            query = self._running.of_task(oldest.task)
            if query is not None:
                message += f" by cell {query.cell}" if query.cell else ""
                message += f": {query.first_line}"
        return PoolTimeout(
            message,
            database=self._name,
            hint="%pg_pools shows what runs and can cancel it; max_size sets how many may run",
        )

    def _sample(self, *, waiting: int | None = None) -> None:
        self._recorder.sample(
            in_use=len(self._leases),
            size=self._connections.size,
            waiting=self._slots.waiting if waiting is None else waiting,
        )
