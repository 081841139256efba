"""Open connections under the breaker; ask for the password, and for room, where that is wanted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from pgmagic import events
from pgmagic.database.breaker import Breaker
from pgmagic.database.connection import Connection
from pgmagic.database.connections import Connections, Taken
from pgmagic.database.connector import Connector
from pgmagic.database.fault import Fault, fault_of
from pgmagic.database.neighbours import Neighbours
from pgmagic.database.passwords import PasswordWanted, Prompts
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.translation import not_connected
from pgmagic.errors import ConnectFailed, PgMagicError

__all__ = ["MayWait", "Opening"]

T = TypeVar("T")

Open: TypeAlias = Callable[[bool], Awaitable[tuple[T, bool]]]
"""Opens something, told whether it is the trial; says as well whether the server was asked."""

MayWait: TypeAlias = Callable[[], bool]
"""Is asked before a connection of another database is waited for, whose server is full."""

ROOMS = 10  # made at most for one connection: others may be quicker to take them


class Opening:
    """The way to a connection of one database, in its pool or beside it."""

    def __init__(
        self,
        settings: DatabaseSettings,
        breaker: Breaker,
        connector: Connector,
        connections: Connections,
        neighbours: Neighbours,
        *,
        prompts: Prompts | None,
        clock: Callable[[], float],
    ) -> None:
        self._name = settings.name
        self._timeout = settings.acquire_timeout
        self._breaker = breaker
        self._connector = connector
        self._connections = connections
        self._neighbours = neighbours
        self._prompts = prompts
        self._clock = clock

    async def pooled(self, timeout: float, may_wait: MayWait) -> Taken:
        """Take a connection of the pool, or open one for it."""

        async def take(trial: bool) -> tuple[Taken, bool]:
            taken = await self._connections.take(check=trial)
            return taken, taken.answered

        return await self._guarded(take, timeout, beside=False, may_wait=may_wait)

    async def apart(self) -> tuple[Connection, float]:
        """Open a connection beside the pool; give the seconds that it took as well.

        Where the server is full, it may take the place of an idle one, but waits for none.
        """

        async def connect(_trial: bool) -> tuple[tuple[Connection, float], bool]:
            started = self._clock()
            return (await self._connector.connect(), self._clock() - started), True

        return await self._guarded(connect, self._timeout, beside=True, may_wait=lambda: False)

    async def _guarded(
        self, open_: Open[T], timeout: float, *, beside: bool, may_wait: MayWait
    ) -> T:
        """Open something under the breaker.

        `timeout` is for the server: a user who is asked for the password may take any time.
        """
        rooms, deadline = ROOMS, self._clock() + timeout
        while True:
            answered = self._answered
            try:
                return await self._attempted(open_, deadline - self._clock())
            except PasswordWanted as wanted:
                prompt = wanted.prompt
            except ConnectFailed as error:
                if error.sqlstate is None and self._answered != answered:
                    deadline = self._clock() + timeout
                    continue  # the loop stood still while somebody typed: time ran out unused
                rooms -= 1
                if fault_of(error) is not Fault.FULL or rooms < 0:
                    raise
                rest = deadline - self._clock()
                if not await self._neighbours.make_room(
                    self._connections, beside=beside, timeout=rest, may_wait=may_wait
                ):
                    raise
                continue
            finally:
                self._neighbours.stir()
            try:
                await prompt.ask()
            except PgMagicError as error:
                error.database = self._name
                raise
            deadline = self._clock() + timeout

    @property
    def _answered(self) -> int:
        return self._prompts.answered if self._prompts else 0

    async def _attempted(self, open_: Open[T], timeout: float) -> T:
        try:
            with self._breaker.guard(connecting=True) as admission:
                async with asyncio.timeout(timeout):
                    opened, admission.answered = await open_(admission.trial)
            return opened
        except PgMagicError:
            raise
        except Exception as error:
            if fault_of(error, connecting=True) is None:
                raise
            events.connect_failed(
                self._name, error=type(error).__name__, sqlstate=getattr(error, "sqlstate", None)
            )
            limit = min(timeout, self._connector.connect_timeout)
            failed = not_connected(
                error, database=self._name, where=self._connector.where, timeout=limit
            )
        # Frames of the driver hold the password: raised here, the error has none of them behind it.
        raise failed
