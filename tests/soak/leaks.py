"""What is left behind, and what grows."""

import asyncio
import gc
import threading
import time
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import psutil

from pgmagic import Client
from tests.soak.schedule import DATABASES
from tests.soak.world import World

__all__ = ["Footprint", "Growth", "left_in_pools", "left_in_process", "left_on_servers"]

SETTLED_WITHIN = 5.0  # seconds
CLOSED_WITHIN = 2.0
STEP = 0.02
WARM = 0.25  # share of the samples that are not counted: caches fill up


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What this process holds."""

    tasks: int
    sockets: int
    files: int
    threads: int

    @classmethod
    def now(cls) -> "Footprint":
        process = psutil.Process()
        return cls(
            tasks=len(asyncio.all_tasks()),
            sockets=len(process.net_connections("tcp")),
            files=process.num_fds(),
            threads=threading.active_count(),
        )


class Growth:
    """The memory of this process, sampled."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._samples: list[tuple[float, int]] = []

    def sample(self, every: float) -> None:
        """Look at it, where so many seconds have passed since the last time."""
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= every:
            self._samples.append((now, self._process.memory_info().rss))

    @property
    def first(self) -> int:
        """Bytes when caches were filled."""
        return self._warm[0][1]

    @property
    def last(self) -> int:
        return self._warm[-1][1]

    @property
    def per_hour(self) -> float:
        """Bytes: the median of the slopes between any two samples, which no outlier moves."""
        slopes = [
            (later[1] - earlier[1]) / (later[0] - earlier[0])
            for earlier, later in combinations(self._warm, 2)
        ]
        return median(slopes) * 3600 if slopes else 0.0

    @property
    def _warm(self) -> list[tuple[float, int]]:
        return self._samples[int(len(self._samples) * WARM) :]


async def left_in_pools(pg: Client) -> list[str]:
    """Say what of the pools does not come to rest."""

    def busy() -> list[str]:
        return [
            f"{each.database}: {each.in_use} in use, {each.waiting} waiting, "
            f"{len(each.running)} running, {each.idle} of {each.size} idle, "
            f"{len(each.sessions)} sessions"
            for each in pg.statistics()
            if each.in_use
            or each.waiting
            or each.running
            or each.idle != each.size
            or each.sessions
            or each.size > each.max_size
        ]

    deadline = time.monotonic() + SETTLED_WITHIN
    while (found := busy()) and time.monotonic() < deadline:
        await asyncio.sleep(STEP)
    return found


async def left_on_servers(pg: Client, world: World) -> list[str]:
    """Say on which server more backends serve us than we have connections, or one is at work."""
    deadline = time.monotonic() + CLOSED_WITHIN
    while True:
        sizes = dict.fromkeys(DATABASES, 0) | {s.database: s.size for s in pg.statistics()}
        backends, active = await world.backends(), await world.active()
        found = [
            f"{name}: {backends[name]} backends, {active[name]} at work, {size} connections"
            for name, size in sizes.items()
            if backends[name] != size or active[name]
        ]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(STEP)


async def left_in_process(before: Footprint, *, threads: int) -> list[str]:
    """Say what this process holds more than `before`; `threads` of a thread pool may stay."""
    deadline = time.monotonic() + CLOSED_WITHIN
    while True:
        gc.collect()  # a task that was lost complains when it is collected
        now = Footprint.now()
        found = [
            f"{name}: {getattr(now, name)}, and {getattr(before, name)} before"
            for name, more in (("tasks", 0), ("sockets", 0), ("files", 0), ("threads", threads))
            if getattr(now, name) > getattr(before, name) + more
        ]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(STEP)
