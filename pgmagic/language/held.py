"""What a cell may do on databases that are held at a snapshot: read."""

from collections.abc import Collection
from dataclasses import replace

from pgmagic.errors import CellError
from pgmagic.language.plan import Plan

__all__ = ["as_held", "refusal"]


def as_held(plan: Plan, held: Collection[str]) -> Plan:
    """Make a plan read only on the databases that are `held`.

    Raises `CellError` where the cell would leave the snapshot: where it may write, where it has a
    session, whose transactions are its own, and where a statement can't run in a transaction.
    """
    names = [name for name in plan.targets if name in held]
    if not names:
        return plan
    options = plan.cell.options
    if options.write:
        raise refusal(names, "what --write changes would stay unseen by the cells after it")
    if options.session is not None:
        raise refusal(names, f"session {options.session} has transactions of its own")
    for statement in plan.statements:
        kind = statement.kind
        outside = kind.evades_read_only and kind.verb not in ("set", "reset")
        if kind.no_block or outside:
            first = statement.cell[statement.start : statement.stop].split()[0].upper()
            error = refusal(names, f"{first} may write, or can't run in its transaction")
            error.cell, error.offset = statement.cell, statement.start
            raise error
    steps = tuple(
        replace(step, read_only=step.read_only or step.database in held) for step in plan.steps
    )
    return replace(plan, steps=steps)


def refusal(names: Collection[str], why: str) -> CellError:
    """Say why a cell can't run while these databases are held."""
    is_or_are = "is" if len(names) == 1 else "are"
    return CellError(
        f"{', '.join(names)} {is_or_are} held at a snapshot: {why}",
        hint=f"%pg_snapshot --end {' '.join(names)} comes first",
    )
