"""Faults that are brought about on purpose, and what must hold after each of them."""

from tests.faults.catalogue import Fault

__all__ = ["every_fault"]


def every_fault() -> list[Fault]:
    """Give all faults, by their numbers; number 0 is none, to compare with."""
    from tests.faults import (  # noqa: F401  # each adds its own
        of_clients,
        of_kernels,
        of_networks,
        of_poolers,
        of_servers,
        of_statements,
        of_steps,
    )
    from tests.faults.catalogue import FAULTS

    return sorted(FAULTS, key=lambda fault: fault.number)
