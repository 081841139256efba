"""Ask the live databases again what was recorded, and say what has become of the answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from textwrap import shorten

from pgmagic.client import Client
from pgmagic.columns import Budget, Change, Difference, FrameOptions, Verdict, compare
from pgmagic.dispatch import all_of, dispatch
from pgmagic.errors import PgMagicError, QueryError, RecordingError
from pgmagic.language.plan import Plan, Step
from pgmagic.outcome import Answer, Failure, Result
from pgmagic.recording import Recording
from pgmagic.verified import GRAVEST_FIRST, CellCheck, DatabaseCheck
from pgmagic.watch import Watch

__all__ = ["verify"]

READ_ONLY = "25006"  # read_only_sql_transaction
REFUSED = ("22", "42")  # classes of SQLSTATE: the data or the tables are not what they were
NO_PRIVILEGE = "42501"
LABEL = 40  # characters of a cell's SQL


async def verify(
    client: Client,
    recordings: Iterable[Recording],
    *,
    on: Sequence[str] = (),
    timeout: float | None = None,
) -> AsyncIterator[CellCheck]:
    """Ask again what was recorded, a cell after the other, and compare the answers.

    Only what is proven to read is asked, in a READ ONLY transaction, of all databases of a cell
    at once; in a snapshot where the client holds one. `on` are the only databases to ask,
    `timeout` is in seconds. Raises `UnknownDatabase` for `on`, and `RecordingError` in a replay;
    whatever else fails is a check.
    """
    if client.replaying:
        raise RecordingError(
            "this is a replay: what was recorded can be compared with live databases only",
            hint="without PGMAGIC_MODE=replay it is",
        )
    wanted = set(client.targets(on)) if on else None
    for recording in recordings:
        plan = recording.plan()
        asked = [step for step in plan.steps if wanted is None or step.database in wanted]
        if asked:
            checks = await all_of(
                [_check(client, recording, plan, step, timeout) for step in asked]
            )
            yield CellCheck(cell=_label(recording), recording=recording.name, checks=checks)


def _label(recording: Recording) -> str:
    """Name a cell as its reader knows it: `[3] select carrier, avg(dep_delay)`."""
    number = recording.origin.number
    sql = shorten(recording.sql, LABEL, placeholder=" …")
    return sql if number is None else f"[{number}] {sql}"


async def _check(
    client: Client, recording: Recording, recorded: Plan, step: Step, timeout: float | None
) -> DatabaseCheck:
    name, plan = step.database, _alone(recorded, step, timeout)
    if why := _unfit(recorded, plan) or recording.left_out.get(name):
        return _not_verified(name, why)
    try:
        before = await asyncio.to_thread(recording.outcome, name)
    except PgMagicError as error:
        return _not_verified(name, _said(error), failed=True)
    if isinstance(before, Failure):
        return _not_verified(name, f"it failed when it was recorded: {_said(before.error)}")
    if name not in client.databases:
        return _not_verified(name, "no database of this name is configured here", failed=True)
    options = {name: FrameOptions(limit=plan.cell.options.limit)}
    budget = Budget(client.max_result_bytes)
    [after] = await dispatch(plan, client.pool, options, Watch(), budget)
    if isinstance(after, Failure):
        return _failed(name, after.error)
    return await asyncio.to_thread(_compared, plan, before, after)


def _alone(plan: Plan, step: Step, timeout: float | None) -> Plan:
    """Make the plan of one database, read only: what databases have in common is of no matter."""
    options = plan.cell.options
    options = replace(options, timeout=options.timeout if timeout is None else timeout)
    cell = replace(plan.cell, targets=(step.database,), options=options)
    steps = (replace(step, read_only=True),)
    return replace(plan, cell=cell, steps=steps, one_state=True)


def _unfit(recorded: Plan, plan: Plan) -> str | None:
    """Say why a cell is not asked again, if it is not."""
    options = recorded.cell.options
    if options.write:
        return "it may write"
    if options.session is not None:
        return f"what session {options.session} had done before is not known"
    if options.wants_plan:
        return "it shows a plan, and no rows"
    if options.to is not None:
        return "its rows went to files"
    if not plan.repeatable:
        verb = next(each.kind.verb for each in plan.statements if not each.kind.read)
        return f"{verb.upper() or 'a statement'} is not proven to only read"
    return None


def _failed(database: str, error: PgMagicError) -> DatabaseCheck:
    """Tell a statement that no longer fits the data from a database that can't be asked."""
    if isinstance(error, QueryError) and error.sqlstate is not None:
        if error.sqlstate == READ_ONLY:
            return _not_verified(database, "it may write: the server refuses it as read only")
        if error.sqlstate != NO_PRIVILEGE and error.sqlstate.startswith(REFUSED):
            what = f"the server refuses it now: {_said(error)}"
            change = Change(what="refused", after=_said(error))
            return DatabaseCheck(
                database=database, verdict=Verdict.CHANGED, what=what, changes=(change,)
            )
    return _not_verified(database, _said(error), failed=True)


def _not_verified(database: str, why: str, *, failed: bool = False) -> DatabaseCheck:
    return DatabaseCheck(database=database, verdict=Verdict.NOT_VERIFIED, what=why, failed=failed)


def _said(error: PgMagicError) -> str:
    return f"{type(error).__name__}: {error.message}"


def _compared(plan: Plan, before: Answer, after: Answer) -> DatabaseCheck:
    """Compare what the cell gave, each of its results with its own."""
    found: list[tuple[int, Difference]] = [
        (
            index,
            compare(
                one,
                other,
                ordered=plan.statements[index].kind.ordered,
                exact=plan.cell.options.numeric == "exact",
            ),
        )
        for index, (one, other) in enumerate(zip(before.results, after.results, strict=True))
        if plan.keeps(index) and (_has_rows(one) or _has_rows(other))
    ]
    name = before.database
    if not found:
        return _not_verified(name, "it gave no rows")
    several = len(found) > 1
    differing = [(index, each) for index, each in found if each.verdict is not Verdict.SAME]
    return DatabaseCheck(
        database=name,
        verdict=next(v for v in GRAVEST_FIRST if v in {each.verdict for _, each in found}),
        what="; ".join(_of(index, each.summary, several) for index, each in differing),
        changes=tuple(
            replace(change, what=_of(index, change.what, several))
            for index, each in differing
            for change in each.changes
        ),
        left_out=sum(each.left_out for _, each in differing),
    )


def _has_rows(result: Result) -> bool:
    return result.table is not None or result.text is not None


def _of(index: int, text: str, several: bool) -> str:
    """Say of which statement something is told, where there are several."""
    return f"statement {index + 1}: {text}" if several else text
