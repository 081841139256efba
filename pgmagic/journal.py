"""Tell the log what became of a cell: see `events`."""

from pgmagic import events
from pgmagic.errors import PgMagicError
from pgmagic.language.fingerprint import fingerprint, verbs
from pgmagic.language.plan import Plan
from pgmagic.outcome import Answer, Failure, Outcome

__all__ = ["cancelled", "finished", "retried"]


def finished(plan: Plan, outcome: Outcome) -> None:
    """One database has answered, or failed."""
    if not events.is_heard():  # a fingerprint reads the whole cell
        return
    match outcome:
        case Answer(database=database, elapsed=seconds):
            tables = [each.table for each in outcome.results if each.table is not None]
            events.query_finished(
                database,
                outcome="answered",
                verb=verbs(plan.statements),
                fingerprint=fingerprint(plan.cell.sql),
                seconds=seconds,
                rows=sum(table.num_rows for table in tables),
            )
        case Failure(database=database, elapsed=seconds, error=error):
            events.query_finished(
                database,
                outcome="failed",
                verb=verbs(plan.statements),
                fingerprint=fingerprint(plan.cell.sql),
                seconds=seconds,
                error=type(error).__name__,
                sqlstate=getattr(error, "sqlstate", None),
            )


def cancelled(plan: Plan, database: str, seconds: float) -> None:
    """The user stopped it."""
    if events.is_heard():
        events.query_cancelled(
            database,
            verb=verbs(plan.statements),
            fingerprint=fingerprint(plan.cell.sql),
            seconds=seconds,
        )


def retried(plan: Plan, database: str, attempt: int, error: PgMagicError) -> None:
    """It is sent again."""
    if events.is_heard():
        events.query_retried(
            database,
            verb=verbs(plan.statements),
            fingerprint=fingerprint(plan.cell.sql),
            attempt=attempt,
            error=type(error).__name__,
        )
