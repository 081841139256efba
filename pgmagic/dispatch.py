"""Run one plan on many databases at once; one outcome each."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from pgmagic import journal
from pgmagic.columns import Budget, FrameOptions, Progress
from pgmagic.database.borrowed import BorrowedSnapshot
from pgmagic.database.pool import DatabasePool
from pgmagic.database.retry import ATTEMPTS, may_retry, pause
from pgmagic.errors import CircuitOpen, PgMagicError
from pgmagic.execution import Execution
from pgmagic.export import Export
from pgmagic.language.plan import Plan, Transaction
from pgmagic.meeting import Meeting
from pgmagic.outcome import Answer, Failure, Outcome
from pgmagic.watch import Watch
from pgmagic.writing import Writing

__all__ = ["all_of", "dispatch", "write"]

T = TypeVar("T")


async def dispatch(
    plan: Plan,
    pool: Callable[[str], DatabasePool],
    options: Mapping[str, FrameOptions],
    watch: Watch,
    budget: Budget,
    export: Export | None = None,
    borrowed: BorrowedSnapshot | None = None,
) -> tuple[Outcome, ...]:
    """Run a plan on all its databases at the same time, within one budget of memory.

    A plan of one database may be read in a snapshot that another process holds of it.

    Gives one outcome per database in the order written. A failure is a value here and does not
    stop the others. When cancelled, cancels on every server and waits for it.
    """
    meeting = Meeting(plan.targets)
    for name in plan.targets:
        watch.progress[name] = Progress()
    executions = [
        Execution(
            plan=plan,
            step=step,
            pool=pool(step.database),
            meeting=meeting,
            options=options[step.database],
            watch=watch,
            budget=budget,
            export=export,
            borrowed=borrowed,
        )
        for step in plan.steps
    ]
    if len(executions) == 1:
        return (await _outcome(executions[0], watch),)
    return await all_of([_outcome(execution, watch) for execution in executions])


async def write(writings: Sequence[Writing], meeting: Meeting, watch: Watch) -> tuple[Outcome, ...]:
    """Write one frame to many databases at the same time; one outcome each, as `dispatch`."""

    async def outcome(writing: Writing) -> Outcome:
        started = time.monotonic()
        result: Outcome
        try:
            result = await writing.run()
        except PgMagicError as error:
            elapsed = time.monotonic() - started
            result = Failure(database=writing.database, error=error, elapsed=elapsed)
        finally:
            meeting.leave(writing.database)
        watch.outcomes[writing.database] = result
        return result

    return await all_of([outcome(writing) for writing in writings])


async def all_of(works: Sequence[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
    """Do all at the same time; where one raises, or this is cancelled, end all of them first."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()  # does nothing to those that are done
        await asyncio.wait(tasks)
    for task in tasks:  # what went wrong, before those that were cancelled for it
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    return tuple(task.result() for task in tasks)


async def _outcome(execution: Execution, watch: Watch) -> Outcome:
    name, started = execution.step.database, time.monotonic()
    outcome: Outcome
    try:
        outcome = await _with_retries(execution)
    except PgMagicError as error:
        outcome = Failure(
            database=name,
            error=error,
            elapsed=time.monotonic() - started,
            notices=execution.notices,
        )
    except asyncio.CancelledError:
        journal.cancelled(execution.plan, name, time.monotonic() - started)
        raise
    finally:
        execution.meeting.leave(name)
    watch.outcomes[name] = outcome
    journal.finished(execution.plan, outcome)
    return outcome


async def _with_retries(execution: Execution) -> Answer:
    """Run it, and once or twice more where that can't change anything twice."""
    plan, database, attempt = execution.plan, execution.step.database, 0
    cause: PgMagicError | None = None
    while True:
        try:
            return await execution.run()
        except PgMagicError as error:
            if isinstance(error, CircuitOpen) and cause is not None:
                # Our own attempts opened it: this cell is told why, the next one that it is open.
                raise cause from None
            cause = error
            attempt += 1
            # Of several statements the earlier ones may have run, whatever became of this one.
            alone = len(plan.statements) == 1
            harmless = plan.repeatable or alone or execution.sent == 0
            again = harmless and may_retry(
                error,
                sent=execution.sent > 0,
                read=plan.repeatable,
                in_transaction=plan.transaction is Transaction.SESSION,
                shown=execution.export is not None and execution.export.has_rows(database),
            )
            if attempt > ATTEMPTS or not again:
                raise
            journal.retried(plan, execution.step.database, attempt, error)
            # What came before is given up, and comes once more.
            execution.watch.progress[database] = Progress()
        await asyncio.sleep(pause(attempt))
