"""A connection lent to a cell."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from pgmagic.database.position import TELL, position_in
from pgmagic.errors import QueryCancelled, QueryTimeout
from pgmagic.outcome import Notice, Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmagic.database.connection import Connection

__all__ = ["STOPPED", "Lease"]

# After these the server may still be at work: it is told, and waited for.
STOPPED = (
    asyncio.CancelledError,
    KeyboardInterrupt,
    QueryCancelled,
    QueryTimeout,
    TimeoutError,
)

NOTICES = 100  # kept at most; a loop in PL/pgSQL can raise millions


class Lease:
    """One connection for as long as a cell needs it.

    `connection` is used by one task, one statement at a time; `itself` is the driver's own where a
    pool lends it, and stays known when it is lost. `since` is of the monotonic clock.
    `position` is where the database was as the last transaction began that was asked to tell,
    `server_version` what runs there, as it is spoken of: `18.6`.
    """

    def __init__(self, connection: Any, *, database: str, since: float) -> None:
        self.connection: asyncpg.Connection[asyncpg.Record] = connection
        self.itself: Connection = connection.itself()
        self.database = database
        self.since = since
        self.pid: int = connection.get_server_pid()
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.position: Position | None = None
        # Asked now: the connection may be lost when the answer is out.
        version = getattr(connection.get_settings(), "server_version", "")
        self.server_version = str(version).partition(" ")[0]
        self._is_telling = False
        self._notices: list[Notice] = []
        self._dropped = 0
        self._listener: Callable[[Any, Any], None] = self._on_notice
        connection.add_log_listener(self._listener)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the server said beside the results, the first hundred of it."""
        if not self._dropped:
            return tuple(self._notices)
        more = Notice(severity="INFO", message=f"{self._dropped} more messages are not shown")
        return (*self._notices, more)

    async def begin(self, sql: str, *, tell: bool) -> bool:
        """Begin a transaction, and let the server `tell` its position in the same round trip.

        `sql` is BEGIN and what goes with it. False where this server can't tell.
        """
        if not tell:
            await self.connection.execute(sql)
            return False
        try:
            await self.connection.execute(self.telling(sql))
        except asyncpg.QueryCanceledError:
            raise
        except asyncpg.PostgresError:
            if self.itself.is_closed():
                raise
            # A server without PL/pgSQL, or one that only speaks the protocol.
            await self.connection.execute("rollback")
            await self.connection.execute(sql)
            return False
        return True

    def telling(self, sql: str) -> str:
        """Give a BEGIN that lets the server tell its position, once somebody runs it."""
        self._is_telling = True
        return f"{sql}; {TELL}"

    def taint(self) -> None:
        """Say that the cell did what no reset undoes, such as PREPARE.

        The connection is closed instead of being handed to the next cell.
        """
        self.connection.taint()  # type: ignore[attr-defined]  # the pool's own Connection

    async def settle(self, *, timeout: float) -> None:
        """Wait until the server has acknowledged a cancellation; `timeout` is in seconds.

        Until then nobody knows whether a transaction is open. Raises TimeoutError.
        """
        await self.connection.is_alive(timeout=timeout)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Stop listening; the connection is about to be handed back."""
        with suppress(asyncpg.InterfaceError):  # it broke, and left the pool already
            self.connection.remove_log_listener(self._listener)

    def _on_notice(self, connection: Any, message: Any) -> None:
        if self._is_telling and (position := position_in(message)):
            self.position, self._is_telling = position, False
            return
        if len(self._notices) == NOTICES:
            self._dropped += 1
            return
        self._notices.append(
            Notice(
                severity=message.severity_en or message.severity or "NOTICE",
                message=message.message or "",
                sqlstate=message.sqlstate or "00000",
                detail=message.detail,
                hint=message.hint,
            )
        )
