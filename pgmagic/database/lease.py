"""A connection lent to a cell."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from pgmagic.errors import QueryCancelled, QueryTimeout
from pgmagic.outcome import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncpg.types import ServerVersion

__all__ = ["STOPPED", "Lease"]

# After these the server may still be at work: it is told, and waited for.
STOPPED = (asyncio.CancelledError, QueryCancelled, QueryTimeout, TimeoutError)

NOTICES = 100  # kept at most; a loop in PL/pgSQL can raise millions


class Lease:
    """One connection for as long as a cell needs it.

    `connection` is used by one task, one statement at a time. `since` is of the monotonic clock.
    """

    def __init__(self, connection: Any, *, database: str, since: float) -> None:
        self.connection: asyncpg.Connection[asyncpg.Record] = connection
        self.database = database
        self.since = since
        self.pid: int = connection.get_server_pid()
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self._notices: list[Notice] = []
        self._dropped = 0
        self._listener: Callable[[Any, Any], None] = self._on_notice
        connection.add_log_listener(self._listener)

    @property
    def server_version(self) -> "ServerVersion":
        return self.connection.get_server_version()

    @property
    def standard_strings(self) -> bool:
        """Whether a backslash in `'…'` is just a backslash, as the server reads it now.

        https://www.postgresql.org/docs/current/runtime-config-compatible.html
        """
        settings = self.connection.get_settings()
        return getattr(settings, "standard_conforming_strings", "on") == "on"

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the server said beside the results, the first hundred of it."""
        if not self._dropped:
            return tuple(self._notices)
        more = Notice(severity="INFO", message=f"{self._dropped} more messages are not shown")
        return (*self._notices, more)

    def taint(self) -> None:
        """Say that the cell did what no reset undoes, such as PREPARE.

        The connection is closed instead of being handed to the next cell.
        """
        self.connection.taint()  # type: ignore[attr-defined]  # the pool's own Connection

    def end(self) -> None:
        """Stop listening; the connection is about to be handed back."""
        with suppress(asyncpg.InterfaceError):  # it broke, and left the pool already
            self.connection.remove_log_listener(self._listener)

    def _on_notice(self, connection: Any, message: Any) -> None:
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
