"""Record a cell without a notebook."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgmagic.client import Client
from pgmagic.columns import Budget, FrameOptions
from pgmagic.dispatch import dispatch
from pgmagic.language.line import read_cell
from pgmagic.receipts import Origin
from pgmagic.recording import Index, Recording, Recordings, Room, question_of
from pgmagic.watch import Watch

__all__ = ["record"]

ROOM = Room()


async def record(
    client: Client,
    directory: Path,
    line: str,
    sql: str,
    *,
    room: Room = ROOM,
    number: int = 1,
    occurrence: int = 1,
    **values: Any,
) -> Recording:
    """Run a `%%pg` cell, the kernel's `number`th, and keep what came, a failure as well."""
    cell = read_cell(line, sql, values)
    plan = client.plan(cell, values)
    options = {name: FrameOptions(limit=cell.options.limit) for name in plan.targets}
    outcomes = await dispatch(plan, client.pool, options, Watch(), Budget(0))
    return Recordings(directory).write(
        plan,
        question_of(plan),
        occurrence,
        outcomes,
        sql=sql,
        fingerprint="",
        origin=Origin(number=number),
        started=datetime.now(UTC),
        elapsed=0.0,
        index=Index(),
        room=room,
    )
