"""What happened, in numbers that take no more room after an hour than after a minute."""

import math
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pgmagic import PgMagicError
from pgmagic.database.retry import ATTEMPTS
from pgmagic.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    PoolTimeout,
    QueryTimeout,
    SnapshotEnded,
)
from tests.soak.schedule import Fault

__all__ = ["Durations", "Error", "Record", "Trouble"]

STEP = 1.05  # a duration is known to 5 %
SHORTEST = 1e-5  # seconds
KEPT = 20  # examples of what is wrong

# Seconds after the end of a fault in which it may still be the reason of an error: the circuit
# stays open for as long as the settings say, and an attempt to connect may have begun before.
AFTERWARDS = dict.fromkeys((Fault.BLACK_HOLE, Fault.RESTART, Fault.CRASH, Fault.DELAY), 2.5)
AT_ONCE = 0.05  # seconds: a connection that was idle is found broken by the next job
GRAVE = (*AFTERWARDS, Fault.RESET, Fault.TERMINATE)

PASSING = (Fault.RESET, Fault.TERMINATE)  # over in a moment

# What a fault can be the reason of. No fault makes the server refuse a statement, and none cancels.
BY_ANY = (ConnectionLost, ConnectFailed, SnapshotEnded, CircuitOpen)
BY_LASTING = (*BY_ANY, QueryTimeout, PoolTimeout)

PROMISED = 2.0  # seconds from a cancellation to its end, whatever the network does
SLACK = 0.1  # seconds: a timer fires late, and then the cell has some steps to go


class Durations:
    """Durations in seconds, counted in buckets."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        self._buckets[math.ceil(math.log(max(seconds, SHORTEST) / SHORTEST, STEP))] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, share: float) -> float:
        """Give the duration that this share of them did not exceed."""
        left = share * self.count
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(SHORTEST * STEP**bucket, self.longest)
        return self.longest


@dataclass(slots=True, eq=False)
class Trouble:
    """A fault on some databases, from its beginning to its end."""

    fault: Fault
    databases: Sequence[str]
    began: float
    ended: float = math.inf
    waiting: set[str] = field(default_factory=set)  # databases that have not answered since


@dataclass(frozen=True, slots=True)
class Error:
    """One error that a user would have seen: of which kind of cell, and during what."""

    cell: str  # read, file, write, session or snapshot
    name: str  # of the error's class
    during: str


class Record:
    """The counts of one soak."""

    def __init__(self) -> None:
        self.cells: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()  # by how
        self.faults: Counter[Fault] = Counter()
        self.errors: Counter[Error] = Counter()
        self.wrong: list[str] = []
        self.unexplained: list[str] = []
        self.noise: list[str] = []
        self.slow: list[str] = []  # cancellations
        self.took = Durations()
        self.cancels = Durations()  # on databases that answer
        self.cancels_in_trouble = Durations()
        self.lags = Durations()  # how late our own loop is: the machine has other work
        self.recoveries: dict[Fault, Durations] = defaultdict(Durations)
        self._troubles: deque[Trouble] = deque(maxlen=200)
        self._late: deque[tuple[float, float]] = deque(maxlen=400)

    # -- faults

    def begins(self, fault: Fault, *databases: str) -> Trouble:
        trouble = Trouble(fault, databases, time.monotonic())
        for earlier in self._troubles:
            earlier.waiting.difference_update(databases)  # it is overtaken, and not to be measured
        self._troubles.append(trouble)
        self.faults[fault] += 1
        return trouble

    def ends(self, trouble: Trouble) -> None:
        trouble.ended = time.monotonic()
        trouble.waiting.update(trouble.databases)

    def answers(self, databases: Sequence[str], began: float) -> None:
        """Note that a cell got its answer: the first one after a fault tells the recovery."""
        now = time.monotonic()
        for trouble in self._troubles:
            back = trouble.waiting.intersection(databases)
            if back and began >= trouble.ended:
                trouble.waiting -= back
                self.recoveries[trouble.fault].add(now - trouble.ended)

    def reason(self, database: str, since: float) -> Fault | None:
        """Name the gravest fault that can have touched a cell which began then and failed now."""
        possible = {trouble.fault for trouble in self._met(database, since)}
        return next((fault for fault in GRAVE if fault in possible), None)

    def _should_have_answered(self, database: str, since: float) -> bool:
        """Say whether a read had more attempts than there were faults, all over at once."""
        met = self._met(database, since)
        return len(met) <= ATTEMPTS and all(trouble.fault in PASSING for trouble in met)

    def _met(self, database: str, since: float) -> list[Trouble]:
        """Give the faults that can have touched a cell which began then and failed now."""
        return [
            trouble
            for trouble in self._troubles
            if database in trouble.databases
            and trouble.ended + AFTERWARDS.get(trouble.fault, AT_ONCE) >= since
        ]

    # -- cells

    def fails(
        self, cell: str, database: str, error: Exception, since: float, *, kind: str = ""
    ) -> None:
        """Note an error that was shown.

        One that no fault explains counts as a defect: there was none, or none that leads to such
        an error. So does one that is not pgmagic's own, whatever happened, and a read that met
        fewer faults than it has attempts, all of them over at once.
        """
        reason = self.reason(database, since)
        if not isinstance(error, BY_ANY if reason in PASSING else BY_LASTING):
            reason = None
        name = type(error).__name__
        self.errors[Error(cell, name, str(reason or "nothing"))] += 1
        if not isinstance(error, PgMagicError):
            self._note(self.unexplained, "".join(traceback.format_exception(error)))
        elif reason is None or (cell == "read" and self._should_have_answered(database, since)):
            self._note(
                self.unexplained, f"{kind or cell} on {database}: {name}: {error} ({reason})"
            )

    def is_wrong(self, what: str) -> None:
        self._note(self.wrong, what)

    def is_noise(self, what: str) -> None:
        self._note(self.noise, what)

    def was_late(self, seconds: float) -> None:
        """Note that our own loop came so much later to something than it was due."""
        self.lags.add(seconds)
        self._late.append((time.monotonic(), seconds))

    def cancel_took(
        self, kind: str, seconds: float, databases: Sequence[str], since: float, *, waits: int = 1
    ) -> None:
        """Note how long a cell went on after its cancellation.

        It may wait so many times for a server that does not answer, one after the other. More is a
        defect, but for the time by which our own loop was late meanwhile.
        """
        grave = {Fault.BLACK_HOLE, Fault.DELAY, Fault.RESTART, Fault.CRASH}
        troubled = any(self.reason(database, since) in grave for database in databases)
        (self.cancels_in_trouble if troubled else self.cancels).add(seconds)
        began = time.monotonic() - seconds
        late = sum(by for when, by in self._late if when >= began)
        if seconds > PROMISED * waits + SLACK + late:
            where = ", ".join(databases)
            self._note(
                self.slow, f"{kind} on {where}: {seconds:.2f} s, the loop was {late:.2f} s late"
            )

    def _note(self, where: list[str], what: str) -> None:
        where.append(what if len(where) < KEPT else "…")
