"""What is left behind, and what grows."""

import asyncio
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import psutil
import pyarrow

from pgmagic import Client
from tests.soak.schedule import DATABASES
from tests.soak.world import World

__all__ = ["Footprint", "Growth", "Memory", "left_in_pools", "left_in_process", "left_on_servers"]

SETTLED_WITHIN = 5.0  # seconds
CLOSED_WITHIN = 2.0
STEP = 0.02
WARM = 1 / 3  # share of the samples that are not counted: caches and receipts fill up


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


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc, https://man7.org/linux/man-pages/man3/mallinfo.3.html."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory of this process at one moment of the monotonic clock, in bytes.

    `resident` is what the system counts: what is in use, and what allocators keep for later.
    `allocated` is what C has in use, and `arrow` what Arrow has; `blocks` are the pieces of memory
    that Python's objects have.
    """

    at: float
    resident: int
    allocated: int
    arrow: int
    blocks: int

    @classmethod
    def now(cls) -> "Memory":
        gc.collect()
        return cls(
            at=time.monotonic(),
            resident=psutil.Process().memory_info().rss,
            allocated=_allocated(),
            arrow=pyarrow.total_allocated_bytes(),
            blocks=sys.getallocatedblocks(),
        )


def _allocated() -> int:
    """Ask malloc how much is in use; 0 where it can't tell."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # another system, or an older glibc
        return 0
    ask.restype = _MallInfo
    found = ask()
    return int(found.uordblks + found.hblkhd)


class Growth:
    """The memory of this process, sampled while nothing runs."""

    def __init__(self) -> None:
        self.samples: list[Memory] = []

    def sample(self) -> None:
        self.samples.append(Memory.now())

    def per_hour(self, what: Callable[[Memory], int]) -> float:
        """Give the median of the slopes between any two samples, which no outlier moves.

        The first third of the time does not count.
        """
        warm = self.samples[int(len(self.samples) * WARM) :]
        slopes = [
            (what(later) - what(earlier)) / (later.at - earlier.at)
            for earlier, later in combinations(warm, 2)
        ]
        return median(slopes) * 3600 if slopes else 0.0


async def left_in_pools(pg: Client, *, sessions: bool = False) -> list[str]:
    """Say what of the pools does not come to rest; `sessions` may stay."""

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
            or (each.sessions and not sessions)
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
        sizes = dict.fromkeys(DATABASES, 0)
        for each in pg.statistics():
            sizes[each.database] = each.size + sum(bool(s.pid) for s in each.sessions)
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
