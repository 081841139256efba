"""Where to cut the values of a column, so that no part is much larger than the others."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Weight", "cuts"]


class Weight(NamedTuple):
    """How many rows there are around one value, as a share of all.

    `below` are those between the value before and this one, `at` those that have the value.
    """

    below: float
    at: float


def cuts(weights: Sequence[Weight], parts: int) -> tuple[list[int], list[float]]:
    """Choose the values at which a new part begins, by their places in ascending order.

    Gives at most `parts - 1` of them, and the share of each part, which is one more. One value
    is never cut: where most rows have the same, they make a large part, and little else is in it.
    """
    # How many rows come before each value. Only added to, so that rounding takes nothing away.
    before: list[float] = []
    total = 0.0
    for weight in weights:
        total += weight.below
        before.append(total)
        total += weight.at
    chosen: dict[int, None] = {}
    for number in range(1, parts):
        nearest = _nearest(before, total * number / parts)
        if nearest is not None and 0 < before[nearest] < total:
            chosen[nearest] = None
    edges = [0.0, *(before[place] for place in chosen), total]
    return list(chosen), [end - start for start, end in pairwise(edges)]


def _nearest(ascending: Sequence[float], wanted: float) -> int | None:
    """Find the place of the number that is nearest; of two, the first."""
    if not ascending:
        return None
    after = bisect_left(ascending, wanted)
    around = [place for place in (after - 1, after) if 0 <= place < len(ascending)]
    return min(around, key=lambda place: abs(ascending[place] - wanted))
