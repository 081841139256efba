"""Statistics of pools that don't exist, in every state that there is to draw."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pgmagic.database.statistics import (
    DatabaseStatistics,
    LastError,
    QueryStatistics,
    Sample,
    SessionStatistics,
)

WHEN = datetime(2026, 11, 23, 12, 3, 41, tzinfo=UTC)


def statistics(database: str = "sales", **changes: Any) -> DatabaseStatistics:
    """A pool that nobody uses, with `changes`."""
    calm: dict[str, Any] = dict.fromkeys(DatabaseStatistics.__dataclass_fields__, 0)
    calm |= {
        "database": database,
        "max_size": 10,
        "acquire_p50_ms": None,
        "acquire_p95_ms": None,
        "usage_p50_ms": None,
        "usage_p95_ms": None,
        "breaker": "closed",
        "retry_in": 0.0,
        "pooled": False,
        "last_error": None,
        "sessions": (),
        "running": (),
        "snapshot": None,
    }
    return DatabaseStatistics(**(calm | changes))


def query(number: int, sql: str, elapsed: float = 4.3) -> QueryStatistics:
    return QueryStatistics(id=number, first_line=sql, cell=None, since=0.0, elapsed=elapsed)


def a_bad_day() -> tuple[DatabaseStatistics, ...]:
    """One pool that works, one that is exhausted, one that is cut off."""
    sales = statistics(
        in_use=8,
        idle=1,
        size=9,
        requests_num=1204,
        acquire_p50_ms=3.1,
        acquire_p95_ms=11.2,
        running=(query(7, "select * from orders where placed_at > now() - interval '7 days'"),),
        sessions=(
            SessionStatistics(name="scratch", pid=4711, transaction="open", busy=False, idle=41.0),
        ),
    )
    events = statistics(
        "events",
        in_use=4,
        size=4,
        max_size=4,
        waiting=3,
        requests_num=266,
        requests_errors=1,
        acquire_p50_ms=178.0,
        acquire_p95_ms=419.0,
        running=(query(3, "refresh materialized view by_hour", 75.0),),
    )
    billing = statistics(
        "billing",
        requests_num=12,
        requests_errors=5,
        breaker="open",
        retry_in=17.0,
        failures=5,
        last_error=LastError(
            message="billing: cannot connect to db.example:5432: connection refused", when=WHEN
        ),
    )
    return sales, events, billing


def a_minute(database: str, now: float) -> Sequence[Sample]:
    """What such pools did in the last minute."""
    shape = {"sales": (6, 7, 8, 7, 9, 8, 6, 5, 5, 6, 7, 8, 8, 8, 8), "events": (1, 1, 2, 3, 3, 4)}
    busy = shape.get(database, (3, 5, 4, 4, 3, 5, 0))
    step = 60 / len(busy) if database != "billing" else 4
    return [
        Sample(at=now - 60 + step * i, in_use=in_use, size=in_use, waiting=0)
        for i, in_use in enumerate(busy)
    ]
