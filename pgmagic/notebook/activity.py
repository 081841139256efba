"""What goes on in the pools: queries that run, sessions, circuits that are open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pgmagic.database.statistics import (
    DatabaseStatistics,
    QueryStatistics,
    SessionStatistics,
    SnapshotStatistics,
)
from pgmagic.notebook.visible import visible
from pgmagic.units import counted, duration

__all__ = ["Action", "Activity", "activities"]

LINE = 90  # characters of a query that are shown
MOST = 24  # lines

TRANSACTIONS = {
    "none": "no transaction",
    "open": "transaction open",
    "aborted": "transaction failed, rollback ends it",
}
GONE = {"over": "its time is over", "lost": "lost with its connection", "ended": "ended"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a button does: cancel the query of this id, or retry the database."""

    verb: Literal["cancel", "retry"]
    database: str
    query: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One thing that goes on. `what` is safe to show as it is, except in HTML."""

    kind: Literal["running", "session", "snapshot", "cut off", "more"]
    database: str
    what: str
    since: str
    code: bool = False  # `what` is SQL
    alarming: bool = False
    action: Action | None = None


def activities(statistics: Sequence[DatabaseStatistics]) -> tuple[Activity, ...]:
    """List what goes on: what is cut off first, then what runs, sessions, snapshots."""
    found = (
        *_circuits(statistics),
        *(_query(each.database, query) for each in statistics for query in each.running),
        *(_session(each.database, session) for each in statistics for session in each.sessions),
        *(_snapshot(each.database, each.snapshot) for each in statistics if each.snapshot),
    )
    if len(found) <= MOST:
        return found
    left = Activity(kind="more", database="", what=f"and {len(found) - MOST} more", since="")
    return (*found[:MOST], left)


def _circuits(statistics: Sequence[DatabaseStatistics]) -> Iterator[Activity]:
    for each in statistics:
        if each.breaker == "open":
            yield Activity(
                kind="cut off",
                database=each.database,
                what=f"{counted(each.failures, 'failure')} in a row",
                since=f"next try in {each.retry_in:.0f} s",
                alarming=True,
                action=Action(verb="retry", database=each.database),
            )


def _query(database: str, query: QueryStatistics) -> Activity:
    return Activity(
        kind="running",
        database=database,
        what=visible(query.first_line, LINE),
        since=duration(query.elapsed),
        code=True,
        action=Action(verb="cancel", database=database, query=query.id),
    )


def _session(database: str, session: SessionStatistics) -> Activity:
    state = "in use" if session.busy else f"idle {duration(session.idle, 0)}"
    return Activity(
        kind="session",
        database=database,
        what=f"{visible(session.name, LINE)} · {TRANSACTIONS[session.transaction]}"
        f" · backend {session.pid}",
        since=state,
        alarming=session.transaction == "aborted",
    )


def _snapshot(database: str, snapshot: SnapshotStatistics) -> Activity:
    taken = f"of {snapshot.taken.astimezone():%H:%M:%S}"
    held = snapshot.state == "held"
    return Activity(
        kind="snapshot",
        database=database,
        what=f"{taken} · read by all cells · vacuum waits"
        if held
        else f"{taken} · {GONE[snapshot.state]}: cells are refused until %pg_snapshot",
        since=f"{duration(snapshot.remaining, 0)} left" if held else "",
        alarming=not held,
    )
