"""A kernel that is used for long holds no more than one that is used a little.

`python -m tests.soak.resources` measures the same with large numbers.
"""

import pytest

from tests.kernels import Kernel
from tests.soak.measures import CELLS, Use, many_cells, many_reloads

MB = 1_000_000
# What is kept on purpose, and bounded: what was asked, and how busy the pools were.
KEPT = {"Receipt", "Origin", "Share", "Position", "Sample"}


def assert_same(before: Use, after: Use) -> None:
    assert (after.files, after.threads, after.tasks) == (before.files, before.threads, before.tasks)
    grown = after.grown(before, least=20)
    assert {name.rpartition(".")[2] for name in grown} <= KEPT
    assert after.memory - before.memory < 20 * MB


@pytest.mark.timeout(90)
def test_many_cells(own_kernel: Kernel) -> None:
    count = 10 * len(CELLS)
    before, after = many_cells(own_kernel, (count, 4 * count))
    assert_same(before, after)
    assert after.samples <= 512
    assert own_kernel.complaints() == []


@pytest.mark.timeout(90)
def test_many_reloads(own_kernel: Kernel) -> None:
    before, after = many_reloads(own_kernel, (5, 30))
    assert_same(before, after)
    assert own_kernel.complaints() == []
