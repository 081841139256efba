"""A cancel, a KeyboardInterrupt or a lost connection at every await of every kind of cell."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pandas as pd

from pgmagic.errors import ConnectFailed, ConnectionLost, NotCommitted, QueryError, SnapshotEnded
from tests.faults.catalogue import fault
from tests.faults.invariants import nothing_left
from tests.faults.stepping import Steps, stepping, without_steps
from tests.faults.trial import Told, Trial, Violation

Path: TypeAlias = Callable[[Trial], Awaitable[Told]]
Action: TypeAlias = Callable[[Trial, int], Steps]

BOTH = ("far", "near")
ABORTED = "25P02"  # in_failed_sql_transaction


async def to_file(trial: Trial) -> Told:
    folder = trial.world.folder
    told = await trial.read(to=str(folder / "rows.parquet"))
    if left := [each for each in folder.iterdir() if each.name != "rows.parquet"]:
        raise Violation(f"I1: {left} lie beside the file")
    if (folder / "rows.parquet").exists() != told.answered:
        raise Violation("I3: a file without an answer, or an answer without a file")
    (folder / "rows.parquet").unlink(missing_ok=True)
    return told


async def frame(trial: Trial) -> Told:
    number = trial.number()
    writing = trial.client.write(
        pd.DataFrame({"id": [number]}), BOTH, table="ledger", if_exists="append"
    )
    told = await trial.note(writing, BOTH)
    trial.owe(told, number)
    return told


async def in_parts(trial: Trial) -> Told:
    sql = "select i from numbers"
    told = await trial.cell(sql, parallel=2)
    if told.answered and sorted(told.value["i"]) != [*range(1, 3001)]:
        raise Violation("I3: the parts do not make the whole")
    return told


async def in_snapshot(trial: Trial) -> Told:
    """Hold both databases, ask them, and let them go."""

    async def work() -> pd.DataFrame:
        async with trial.client.snapshot(*BOTH, seconds=60):
            return await trial.client.query("select 42 as n", on=BOTH)

    told = await trial.note(work(), BOTH)
    if told.answered and told.value["n"].tolist() != [42, 42]:
        raise Violation("I3: the snapshot shows something else")
    return told


async def in_transaction(trial: Trial) -> Told:
    """Read in a session's own transaction, which must go on, or be aborted as in psql."""
    with without_steps():
        (await trial.cell("begin", session="s", write=True)).only()
    told = await trial.read(session="s")
    if trial.client.pool("far").sessions.get("s") is None:
        return told  # its connection was cut off
    with without_steps():
        number = trial.number()
        sql = f"insert into ledger values ({number})"
        wrote = await trial.cell(sql, session="s", write=True)
        if not told.answered:
            wrote.only(QueryError, ConnectionLost)
            refused = [each for each in wrote.failures().values() if isinstance(each, QueryError)]
            if any(each.sqlstate != ABORTED for each in refused):
                raise Violation(f"the transaction can't be used: {refused}")
        trial.owed["far", number] = {0}  # it is never committed
        await trial.cell("rollback", session="s", write=True)
    return told


PATHS: dict[str, Path] = {
    "a read": lambda trial: trial.read(),
    "a long read": lambda trial: trial.read(rows=5000),
    "a fan-out": lambda trial: trial.read(*BOTH),
    "a write": lambda trial: trial.write(),
    "a write on two": lambda trial: trial.write(*BOTH),
    "a session's transaction": in_transaction,
    "a session": lambda trial: trial.read(session="s"),
    "a --to file": to_file,
    "a frame written to two": frame,
    "a --parallel read": in_parts,
    "a snapshot": in_snapshot,
}
CHANGES_NOTHING = {"a read", "a long read", "a fan-out"}  # and so is asked again


def cancel(trial: Trial, step: int) -> Steps:
    return Steps(step, trial.interrupt)


def interrupt(_: Trial, step: int) -> Steps:
    return Steps(step, error=KeyboardInterrupt())


def lose(trial: Trial, step: int) -> Steps:
    return Steps(step, trial.proxy.reset_all)


ACTIONS: dict[str, Action] = {
    "cancelled": cancel,
    "hit by KeyboardInterrupt": interrupt,
    "cut off": lose,
}
STOPS = (asyncio.CancelledError, KeyboardInterrupt)


def every_step(path: str, action: str, cold: bool) -> Callable[[Trial], Awaitable[None]]:
    """Make a fault that strikes at the first step, then at the second, to the last."""

    async def strike(trial: Trial) -> None:
        await trial.execute(
            "create table if not exists numbers as select i from generate_series(1, 3000) as i"
        )
        for step in itertools.count(1):
            if cold:
                await trial.client.close()
            else:
                await trial.read(*BOTH)
            steps = ACTIONS[action](trial, step)
            with stepping(steps):
                told = await PATHS[path](trial)
            try:
                _due(told, path, action)
                await nothing_left(trial)
            except Violation as found:
                raise Violation(f"step {step}: {found}") from found
            if not steps.struck:
                break
        trial.measured("strikes", step - 1)
        await trial.client.close()

    return strike


def _due(told: Told, path: str, action: str) -> None:
    if action != "cut off":
        allowed: tuple[Any, ...] = STOPS
    elif path in CHANGES_NOTHING:
        allowed = ()
    else:
        allowed = (ConnectionLost, NotCommitted, ConnectFailed, SnapshotEnded)
    told.only(*allowed)


for _path, _action, _cold in itertools.product(PATHS, ACTIONS, (False, True)):
    if _action == "hit by KeyboardInterrupt" and (_cold or _path == "a snapshot"):
        # Raised inside the driver while it connects, it loses what it connected. In a notebook
        # none is raised there: pgmagic takes the signal, and cancels.
        continue
    fault(
        23,
        f"{_path}, {'without' if _cold else 'with'} an open connection, {_action} at every await",
        "ends at once; all of it is undone or told as unknown; reads that are cut off answer",
        steps=True,
        of=f"a cell is {_action} at every await: {', '.join(PATHS)}",
        settings={"fail_max": 1000},
    )(every_step(_path, _action, _cold))
