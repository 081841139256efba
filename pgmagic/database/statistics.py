"""Counts and gauges of one database at one instant.

The names are those of psycopg_pool where it has one:
https://www.psycopg.org/psycopg3/docs/advanced/pool.html#pool-stats
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

__all__ = [
    "DatabaseStatistics",
    "LastError",
    "QueryStatistics",
    "Recorder",
    "Sample",
    "SessionStatistics",
    "SnapshotStatistics",
    "percentile",
]

BUSY = 0.9  # of max_size: the pool is nearly exhausted
SLOW_ACQUIRE_MS = 100.0
KEPT = 512  # durations that percentiles are taken from
RESOLUTION = 0.1  # seconds between two samples of the history


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """What went wrong last, in one sentence, and when."""

    message: str
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStatistics:
    """A query that runs now. `since` is of the monotonic clock, `elapsed` in seconds."""

    id: int
    first_line: str
    cell: str | None
    since: float
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatistics:
    """A named connection that keeps its state from cell to cell. `idle` is in seconds."""

    name: str
    pid: int
    transaction: Literal["none", "open", "aborted"]
    busy: bool
    idle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStatistics:
    """The state that cells read. `taken` is the server's clock, `remaining` in seconds."""

    state: Literal["held", "over", "lost", "ended"]
    taken: datetime
    remaining: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The pool at one moment of the monotonic clock, the busiest of its tenth of a second."""

    at: float
    in_use: int
    size: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatistics:
    """One database at one instant; the counters count since the pool was made.

    `requests_errors` are requests that got no connection, `returns_bad` connections that were not
    fit to be used again, `acquire_…` what a request waited for a connection that was open already,
    `usage_…` how long it kept one. Percentiles are None before the first.
    """

    database: str

    size: int
    idle: int
    in_use: int
    waiting: int
    max_size: int

    requests_num: int
    requests_queued: int
    requests_errors: int
    requests_wait_ms: float
    usage_ms: float
    acquire_p50_ms: float | None
    acquire_p95_ms: float | None
    usage_p50_ms: float | None
    usage_p95_ms: float | None
    connections_num: int
    connections_ms: float
    connections_errors: int
    connections_lost: int
    returns_bad: int
    cancels: int

    breaker: Literal["closed", "open", "half-open"]
    retry_in: float
    failures: int
    pooled: bool
    last_error: LastError | None
    sessions: tuple[SessionStatistics, ...]
    running: tuple[QueryStatistics, ...]
    snapshot: SnapshotStatistics | None = None

    @property
    def utilisation(self) -> float:
        """Share of `max_size` that is in use, 0 to 1."""
        return self.in_use / self.max_size

    @property
    def alerts(self) -> tuple[str, ...]:
        """What somebody should look at, in words."""
        alerts = []
        if self.breaker != "closed":
            alerts.append("circuit open: it is not asked until a try succeeds")
        if self.waiting and self.in_use >= self.max_size:
            alerts.append(f"exhausted: {self.waiting} waiting for one of {self.max_size}")
        elif self.utilisation >= BUSY:
            alerts.append(f"nearly exhausted: {self.in_use} of {self.max_size} in use")
        if (self.acquire_p95_ms or 0.0) > SLOW_ACQUIRE_MS:
            alerts.append(f"slow: a free connection takes {self.acquire_p95_ms:.0f} ms (p95)")
        return tuple(alerts)


@dataclass(slots=True)
class Recorder:
    """The counters of one pool as they are counted, and its recent history."""

    clock: Callable[[], float]
    requests_num: int = 0
    requests_queued: int = 0
    requests_errors: int = 0
    requests_wait_ms: float = 0.0
    usage_ms: float = 0.0
    connections_num: int = 0
    connections_ms: float = 0.0
    connections_errors: int = 0
    connections_lost: int = 0
    returns_bad: int = 0
    cancels: int = 0
    last_error: LastError | None = None
    acquires: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    usages: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT))

    def acquired(self, seconds: float, *, warm: bool) -> None:
        """Count a connection handed out; only one that was open already counts as slow."""
        if warm:
            self.acquires.append(seconds * 1e3)

    def used(self, seconds: float) -> None:
        self.usages.append(seconds * 1e3)
        self.usage_ms += seconds * 1e3

    def connected(self, seconds: float) -> None:
        self.connections_num += 1
        self.connections_ms += seconds * 1e3

    def failed(self, message: str) -> None:
        self.last_error = LastError(message=message, when=datetime.now(UTC))

    def sample(self, *, in_use: int, size: int, waiting: int) -> None:
        """Note the pool as it is, at most ten times a second, never losing a peak."""
        now = self.clock()
        sample = Sample(at=now, in_use=in_use, size=size, waiting=waiting)
        if self.samples and now - self.samples[-1].at < RESOLUTION:
            last = self.samples[-1]
            busier = (in_use, waiting) >= (last.in_use, last.waiting)
            if busier:
                self.samples[-1] = Sample(at=last.at, in_use=in_use, size=size, waiting=waiting)
            return
        self.samples.append(sample)

    def history(self) -> Sequence[Sample]:
        return tuple(self.samples)


def percentile(values: Iterable[float], share: float) -> float | None:
    """Give the smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
