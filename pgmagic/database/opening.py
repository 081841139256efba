"""Open connections under the breaker, and ask for the password where one is wanted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pgmagic import events
from pgmagic.database.breaker import Breaker
from pgmagic.database.connection import Connection
from pgmagic.database.connector import Connector
from pgmagic.database.fault import fault_of
from pgmagic.database.passwords import PasswordWanted, Prompts
from pgmagic.database.settings import DatabaseSettings
from pgmagic.database.translation import not_connected
from pgmagic.errors import ConnectFailed, PgMagicError

__all__ = ["Opening"]

T = TypeVar("T")


class Opening:
    """The way to a connection of one database, in its pool or beside it."""

    def __init__(
        self,
        settings: DatabaseSettings,
        breaker: Breaker,
        connector: Connector,
        *,
        prompts: Prompts | None,
        clock: Callable[[], float],
    ) -> None:
        self._name = settings.name
        self._timeout = settings.acquire_timeout
        self._breaker = breaker
        self._connector = connector
        self._prompts = prompts
        self._clock = clock

    async def guarded(
        self, open_: Callable[[bool], Awaitable[tuple[T, bool]]], timeout: float
    ) -> T:
        """Open something under the breaker; `open_` is told whether it is the trial.

        `timeout` is for the server: a user who is asked for the password may take any time.
        """
        while True:
            answered = self._answered
            try:
                return await self._attempted(open_, timeout)
            except PasswordWanted as wanted:
                prompt = wanted.prompt
            except ConnectFailed as error:
                if error.sqlstate is not None or self._answered == answered:
                    raise
                continue  # the loop stood still while somebody typed: time ran out unused
            try:
                await prompt.ask()
            except PgMagicError as error:
                error.database = self._name
                raise

    @property
    def _answered(self) -> int:
        return self._prompts.answered if self._prompts else 0

    async def _attempted(
        self, open_: Callable[[bool], Awaitable[tuple[T, bool]]], timeout: float
    ) -> T:
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

    async def apart(self) -> tuple[Connection, float]:
        """Open a connection beside the pool; give the seconds that it took as well."""

        async def connect(_trial: bool) -> tuple[tuple[Connection, float], bool]:
            started = self._clock()
            return (await self._connector.connect(), self._clock() - started), True

        return await self.guarded(connect, self._timeout)
