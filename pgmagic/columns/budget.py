"""How much memory the results of one cell may take, on all its databases together."""

from pathlib import Path

import psutil

from pgmagic.errors import ResultTooLarge
from pgmagic.units import size

__all__ = ["Budget", "free_memory"]

LITTLE = 4_000_000  # bytes that nobody has to ask for
SHARE = 4  # of what is free: a frame is made of the rows while they are still held

# What the control group of a container may use, and what it uses.
# https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
CGROUP = Path("/sys/fs/cgroup")


class Budget:
    """Bytes that the readers of one cell may hold, together.

    `most` is in bytes; None is a quarter of the memory that is free, 0 or less no limit.
    Readers add what they take and give back what they drop.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.held = 0

    @property
    def most(self) -> int:
        """The limit, found out when it is first asked for: that takes longer than a small cell."""
        if self._most is None:
            self._most = max(1, free_memory() // SHARE)
        return self._most

    def add(self, held: int) -> bool:
        """Count these bytes too, fewer where negative. False where that is too much."""
        self.held += held
        if self._most is None and self.held < LITTLE:
            return True
        return self.most <= 0 or held <= 0 or self.held <= self.most

    def exceeded(self, database: str, rows: int | None = None) -> ResultTooLarge:
        """Say that a result was stopped, after so many rows of it where they can be counted."""
        after = "" if rows is None else f" after {rows:,} rows"
        return ResultTooLarge(
            f"stopped{after}: the results of this cell would take more than {size(self.most)} "
            "of memory",
            database=database,
            hint="write them to a file with --to, take fewer rows with --limit, or let the "
            "server aggregate",
        )


def free_memory(cgroup: Path = CGROUP) -> int:
    """Give the bytes that can still be taken without swapping: of the machine, or a container."""
    free = int(psutil.virtual_memory().available)
    try:
        most = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        about = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except OSError:  # no container, or no Linux
        return free
    if most == "max":
        return free
    cache = int(about.get("inactive_file", 0))  # given up when somebody needs it
    return max(0, min(free, int(most) - used + cache))
