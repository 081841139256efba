"""Every fault once or twice. `python -m tests.faults` lets them happen hundreds of times."""

import pytest

from tests.faults import every_fault
from tests.faults.catalogue import Fault, run
from tests.faults.world import World
from tests.pgbouncer import installed
from tests.servers import missing

SLOW = {6, 7, 22, 28, 29, 30}
# Of the many ways to strike at every await, those that share the least.
STEPS = (
    "a read, with an open connection, cancelled",
    "a read, with an open connection, hit by KeyboardInterrupt",
    "a fan-out, with an open connection, cut off",
    "a write on two, with an open connection, cancelled",
    "a session's transaction, with an open connection, cancelled",
    "a session, without an open connection, cancelled",
    "a --to file, with an open connection, cancelled",
    "a snapshot, with an open connection, cancelled",
)
# The stop button is pressed by tests/kernel, at moments that they choose.
FAULTS = [
    fault
    for fault in every_fault()
    if "stop button" not in fault.name and (not fault.steps or fault.name.startswith(STEPS))
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_all_promises_are_kept(world: World, fault: Fault) -> None:
    if fault.number == 31 and installed() is None:
        missing("pgbouncer is not installed")
    once = fault.number in SLOW or fault.steps or fault.run_by is not None
    for seed in range(1 if once else 2):
        violation = run(fault, world, seed).violation
        assert not violation, f"seed {seed}: {violation}"


def test_the_list_is_complete() -> None:
    assert {fault.number for fault in FAULTS} == set(range(32))
