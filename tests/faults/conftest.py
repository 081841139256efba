"""The world in which faults happen, once for all tests."""

from collections.abc import Iterator

import pytest

from pgmagic.sandbox.binaries import Binaries
from tests.faults.world import World, opened


@pytest.fixture(scope="session")
def world(pg_binaries: Binaries) -> Iterator[World]:
    with opened(pg_binaries) as world:
        yield world
