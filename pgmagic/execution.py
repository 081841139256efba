"""Run a plan on one database."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pgmagic.columns import (
    Budget,
    FrameOptions,
    Reading,
    agree,
    behind,
    carries_rows,
    copy_out,
    describe,
    inline,
    joined,
    read,
    tells_limit,
)
from pgmagic.columns import prepare as prepare_on
from pgmagic.database.borrowed import BorrowedSnapshot
from pgmagic.database.lease import STOPPED
from pgmagic.database.pool import DatabasePool, Lease
from pgmagic.database.preparing import Prepared, prepare
from pgmagic.database.ranges import check_rows_stand_alone, column_ranges, page_ranges
from pgmagic.database.snapshot import Snapshot
from pgmagic.database.translation import translated
from pgmagic.errors import QueryError, QueryTimeout
from pgmagic.export import Export, Sink
from pgmagic.grace import CANCEL_GRACE
from pgmagic.language.division import divisible
from pgmagic.language.plan import Plan, Step, Transaction
from pgmagic.language.statement import Statement
from pgmagic.meeting import Meeting
from pgmagic.outcome import Answer, Column, Notice, Result, Rows
from pgmagic.parallel import ISOLATION, read_parts
from pgmagic.voting import PATIENT, vote
from pgmagic.watch import Watch

__all__ = ["Execution"]

READ_ONLY = "25006"  # read_only_sql_transaction


@dataclass(slots=True, kw_only=True)
class Execution:
    """One database's share of a plan.

    `sent` counts the statements that may have reached the server, in all attempts.
    """

    plan: Plan
    step: Step
    pool: DatabasePool
    meeting: Meeting
    options: FrameOptions
    watch: Watch
    budget: Budget
    export: Export | None = None
    sent: int = 0
    notices: tuple[Notice, ...] = ()
    borrowed: BorrowedSnapshot | None = None
    snapshot: Snapshot | BorrowedSnapshot | None = None

    async def run(self) -> Answer:
        """Run all statements; what failed has been rolled back. Raises a `PgMagicError`."""
        started = time.monotonic()
        version, position = "", None
        self.snapshot = self.borrowed or self.pool.snapshot
        if self.snapshot is not None:
            self.snapshot.check()
        seconds = self.plan.cell.options.timeout
        limit = asyncio.timeout(seconds)
        try:
            with self.pool.running(self.plan.cell.sql):
                self._is("waiting for a connection")
                async with limit, self._lease() as lease:
                    self._is("running")
                    try:
                        await self._learn_of_copy(lease)
                        results = await self._all(lease)
                        version, position = lease.server_version, lease.position
                    finally:
                        self.notices = lease.notices
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late(seconds or 0.0) from None
        except QueryError as error:
            if error.sqlstate == READ_ONLY:
                error.hint = self._how_to_write()
            raise
        return Answer(
            database=self.step.database,
            results=tuple(results),
            elapsed=time.monotonic() - started,
            notices=self.notices,
            server_version=version,
            position=position,
        )

    def _too_late(self, seconds: float) -> QueryTimeout:
        match self.watch.state[self.step.database]:
            case "waiting for a connection":
                what = f"no connection within {seconds:g} s; nothing was sent"
            case "committing":
                what = f"no answer to COMMIT within {seconds:g} s; it may have been committed"
            case _:
                what = f"no answer within {seconds:g} s; cancelled on the server"
        return QueryTimeout(
            what,
            database=self.step.database,
            hint="--timeout SECONDS sets the limit of a cell",
        )

    def _is(self, state: str) -> None:
        self.watch.state[self.step.database] = state

    def _how_to_write(self) -> str:
        if self.snapshot is not None:
            name = self.step.database
            return f"{name} is held at a snapshot, to be read: %pg_snapshot --end {name}"
        if not self.step.read_only and self.plan.transaction is Transaction.SESSION:
            return (
                "the session's transaction was begun read only: rollback, then BEGIN with --write; "
                "or the server itself is read only"
            )
        if not self.step.read_only:
            return "the server itself is read only: a standby, or by its own settings"
        if len(self.plan.steps) > 1:
            return "this cell is read only: on several databases --write opens it"
        return (
            "this cell is read only: --write opens it, and read_only = false in the settings "
            "of a database opens every cell that asks that one alone"
        )

    def _lease(self) -> AbstractAsyncContextManager[Lease]:
        session = self.plan.cell.options.session
        if session is None:
            return self.pool.acquire(may_wait=self._be_late)
        return self.pool.session(session)

    def _be_late(self) -> bool:
        """Say whether this database may come after others, perhaps of this cell, have ended."""
        if self.plan.together or self.export is not None:
            return False  # all commit together; a file's columns are those of all databases
        self.meeting.be_late(self.step.database)
        return True

    async def _learn_of_copy(self, lease: Lease) -> None:
        """Ask whether the server has binary COPY: a refusal later would end a transaction.

        A server that has it is asked once, another one by each new connection.
        """
        connection = lease.itself
        if self.pool.has_copy or connection.has_copy is not None:
            return
        if connection.is_closed() or connection.is_in_transaction():
            return
        with translated(self.step.database):
            has_copy = await carries_rows(connection, self.step.database)
            if not has_copy:
                connection.tells_limit = await tells_limit(connection)
        self.pool.has_copy = connection.has_copy = has_copy

    def _has_copy(self, itself: Any) -> bool:
        """Whether the server of the driver's own connection has binary COPY, as far as is known."""
        known: bool | None = itself.has_copy
        return self.pool.has_copy is not False if known is None else known

    async def _all(self, lease: Lease) -> list[Result]:
        match self.plan.transaction:
            case Transaction.ALL:
                results = [
                    await self._one(lease, index, begin=index == 0)
                    for index in range(len(self.plan.statements))
                ]
                await self._vote(lease)
                # What only read has nothing to commit: the reset for the next cell ends it.
                if not self.step.read_only:
                    if self.plan.rolls_back:
                        await self._command(lease, "rollback")
                    else:
                        await self._commit(lease)
                return results
            case Transaction.EACH:
                one = self._alone
            case Transaction.SESSION:
                one = self._in_session
        return [await one(lease, index) for index in range(len(self.plan.statements))]

    async def _alone(self, lease: Lease, index: int) -> Result:
        """Run a statement by itself: read only in a transaction around it, else bare as in psql."""
        no_block = self.plan.statements[index].kind.no_block
        if no_block or not (self.step.read_only or self._local_settings()):
            return await self._one(lease, index)
        result = await self._one(lease, index, begin=True)
        if not (self.step.read_only and self._is_last_on_pool(index)):
            await self._commit(lease)
        return result

    def _is_last_on_pool(self, index: int) -> bool:
        """Whether the connection goes back to the pool now, where a reset ends the transaction."""
        session = self.plan.transaction is Transaction.SESSION
        return index == len(self.plan.statements) - 1 and not session

    async def _in_session(self, lease: Lease, index: int) -> Result:
        """Run a statement in the user's own transaction, or by itself where none is open."""
        kind, connection = self.plan.statements[index].kind, lease.connection
        if not self.step.read_only:
            return await self._one(lease, index)
        if kind.transaction:
            result = await self._one(lease, index)
            if kind.verb in ("begin", "start") and connection.is_in_transaction():
                await self._command(lease, "set transaction read only")
            return result
        if connection.is_in_transaction():
            return await self._read_only_within(lease, index)
        try:
            return await self._alone(lease, index)
        except BaseException as error:
            # The transaction was ours; the session's own state goes on as it was.
            await self._undo(lease, "rollback", error)
            raise

    async def _read_only_within(self, lease: Lease, index: int) -> Result:
        """Run a statement read only in the user's transaction, which itself may write."""
        if self.plan.statements[index].kind.verb in ("set", "reset"):
            # SET TRANSACTION takes no savepoint around it; `_one` sets the mode again after it.
            with translated(self.step.database):
                mode = await lease.connection.fetchval("show transaction_read_only")
            return await self._one(lease, index, stays_read_only=mode == "on")
        # Where a savepoint is released, the mode is again what it was before it:
        # https://www.postgresql.org/docs/current/sql-set-transaction.html
        release = "release savepoint pgmagic_cell"
        try:
            await self._command(lease, "savepoint pgmagic_cell; set transaction read only")
            result = await self._one(lease, index)
        except BaseException as error:
            await self._undo(lease, release, error)
            raise
        await self._command(lease, release)
        return result

    async def _undo(self, lease: Lease, sql: str, error: BaseException) -> None:
        """After an error, leave a session's transaction as it was before the statement."""
        connection = lease.connection
        if connection.is_closed():
            return
        try:
            async with asyncio.timeout(CANCEL_GRACE):
                if isinstance(error, STOPPED):
                    # A BEGIN that was stopped on its way may have taken effect.
                    await lease.settle(timeout=CANCEL_GRACE)
                if connection.is_in_transaction():
                    await self._command(lease, sql)
        except QueryError:
            pass  # the user's transaction is aborted, and waits for the user to end it
        except BaseException as failure:
            connection.terminate()  # it can't be brought back into a known state
            if not isinstance(failure, Exception):
                raise

    async def _one(
        self, lease: Lease, index: int, *, begin: bool = False, stays_read_only: bool = True
    ) -> Result:
        """Run a statement; `begin` a transaction for it first."""
        statement, connection = self.plan.statements[index], lease.connection
        if statement.kind.verb in ("prepare", "deallocate", "discard"):
            lease.taint()
        if statement.kind.copy_out:
            if begin:
                await self._begin(lease)
            self.sent += 1
            with self._translated(statement):
                return await copy_out(connection, statement.sql, self.budget, self.step.database)
        # Prepared outside the transaction where that can be: a statement that the server can't
        # read as it is would end it. A pooler may lend another connection for each of the two.
        # The driver leaves a prepared statement's implicit transaction open, and no isolation
        # level can be set in that any more.
        isolated = self._sees_one_state() or self.snapshot is not None
        begin_late = begin and not self.pool.pooled and not isolated
        # What only reads can begin together with its COPY. Then nobody runs what was prepared.
        begin_with_copy = begin_late and self._begins_with_copy(lease, index)
        if begin and not begin_late:
            await self._begin(lease)
        by = partial(prepare_on, name="") if begin_with_copy else prepare_on
        prepared = await prepare(connection, statement, self.step.database, by=by)
        if begin_with_copy and not prepared.handle.get_attributes():  # no columns, so no COPY
            begin_with_copy = False
            prepared = await prepare(connection, statement, self.step.database, by=prepare_on)
        before = lease.telling(self._begin_sql()) if begin_with_copy else ""
        if begin_late and not begin_with_copy:
            await self._begin(lease)
        self.sent += 1
        with self._translated(prepared.statement):
            if prepared.handle.get_attributes() and self.plan.keeps(index):
                result = await self._rows(lease, index, prepared, before)
            elif self.plan.keeps(index) and len(self.plan.steps) > 1:
                # The others wait there: a procedure may give rows on one database and none here.
                agree(await self.meeting.arrive(index, self.step.database, ()))
                await prepared.handle.fetch(*prepared.arguments)
                result = Result(tag=prepared.handle.get_statusmsg() or "")
            elif prepared.handle.get_attributes() and statement.kind.read:
                result = await self._unwanted_rows(lease, prepared)
            else:
                await prepared.handle.fetch(*prepared.arguments)
                result = Result(tag=prepared.handle.get_statusmsg() or "")
        sets = statement.kind.verb in ("set", "reset")
        if sets and self.step.read_only and stays_read_only and connection.is_in_transaction():
            # Whatever was set, the transaction stays read only. This is always allowed.
            await self._command(lease, "set transaction read only")
        return result

    def _begins_with_copy(self, lease: Lease, index: int) -> bool:
        """Whether the transaction can begin in the same round trip as a statement."""
        kind = self.plan.statements[index].kind
        reads = self.step.read_only and kind.copyable and kind.read and self.plan.keeps(index)
        return reads and self.pool.tells_position is True and self._has_copy(lease.itself)

    async def _rows(self, lease: Lease, index: int, prepared: Prepared, before: str = "") -> Result:
        """Read the rows of a statement, once its columns fit those of the other databases."""
        database = self.step.database
        attributes = prepared.handle.get_attributes()
        described = await describe(lease.connection, attributes, self.pool.types)
        everywhere = {database: described}
        if len(self.plan.steps) > 1:
            self._is("waiting for the other databases")
            everywhere = dict(await self.meeting.arrive(index, database, described))
            agree(everywhere)
            self._is("running")
        sink = None
        if self.export is not None:
            sink = self.export.sink(database, index, everywhere, self.options)
        if self.plan.cell.options.parallel is None:
            reading = await self._read(lease.connection, prepared, described, sink, before=before)
        else:
            reading = await self._read_in_parts(lease, prepared, described, sink)
        return Result(
            tag=reading.tag,
            columns=described,
            table=Rows(reading.table) if sink is None else None,
            exported=None if sink is None else reading.rows,
            notes=reading.notes,
        )

    async def _unwanted_rows(self, lease: Lease, prepared: Prepared) -> Result:
        """Read over the rows of a statement that is not the last: there may be many."""
        attributes = prepared.handle.get_attributes()
        described = await describe(lease.connection, attributes, self.pool.types)
        all_rows = replace(self, options=replace(self.options, limit=None))
        reading = await all_rows._read(lease.connection, prepared, described, _ignore)
        return Result(tag=reading.tag)

    async def _read(
        self,
        connection: Any,
        prepared: Prepared,
        described: tuple[Column, ...],
        sink: Sink | None,
        part: str | None = None,
        before: str = "",
    ) -> Reading:
        """Read all rows, or a part that has no parameters any more."""
        statement, kind, database = prepared.statement, prepared.statement.kind, self.step.database
        return await read(
            connection,
            statement.sql if part is None else part,
            prepared.arguments if part is None else (),
            described,
            statement=prepared.handle if part is None else None,
            copyable=kind.copyable and self._has_copy(behind(connection)),
            wrappable=kind.copyable and kind.read,
            verb=kind.verb,
            options=self.options,
            progress=self.watch.progress[database],
            budget=self.budget,
            sink=sink,
            database=database,
            before=before,
            limited=behind(connection).tells_limit,
        )

    async def _read_in_parts(
        self, lease: Lease, prepared: Prepared, described: tuple[Column, ...], sink: Sink | None
    ) -> Reading:
        """Read the parts of a table on several connections."""
        options, connection = self.plan.cell.options, lease.connection
        assert options.parallel is not None
        inlined = await inline(
            connection,
            prepared.statement.sql,
            prepared.arguments,
            prepared.handle.get_parameters(),
        )
        whole = divisible(replace(prepared.statement, sql=inlined.sql))
        # Where an error stands in what is sent from here on says nothing about the cell.
        with translated(self.step.database):
            await check_rows_stand_alone(connection, inlined.sql)
            if options.by is None:
                cut = await page_ranges(connection, whole, options.parallel)
            else:
                cut = await column_ranges(connection, whole, options.by, options.parallel)

        async def read_part(connection: Any, part: str) -> Reading:
            with translated(self.step.database):
                return await self._read(connection, prepared, described, sink, part)

        parts = [whole.part(each.predicate) for each in cut.ranges]
        readings = await read_parts(lease, self.pool, parts, read_part, self._local_settings())
        reading = joined(readings)
        return reading if cut.note is None else replace(reading, notes=(*reading.notes, cut.note))

    async def _begin(self, lease: Lease) -> None:
        with translated(self.step.database):
            if self.snapshot is not None:
                await self.snapshot.begin_on(lease, self._settings())
                return
            self.pool.tells_position = await lease.begin(
                self._begin_sql(), tell=self.pool.tells_position is not False
            )

    def _begin_sql(self) -> str:
        mode = "read only" if self.step.read_only else "read write"
        if self._sees_one_state():
            mode = f"{ISOLATION} {mode}"
        return "; ".join([f"begin {mode}", *self._settings()])

    def _sees_one_state(self) -> bool:
        recorded = self.plan.one_state and self.step.read_only
        return recorded or self.plan.cell.options.parallel is not None

    def _settings(self) -> Sequence[str]:
        """Settings of the cell's transaction, which may have to wait for other databases'."""
        patient = [PATIENT] if len(self.plan.steps) > 1 else []
        return [*self._local_settings(), *patient]

    def _local_settings(self) -> Sequence[str]:
        """Settings of one transaction: the pool's, where no startup packet took them, and ours."""
        settings = list(self.pool.local_settings)
        if timeout := self.plan.cell.options.timeout:
            settings.append(f"set local statement_timeout = {math.ceil(timeout * 1000)}")
        return settings

    async def _vote(self, lease: Lease) -> None:
        """Go on to commit only where every database has come this far."""
        if self.plan.together:
            await vote(lease, self.meeting, self.watch)

    async def _commit(self, lease: Lease) -> None:
        self._is("committing")
        await self._command(lease, "commit")

    async def _command(self, lease: Lease, sql: str) -> None:
        with translated(self.step.database):
            await lease.connection.execute(sql)

    def _translated(self, statement: Statement) -> AbstractContextManager[None]:
        return translated(
            self.step.database,
            statement,
            statement_timeout=self.plan.cell.options.timeout
            or self.pool.settings.statement_timeout,
        )


async def _ignore(_batch: object) -> None:
    """Take rows that nobody wants."""
