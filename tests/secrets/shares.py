"""The part of the product that one process runs."""

import logging
import time
from dataclasses import dataclass

from tests.faults.catalogue import Record
from tests.faults.world import binaries_of
from tests.secrets.product import Pair, pairs
from tests.secrets.trials import Search, opened_with_canary

__all__ = ["Share", "run_share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The pairs of one process, which has servers of its own."""

    wanted: frozenset[int]
    sources: tuple[str, ...]
    seed: int
    pg: str
    first: int
    step: int

    def all_pairs(self) -> list[Pair]:
        every = pairs(self.sources)
        return [each for each in every if not self.wanted or each.fault.number in self.wanted]


def run_share(share: Share) -> dict[int, tuple[Record, Search]]:
    """Run the pairs of a share; give what came of them, by their numbers among all."""
    logging.getLogger("pgmagic").addHandler(logging.NullHandler())
    chosen = share.all_pairs()
    done: dict[int, tuple[Record, Search]] = {}
    with opened_with_canary(binaries_of(share.pg)) as world:
        for number in range(share.first, len(chosen), share.step):
            began = time.monotonic()
            record, search = done[number] = chosen[number].run(world, share.seed)
            lines = [
                (
                    f"{number + 1}/{len(chosen)} {chosen[number]}: "
                    f"{search.searched} searched [{time.monotonic() - began:.0f} s]"
                ),
                *(f"  FOUND {line}" for line in search.found),
            ]
            if record.violation:
                lines.append(f"  besides: {record.violation}")
            print("\n".join(lines), flush=True)
    return done
