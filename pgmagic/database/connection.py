"""A connection that is as new when the next cell gets it."""

import time
from typing import Any

import asyncpg

__all__ = ["Connection"]

# All that a cell can leave behind, undone in one round trip. DISCARD ALL would also drop the
# statements that asyncpg has prepared, and may not stand among others:
# https://www.postgresql.org/docs/current/sql-discard.html
RESET = """
set session authorization default;
reset role;
reset all;
close all;
unlisten *;
select pg_catalog.pg_advisory_unlock_all();
discard temp;
discard sequences;
"""


class Connection(asyncpg.Connection):
    """asyncpg's connection; knows how to reset itself, and since when it is idle.

    `init` are the statements that the user wants on every connection. `reset all` undoes them, so
    they are run again after it. `idle_since` is wall-clock time, which goes on while a laptop
    sleeps, and None while somebody uses the connection. `retired` is set while pgmagic itself may
    close the connection, so that it is not counted as lost. `has_copy` says whether its server
    answered a COPY in binary, once it was asked, `tells_limit` whether it tells its
    `statement_timeout`.
    """

    init: tuple[str, ...] = ()
    tainted: bool = False
    has_copy: bool | None = None
    tells_limit: bool = True
    retired: bool = False
    idle_since: float | None = None

    async def prepare_for_use(self, init: tuple[str, ...]) -> None:
        """Run the user's statements for new connections."""
        self.init = init
        if init:
            await self.execute(self._init_query())

    def get_reset_query(self) -> str:
        """Give what undoes all that a cell may have left behind."""
        # A transaction that is still open goes first: the rest must not be undone with it.
        rollback = "rollback;" if self.is_in_transaction() else ""
        return rollback + RESET + self._init_query()

    def _init_query(self) -> str:
        return "\n;\n".join(self.init)  # any of them may end in a comment

    async def reset(self, *, timeout: float | None = None) -> None:
        """Undo what was left behind, in one round trip. `timeout` is in seconds."""
        # asyncpg would complain on the loop about a transaction that is open, and take three trips.
        await self.execute(self.get_reset_query(), timeout=timeout)

    async def is_alive(self, *, timeout: float) -> bool:
        """Ask the server for nothing, and wait at most `timeout` seconds for it.

        A connection that does not answer is closed.
        """
        try:
            await self.execute("select", timeout=timeout)
        except asyncpg.PostgresError:
            pass  # an answer as well: an aborted transaction takes no statement
        except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            self.terminate()
        return not self.is_closed()

    def itself(self) -> "Connection":
        """Give the connection behind the proxy that asyncpg's pool lends."""
        return self

    def retire(self) -> None:
        """Close at once, on purpose."""
        self.retired = True
        self.terminate()

    def mark_used(self) -> None:
        self.idle_since = None
        self._count_unasked(None)

    def mark_idle(self) -> None:
        self.idle_since = time.time()
        self._count_unasked(0)

    def taint(self) -> None:
        """Remember that a reset cannot undo what was done: this connection is used once only."""
        self.tainted = True

    def idle_for(self) -> float | None:
        """Seconds since it was used last, None while it is in use."""
        return None if self.idle_since is None else abs(time.time() - self.idle_since)

    def tls_version(self) -> str | None:
        """Give `TLSv1.3` and the like, None where the connection is in clear."""
        transport: Any = self._transport  # type: ignore[attr-defined]
        tls = transport.get_extra_info("ssl_object")
        return None if tls is None else str(tls.version())

    def _count_unasked(self, start: int | None) -> None:
        """Let `guarding` count what the server says from now on, or not."""
        framing = getattr(self._protocol, "framing", None)  # type: ignore[attr-defined]
        if framing is not None:  # it is open
            framing.unasked = start

    def setsockopt(self, *options: tuple[int, int, int]) -> None:
        """Set options of the socket; asyncpg has no public way to it."""
        transport: Any = self._transport  # type: ignore[attr-defined]
        socket = transport.get_extra_info("socket")
        if socket is not None:
            for option in options:
                socket.setsockopt(*option)
