"""Every place of a password under every fault."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults import every_fault
from tests.faults.catalogue import Fault, Record
from tests.faults.world import World
from tests.pgbouncer import installed
from tests.secrets.kernels import run_in_kernel_under
from tests.secrets.sources import SOURCES
from tests.secrets.told import MODES
from tests.secrets.trials import Search, run_under

__all__ = ["Pair", "pairs"]

PLACES = 3  # that each way to strike at every await meets


@dataclass(frozen=True, slots=True)
class Pair:
    """A place of a password and a fault; `mode` is how its tracebacks are shown."""

    source: str
    fault: Fault
    mode: str

    def run(self, world: World, seed: int) -> tuple[Record, Search]:
        """Let the fault happen, and search all that is told."""
        if self.fault.run_by is not None:
            # Where rich is asked for, IPython would not give a kernel's error to the front end.
            mode = "Verbose" if self.mode == "rich" else self.mode
            return run_in_kernel_under(self.fault, world, self.source, seed, mode)
        return run_under(self.fault, world, self.source, seed, (self.mode,))

    def __str__(self) -> str:
        return f"{self.fault} [{self.source}, {self.mode}]"


def pairs(sources: Sequence[str] = SOURCES) -> Iterator[Pair]:
    """Give every pair; each fault meets every mode.

    Of the many ways to strike at every await, each meets some places, and each place many ways.
    """
    faults = [each for each in every_fault() if each.number != 31 or installed()]
    steps = [each for each in faults if each.steps]
    for number, fault in enumerate(each for each in faults if not each.steps):
        for place, source in enumerate(sources):
            yield Pair(source, fault, MODES[(number + place) % len(MODES)])
    for number, fault in enumerate(steps):
        for turn in range(min(PLACES, len(sources))):
            source = sources[(number + 4 * turn) % len(sources)]
            yield Pair(source, fault, MODES[(number + turn) % len(MODES)])
