"""One state of a database, held for as many connections as want to read it.

A connection of its own exports the snapshot and stays in the transaction that took it: others can
begin in the same state until that ends.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import asyncpg

from pgmagic.database.connection import Connection
from pgmagic.database.lease import Lease
from pgmagic.database.statistics import SnapshotStatistics
from pgmagic.database.translation import translated
from pgmagic.errors import SnapshotEnded
from pgmagic.outcome import Position

__all__ = ["Snapshot", "SnapshotState", "take"]

SnapshotState: TypeAlias = Literal["held", "over", "lost", "ended"]
"""`over`: its time was; `lost`: its connection broke; `ended`: somebody said so."""

ISOLATION = "begin isolation level repeatable read read only"
# Said at once, and heard also where nobody waits for the answer. A network that is dead has been
# waited for by the cell that was stopped in the snapshot, for nearly as long as is promised.
GOODBYE = 0.05  # seconds
SLACK = 1.0  # seconds that the server waits longer than we do

# A server before version 17 knows the first only. The second runs already: setting it to more does
# not set it forward, but setting it to nothing stops it.
LIMIT = """
select pg_catalog.set_config(name, case name when 'transaction_timeout' then '0' else $1 end, true)
from pg_catalog.pg_settings
where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
# txid_… is the older name of pg_current_snapshot, which every version knows.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
TAKE = """
select pg_catalog.pg_export_snapshot() as id,
    pg_catalog.txid_current_snapshot()::text as snapshot,
    case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
        else pg_catalog.pg_current_wal_lsn() end::text as wal,
    pg_catalog.clock_timestamp() as at,
    pg_catalog.pg_postmaster_start_time() as server_started
"""

# What a server says that does not have the snapshot: no such file, its keeper is gone, or, with
# the same id by chance, it is not the same server or not the same state.
UNKNOWN = (
    asyncpg.InvalidParameterValueError,
    asyncpg.UndefinedObjectError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.DivisionByZeroError,
)


class Snapshot:
    """A state of one database, held until it is ended, its time is over or its connection is lost.

    `position` says which state it is. While it is held, vacuum removes no row of the database
    that has been deleted since. `ends_at` is this machine's clock.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        database: str,
        identifier: str,
        position: Position,
        server_started: datetime,
        ends_at: float,
    ) -> None:
        self.database = database
        self.id = identifier
        self.position = position
        self.ends_at = datetime.fromtimestamp(ends_at, tz=UTC)
        self._server_started = server_started
        self._connection = connection
        self._how: SnapshotState = "held"
        self._ended_at = self.ends_at
        self._closing: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(ends_at - time.time(), self._time_is_over)
        connection.add_termination_listener(self._connection_ended)

    def __repr__(self) -> str:
        return f"<Snapshot of {self.database!r} at {self.position.at:%H:%M:%S %Z} [{self.state}]>"

    @property
    def state(self) -> SnapshotState:
        # A loop that was blocked, or a laptop that slept, runs the timer late.
        if self._how == "held" and datetime.now(UTC) >= self.ends_at:
            return "over"
        return self._how

    @property
    def remaining(self) -> float:
        """Seconds until its time is over."""
        return max(0.0, (self.ends_at - datetime.now(UTC)).total_seconds())

    @property
    def begin(self) -> str:
        """SQL that begins a read-only transaction in it, on any connection to the same server.

        Several statements, for one round trip. Raises SnapshotEnded.
        """
        self.check()
        # The division is by zero where another server has a snapshot of the same id. Being a
        # query, it also fixes the isolation level: nothing can leave the snapshot after it.
        return (
            f"{ISOLATION}; set transaction snapshot '{self.id}'; "
            f"select 1 / (pg_catalog.pg_postmaster_start_time() = '{self._server_started}' "
            f"and pg_catalog.txid_current_snapshot()::text = '{self.position.snapshot}')::int"
        )

    def check(self) -> None:
        """Raise SnapshotEnded where it is not held any more."""
        clock, ended = _clock(self.position.at), _clock(self._ended_at)
        match self.state:
            case "held":
                return
            case "over":
                why = f"the snapshot of {clock} ended at {ended}, when its time was over"
            case "lost":
                why = f"the snapshot of {clock} was lost at {ended}, with its connection"
            case "ended":
                why = f"the snapshot of {clock} was ended at {ended}"
        raise self._gone(f"{why}; nothing was read")

    async def begin_on(self, lease: Lease, settings: Sequence[str] = ()) -> None:
        """Begin a transaction in it; `settings` are statements that the transaction begins with.

        Raises SnapshotEnded, and the driver's errors.
        """
        try:
            await lease.connection.execute(self.begin)
        except UNKNOWN:
            self.check()
            raise self._gone(
                f"the server does not know the snapshot of {_clock(self.position.at)}: it has "
                "been restarted, or it is another one; nothing was read"
            ) from None
        lease.position = self.position
        if settings:
            await lease.connection.execute("; ".join(settings))

    async def end(self) -> None:
        """Give the snapshot up, now. What reads it already goes on."""
        self._end("ended")
        await self._close()

    def terminate(self) -> None:
        """Give it up without a word to the server, which notices by itself."""
        self._end("ended")
        self._connection.terminate()

    def statistics(self) -> SnapshotStatistics:
        return SnapshotStatistics(
            state=self.state, taken=self.position.at, remaining=self.remaining
        )

    def _gone(self, message: str) -> SnapshotEnded:
        return SnapshotEnded(
            message,
            database=self.database,
            hint=f"%pg_snapshot {self.database} takes a new one; "
            f"%pg_snapshot --end {self.database} reads the database as it is now",
        )

    def _time_is_over(self) -> None:
        self._end("over")
        self._closing = asyncio.get_running_loop().create_task(self._close())

    def _connection_ended(self, _: object) -> None:
        self._end("over" if self.state == "over" else "lost")

    def _end(self, how: SnapshotState) -> None:
        self._timer.cancel()
        if self._how == "held":
            self._how = how
            self._ended_at = self.ends_at if how == "over" else datetime.now(UTC)

    async def _close(self) -> None:
        try:
            await self._connection.close(timeout=GOODBYE)
        except Exception:  # it is gone, which is all that was wanted
            pass
        finally:
            self._connection.terminate()


async def take(
    connection: Connection, *, database: str, seconds: float, timeout: float
) -> Snapshot:
    """Export a snapshot that lasts so many `seconds`, within `timeout` seconds.

    The connection is the snapshot's from here on, and is closed where there is none.
    Raises QueryError, QueryTimeout, ConnectionLost.
    """
    ends_at = time.time() + seconds
    # The server ends it by itself where we can't: the loop is blocked, or the network is gone.
    limit = str(round((seconds + SLACK) * 1000))
    try:
        with translated(database):
            async with asyncio.timeout(timeout):
                await connection.execute(ISOLATION)
                row = await connection.fetchrow(TAKE)
                await connection.fetch(LIMIT, limit)
        assert row is not None
        return Snapshot(
            connection,
            database=database,
            identifier=row["id"],
            position=Position(snapshot=row["snapshot"], wal=row["wal"], at=row["at"]),
            server_started=row["server_started"],
            ends_at=ends_at,
        )
    except BaseException:
        connection.terminate()
        raise


def _clock(when: datetime) -> str:
    return f"{when.astimezone():%H:%M:%S}"
