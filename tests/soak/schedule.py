"""What is asked and what is broken, when: all of it drawn from one seed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeVar

__all__ = ["CANCELLED", "DATABASES", "FAULTS", "JOBS", "Fault", "Job", "Planned", "faults", "jobs"]

T = TypeVar("T")

DATABASES = ("ewr", "jfk", "lga")
SERVERS = {"ewr": 0, "jfk": 0, "lga": 1}  # the two that share a server share its restarts
CANCELLED = 0.3  # share of the jobs
WITHIN = (0.0003, 0.1)  # seconds from the beginning of a job to its cancellation


class Fault(StrEnum):
    """What is done to a database."""

    TERMINATE = "backend terminated"
    RESET = "connections reset"
    BLACK_HOLE = "black hole"
    DELAY = "delay"
    RESTART = "server restarted"
    CRASH = "backend killed (SIGKILL)"


FAULTS: Mapping[Fault, int] = {  # of a hundred
    Fault.TERMINATE: 60,
    Fault.RESET: 25,
    Fault.BLACK_HOLE: 5,
    Fault.DELAY: 6,
    Fault.RESTART: 3,
    Fault.CRASH: 1,
}
LASTING = {Fault.BLACK_HOLE: (0.5, 4.0), Fault.DELAY: (0.5, 2.0)}  # seconds

JOBS: Mapping[str, int] = {  # of a hundred
    "read": 26,
    "values": 12,
    "big read": 6,
    "fan-out": 14,
    "limit": 5,
    "refused": 4,
    "time limit": 2,
    "write": 10,
    "transaction": 4,
    "write everywhere": 6,
    "frame": 3,
    "session": 4,
    "file": 1,
    "parallel": 1,
    "snapshot": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault: seconds from the beginning, where, for how long; `chance` draws the victim."""

    at: float
    fault: Fault
    database: str
    seconds: float
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One cell. `nonce` comes back with its rows.

    `cancel` is the time in seconds until it is cancelled, None where it is left alone; `by_id`
    cancels the queries one by one, as the panel does, and not the task.
    """

    kind: str
    database: str
    nonce: str
    rows: int
    chance: float
    cancel: float | None
    by_id: bool


def faults(seed: int, seconds: float, *, every: float = 1.0) -> Iterator[Planned]:
    """Plan faults for so many seconds, one `every` so often on average."""
    draw = Random(f"{seed} faults")
    kinds = _dealt(draw, FAULTS)
    at = 0.0
    while (at := at + draw.expovariate(1 / every)) < seconds:
        fault = next(kinds)
        yield Planned(
            at=at,
            fault=fault,
            database=draw.choice(DATABASES),
            seconds=draw.uniform(*LASTING.get(fault, (0.0, 0.0))),
            chance=draw.random(),
        )


def jobs(seed: int, worker: int) -> Iterator[Job]:
    """Plan what one worker does, without end."""
    draw = Random(f"{seed} worker {worker}")
    kinds = _dealt(draw, JOBS)
    least, most = map(math.log, WITHIN)
    while True:
        cancelled = draw.random() < CANCELLED
        yield Job(
            kind=next(kinds),
            database=draw.choice(DATABASES),
            nonce=f"{draw.getrandbits(64):016x}",
            rows=draw.choice((1, 10, 100, 1000)),
            chance=draw.random(),
            cancel=math.exp(draw.uniform(least, most)) if cancelled else None,
            by_id=draw.random() < 0.3,
        )


def _dealt(draw: Random, shares: Mapping[T, int]) -> Iterator[T]:
    """Deal from a pack that is shuffled anew when it is used up: no kind stays out for long."""
    pack: Sequence[T] = [kind for kind, count in shares.items() for _ in range(count)]
    while True:
        yield from draw.sample(pack, len(pack))
