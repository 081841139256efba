"""Statistics as JSON and as Prometheus text.

What is told is listed here, name by name: no text of a query, no message of a server, no role, no
name of a session.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pgmagic.database.statistics import DatabaseStatistics

__all__ = ["as_json", "as_prometheus", "health"]

Samples: TypeAlias = Iterable[tuple[dict[str, str], float]]
"""Further labels of a sample, and its value."""

TOLD = (
    "database size idle in_use waiting max_size utilisation "
    "requests_num requests_queued requests_errors requests_wait_ms usage_ms "
    "acquire_p50_ms acquire_p95_ms usage_p50_ms usage_p95_ms "
    "connections_num connections_ms connections_errors connections_lost returns_bad cancels "
    "breaker retry_in failures pooled alerts"
).split()


def as_json(statistics: DatabaseStatistics) -> dict[str, Any]:
    """Give one database by the names that the statistics have; what runs only by number."""
    last_error = statistics.last_error
    return {name: getattr(statistics, name) for name in TOLD} | {
        "last_error_at": last_error.when.isoformat() if last_error else None,
        "sessions": len(statistics.sessions),
        "running": len(statistics.running),
        "snapshot": statistics.snapshot and statistics.snapshot.state,
        "longest_running_s": _longest(statistics),
    }


def health(statistics: Sequence[DatabaseStatistics]) -> dict[str, Any]:
    """Say how all databases are: `ok`, `degraded`, or `unavailable` where every circuit is open."""
    cut_off = [each.breaker != "closed" for each in statistics]
    if cut_off and all(cut_off):
        status = "unavailable"
    else:
        status = "degraded" if any(each.alerts for each in statistics) else "ok"
    return {
        "status": status,
        "databases": {
            each.database: {"breaker": each.breaker, "alerts": each.alerts} for each in statistics
        },
    }


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of every database. Times are in seconds, as Prometheus wants them."""

    name: str
    kind: Literal["gauge", "counter", "summary"]
    help: str
    samples: Callable[[DatabaseStatistics], Samples]


def as_prometheus(statistics: Sequence[DatabaseStatistics], *, openmetrics: bool = False) -> str:
    """Write the text that Prometheus reads, in its own format or as OpenMetrics 1.0.

    https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    lines = [line for family in FAMILIES for line in _written(family, statistics, openmetrics)]
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _written(
    family: Family, statistics: Sequence[DatabaseStatistics], openmetrics: bool
) -> Iterator[str]:
    sample = f"pgmagic_{family.name}" + ("_total" if family.kind == "counter" else "")
    # In OpenMetrics the family of a counter has no suffix; before, it had its sample's name.
    name = f"pgmagic_{family.name}" if openmetrics else sample
    yield f"# HELP {name} {family.help}"
    yield f"# TYPE {name} {family.kind}"
    for each in statistics:
        for labels, value in family.samples(each):
            everything = {"database": each.database} | labels
            written = ",".join(f'{key}="{_escaped(text)}"' for key, text in everything.items())
            yield f"{sample}{{{written}}} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _value(name: str, scale: float = 1.0) -> Callable[[DatabaseStatistics], Samples]:
    """Give a number of the statistics, times `scale`."""
    return lambda statistics: [({}, getattr(statistics, name) * scale)]


def _quantiles(p50: str, p95: str) -> Callable[[DatabaseStatistics], Samples]:
    def samples(statistics: DatabaseStatistics) -> Samples:
        for quantile, name in (("0.5", p50), ("0.95", p95)):
            milliseconds = getattr(statistics, name)
            if milliseconds is not None:
                yield {"quantile": quantile}, milliseconds / 1e3

    return samples


def _longest(statistics: DatabaseStatistics) -> float:
    return max((query.elapsed for query in statistics.running), default=0.0)


MS = 1e-3
FAMILIES = (
    Family("pool_size", "gauge", "Connections that are open.", _value("size")),
    Family("pool_idle", "gauge", "Open connections that nobody uses.", _value("idle")),
    Family("pool_in_use", "gauge", "Connections lent to cells.", _value("in_use")),
    Family("pool_max", "gauge", "Connections that may be open at most.", _value("max_size")),
    Family("requests_waiting", "gauge", "Cells that wait for a connection.", _value("waiting")),
    Family("sessions", "gauge", "Named sessions.", lambda s: [({}, len(s.sessions))]),
    Family("queries_running", "gauge", "Queries that run now.", lambda s: [({}, len(s.running))]),
    Family(
        "query_longest_seconds",
        "gauge",
        "Time that the oldest running query has taken so far.",
        lambda s: [({}, _longest(s))],
    ),
    Family(
        "circuit_open",
        "gauge",
        "1 where the database is not asked until a try succeeds.",
        lambda s: [({}, s.breaker != "closed")],
    ),
    Family(
        "snapshot_held",
        "gauge",
        "1 where vacuum waits for the snapshot that cells read.",
        lambda s: [({}, s.snapshot is not None and s.snapshot.state == "held")],
    ),
    Family("failures", "gauge", "Outages in a row.", _value("failures")),
    Family("requests", "counter", "Requests for a connection.", _value("requests_num")),
    Family("requests_queued", "counter", "Requests that had to wait.", _value("requests_queued")),
    Family(
        "requests_errors",
        "counter",
        "Requests that got no connection.",
        _value("requests_errors"),
    ),
    Family(
        "requests_wait_seconds",
        "counter",
        "Time that requests waited.",
        _value("requests_wait_ms", MS),
    ),
    Family("usage_seconds", "counter", "Time that connections were lent.", _value("usage_ms", MS)),
    Family("connections", "counter", "Connections opened.", _value("connections_num")),
    Family(
        "connections_seconds",
        "counter",
        "Time that it took to open connections.",
        _value("connections_ms", MS),
    ),
    Family(
        "connections_errors",
        "counter",
        "Connections that could not be opened.",
        _value("connections_errors"),
    ),
    Family("connections_lost", "counter", "Connections that broke.", _value("connections_lost")),
    Family(
        "returns_bad", "counter", "Connections not fit to be used again.", _value("returns_bad")
    ),
    Family("cancels", "counter", "Statements that were cancelled.", _value("cancels")),
    Family(
        "acquire_seconds",
        "summary",
        "Wait for a connection that was open already, of late.",
        _quantiles("acquire_p50_ms", "acquire_p95_ms"),
    ),
    Family(
        "lease_seconds",
        "summary",
        "Time that a connection was lent, of late.",
        _quantiles("usage_p50_ms", "usage_p95_ms"),
    ),
)
