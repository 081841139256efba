"""Run a plan on one database."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from pgmagic.columns import FrameOptions, Progress, agree, copy_out, describe, read
from pgmagic.database.pool import DatabasePool, Lease
from pgmagic.database.translation import translated
from pgmagic.errors import NotCommitted, QueryTimeout
from pgmagic.language.plan import Plan, Step, Transaction
from pgmagic.language.statement import Statement
from pgmagic.meeting import Meeting
from pgmagic.outcome import Answer, Result

__all__ = ["Execution"]

# The server can't tell a parameter's type: 42P18 indeterminate_datatype, 42725
# ambiguous_function, 42P08 ambiguous_parameter.
UNTYPED = ("42P18", "42725", "42P08")


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One database's share of a plan."""

    plan: Plan
    step: Step
    pool: DatabasePool
    meeting: Meeting
    options: FrameOptions
    progress: Progress

    async def run(self) -> Answer:
        """Run all statements; what failed has been rolled back. Raises a `PgMagicError`."""
        started = time.monotonic()
        seconds = self.plan.cell.options.timeout
        limit = asyncio.timeout(seconds)
        try:
            with self.pool.running(self.plan.cell.sql):
                async with limit, self._lease() as lease:
                    results = await self._all(lease)
                    notices = lease.notices
        except TimeoutError:
            if not limit.expired():
                raise
            raise QueryTimeout(
                f"no answer within {seconds:g} s; cancelled on the server",
                database=self.step.database,
                hint="--timeout SECONDS sets the limit of a cell",
            ) from None
        return Answer(
            database=self.step.database,
            results=tuple(results),
            elapsed=time.monotonic() - started,
            notices=notices,
        )

    def _lease(self) -> AbstractAsyncContextManager[Lease]:
        session = self.plan.cell.options.session
        return self.pool.acquire() if session is None else self.pool.session(session)

    async def _all(self, lease: Lease) -> list[Result]:
        statements = self.plan.statements
        match self.plan.transaction:
            case Transaction.ALL:
                await self._begin(lease)
                results = [await self._one(lease, i, s) for i, s in enumerate(statements)]
                await self._vote(lease)
                await self._command(lease, "commit")
                return results
            case Transaction.EACH:
                return [await self._alone(lease, i, s) for i, s in enumerate(statements)]
            case Transaction.SESSION:
                return [await self._in_session(lease, i, s) for i, s in enumerate(statements)]

    async def _alone(self, lease: Lease, index: int, statement: Statement) -> Result:
        """Run a statement by itself: read only in a transaction around it, else bare as in psql."""
        if statement.kind.no_block or not (self.step.read_only or self._local_settings()):
            return await self._one(lease, index, statement)
        await self._begin(lease)
        result = await self._one(lease, index, statement)
        await self._command(lease, "commit")
        return result

    async def _in_session(self, lease: Lease, index: int, statement: Statement) -> Result:
        """Run a statement in the user's own transaction, or by itself where none is open."""
        if statement.kind.transaction:
            result = await self._one(lease, index, statement)
            if self.step.read_only and lease.connection.is_in_transaction():
                await self._command(lease, "set transaction read only")
            return result
        if lease.connection.is_in_transaction() or not self.step.read_only:
            return await self._one(lease, index, statement)
        return await self._alone(lease, index, statement)

    async def _begin(self, lease: Lease) -> None:
        mode = "read only" if self.step.read_only else "read write"
        settings = "".join(f"; {setting}" for setting in self._local_settings())
        await self._command(lease, f"begin {mode}{settings}")

    def _local_settings(self) -> Sequence[str]:
        """Settings that hold for one transaction: the pool's, where no startup packet took them."""
        settings = list(self.pool.local_settings)
        if timeout := self.plan.cell.options.timeout:
            settings.append(f"set local statement_timeout = {round(timeout * 1000)}")
        return settings

    async def _command(self, lease: Lease, sql: str) -> None:
        with translated(self.step.database, None):
            await lease.connection.execute(sql)

    async def _vote(self, lease: Lease) -> None:
        """Commit only where every database has come this far."""
        if not self.plan.together:
            return
        # What is checked only at commit is checked now, while nobody has committed.
        await self._command(lease, "set constraints all immediate")
        await self.meeting.arrive("commit", self.step.database)
        if self.meeting.left:
            raise NotCommitted(
                f"rolled back, because {', '.join(self.meeting.left)} failed",
                database=self.step.database,
            )

    async def _one(self, lease: Lease, index: int, statement: Statement) -> Result:
        """Run a statement. What it needs around it is there already."""
        connection = lease.connection
        if statement.kind.verb in ("prepare", "deallocate"):
            lease.taint()
        with translated(
            self.step.database,
            statement,
            statement_timeout=self.pool.settings.statement_timeout,
        ):
            if statement.kind.copy_out:
                return await copy_out(connection, statement.sql)
            prepared, arguments = await self._prepare(lease, statement)
            attributes = prepared.get_attributes()
            if attributes and self.plan.keeps(index):
                result = await self._rows(lease, index, statement, prepared, arguments)
            else:
                await prepared.fetch(*arguments)
                result = Result(tag=prepared.get_statusmsg())
        sets = statement.kind.verb in ("set", "reset")
        if sets and self.step.read_only and connection.is_in_transaction():
            # Whatever was set, the transaction stays read only. This is always allowed.
            await self._command(lease, "set transaction read only")
        return result

    async def _rows(
        self,
        lease: Lease,
        index: int,
        statement: Statement,
        prepared: Any,
        arguments: Sequence[object],
    ) -> Result:
        """Read the rows of a statement, once its columns fit those of the other databases."""
        database, kind = self.step.database, statement.kind
        described = await describe(lease.connection, prepared.get_attributes(), self.pool.types)
        if len(self.plan.steps) > 1:
            agree(await self.meeting.arrive(index, database, described))
        reading = await read(
            lease.connection,
            statement.sql,
            arguments,
            described,
            statement=prepared,
            copyable=kind.copyable,
            wrappable=kind.copyable and kind.read,
            verb=kind.verb,
            options=self.options,
            progress=self.progress,
            database=database,
        )
        return Result(tag=reading.tag, columns=described, table=reading.table, notes=reading.notes)

    async def _prepare(self, lease: Lease, statement: Statement) -> tuple[Any, Sequence[object]]:
        return await lease.connection.prepare(statement.sql), statement.arguments
