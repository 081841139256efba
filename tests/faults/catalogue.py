"""The faults there are, and one run of any of them."""

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

from tests.faults.invariants import after_close, after_fault, no_file_left
from tests.faults.noise import listening
from tests.faults.trial import Trial, Violation
from tests.faults.world import World

__all__ = ["FAULTS", "Fault", "Record", "complaint", "fault", "run"]

Strike: TypeAlias = Callable[..., Any]
HUNG = 30.0  # seconds after which a trial counts as hung


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fault:
    """One kind of fault. `strike` brings it about, runs cells meanwhile, and says what is due.

    It is a coroutine function of a `Trial`, unless the fault has a runner of its own, `run_by`.

    `within` is the time of recovery in seconds, from the moment the cause is gone. `of` is what
    the report calls several that belong together. With `steps` it strikes once at every step of
    a cell, instead of at a random moment.
    """

    number: int
    name: str
    promise: str
    strike: Strike
    run_by: "Callable[[Fault, World, int], Record] | None" = None
    direct: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    within: float = 1.0
    steps: bool = False
    of: str = ""

    @property
    def row(self) -> str:
        return self.of or self.name

    def __str__(self) -> str:
        return f"{self.number:02} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one run gave. `told` counts the cells, by the class of what they were told."""

    seed: int
    violation: str = ""
    told: Counter[str] = field(default_factory=Counter)
    near_seconds: list[float] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    recovery: float = 0.0
    seconds: float = 0.0


FAULTS: list[Fault] = []


def fault(number: int, name: str, promise: str, **more: Any) -> Callable[[Strike], Strike]:
    """Add a function to the faults."""

    def add(strike: Strike) -> Strike:
        FAULTS.append(Fault(number=number, name=name, promise=promise, strike=strike, **more))
        return strike

    return add


def run(fault: Fault, world: World, seed: int) -> Record:
    """Let a fault happen once, at moments that the seed decides, and check what must hold."""
    if fault.run_by is not None:
        return fault.run_by(fault, world, seed)
    started = time.monotonic()
    trial = Trial(
        world=world,
        random=Random(f"{fault} {seed}"),
        direct=fault.direct,
        settings=fault.settings,
    )
    violation, recovery = "", 0.0
    try:
        with no_file_left(), listening() as noise:
            recovery = _driven(_happen(fault, trial))
        if noise:
            raise Violation("I4: besides, there was\n" + "\n".join(noise))
    except AssertionError as found:  # a Violation, or what a fault itself asserts
        violation = complaint(found)
    except TimeoutError:
        violation = f"it hung for {HUNG:g} s"
    except Exception as found:  # the other runs go on
        violation = f"the trial itself failed: {found!r}"
    return Record(
        seed=seed,
        violation=violation,
        told=Counter(kind for told in trial.told for kind in _kinds(told)),
        near_seconds=trial.near_seconds,
        figures=trial.figures,
        recovery=recovery,
        seconds=time.monotonic() - started,
    )


async def _happen(fault: Fault, trial: Trial) -> float:
    before = asyncio.all_tasks()
    async with asyncio.timeout(HUNG):
        async with trial:
            await trial.warm_up()
            if not fault.steps:
                trial.disturb()
            await fault.strike(trial)
            recovery = await after_fault(trial, within=fault.within)
        await after_close(trial, before)
    return recovery


def complaint(error: AssertionError) -> str:
    """Say what was asserted, also where the assertion itself does not."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return str(error) or f"{where.name} asserts: {where.line}"


def _driven(work: Coroutine[Any, Any, float]) -> float:
    """Run something to its end on a new loop that, as a notebook's, survives interrupts."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        while not task.done():
            with suppress(KeyboardInterrupt):
                loop.run_until_complete(task)
        return task.result()


def _kinds(told: Any) -> list[str]:
    return [type(error).__name__ for error in told.failures().values()] or ["answered"]
