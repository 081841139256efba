"""What happens to the notebook itself: the stop button, SIGKILL, a laptop that sleeps."""

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.catalogue import Fault, Record, complaint, fault
from tests.faults.trial import Violation
from tests.faults.world import World
from tests.kernels import Activity, Kernel, Reply, configure, start_kernel

LIMIT = 2.0  # seconds
ROOM = 0.5  # seconds more, for a machine that is busy
STOPS = 12  # presses of the button in one kernel

LONG = "select pg_sleep(30)"
TERMINATE = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
    " where application_name like 'pgmagic/%'"
)
CELLS = (
    "%%pg far\n{sql}",
    "%%pg far near\n{sql}",
    "x = %pg far {sql}",
    "%%pg far --session s\n{sql}",
    "%%pg far --write\ncreate temp table t (i int); {sql}",
    "def f():\n    %pg far near {sql}\nf()",
    "%%pg far near --to rows.parquet\nselect generate_series(1, 100000000) as i",
    "%%pg far near\nselect generate_series(1, 100000000) as i, repeat('x', 200) as t",
)


@dataclass(slots=True, kw_only=True)
class KernelTrial:
    """A kernel that knows `far` and `near`, and what its cells came to."""

    world: World
    random: Random
    folder: Path
    kernel: Kernel
    activity: Activity
    told: Counter[str] = field(default_factory=Counter)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def run(self, code: str) -> Reply:
        return self.note(self.kernel.run(code))

    def note(self, reply: Reply) -> Reply:
        self.told["answered" if reply.status == "ok" else reply.ename] += 1
        if self.world.far.password in reply.traceback + reply.stderr + reply.stdout:
            raise Violation("I4: the password was shown")
        if reply.stderr:
            raise Violation(f"I4: besides, there was {reply.stderr}")
        return reply

    def works(self) -> None:
        """Assert that the next cell is answered by both, and that nothing is left of others."""
        reply = self.run("%%pg far near\nselect 42 as n")
        if reply.status != "ok" or reply.result.count("42") != 2:
            raise Violation(f"I6: {reply.ename} {reply.traceback or reply.result}")
        self.kernel.settle()
        if left := self.activity.queries():
            raise Violation(f"I2: {left}")

    def measured(self, what: str, seconds: float, *, limit: float) -> None:
        self.figures.setdefault(what, []).append(seconds)
        if seconds > limit:
            raise Violation(f"{what}: {seconds:.2f} s")

    def press_stop(self, running: str) -> float:
        """Press stop; give the seconds until the cell has ended."""
        pressed = self.kernel.interrupt()
        self.note(self.kernel.finish(running)).failed("KeyboardInterrupt")
        return time.monotonic() - pressed

    @property
    def pid(self) -> int:
        return int(self.kernel.manager.provisioner.pid)  # type: ignore[union-attr]


@contextmanager
def started(world: World, random: Random) -> Iterator[KernelTrial]:
    """Start a kernel; at its end it may have left nothing, and complained of nothing."""
    activity = Activity((world.far, world.near))
    with tempfile.TemporaryDirectory(dir=world.folder) as name:
        folder = Path(name)
        kernel = start_kernel(folder, configure(folder, far=world.far, near=world.near))
        try:
            kernel.run("%load_ext pgmagic").ok()
            yield KernelTrial(
                world=world, random=random, folder=folder, kernel=kernel, activity=activity
            )
        finally:
            kernel.shutdown(now=not kernel.manager.is_alive())
        if complaints := kernel.complaints():
            raise Violation("I4: besides, there was\n" + "\n".join(complaints[-20:]))
        activity.until_gone()


def run_in_kernel(fault: Fault, world: World, seed: int) -> Record:
    """Let a fault happen to a kernel of its own."""
    began, violation = time.monotonic(), ""
    trial: KernelTrial | None = None
    try:
        with started(world, Random(f"{fault} {seed}")) as trial:
            trial.works()
            fault.strike(trial)
    except AssertionError as found:
        violation = complaint(found)
    return Record(
        seed=seed,
        violation=violation,
        told=trial.told if trial else Counter(),
        figures=trial.figures if trial else {},
        seconds=time.monotonic() - began,
    )


@fault(
    23,
    "the stop button in a real kernel, at a random moment of any kind of cell",
    "the prompt is back: p99 < 100 ms; the servers have stopped by then",
    run_by=run_in_kernel,
)
def stop_button(trial: KernelTrial) -> None:
    for _ in range(STOPS):
        cell = trial.random.choice(CELLS).format(sql=LONG)
        running = trial.kernel.start(cell)
        trial.kernel.wait_until_begun(running)
        if trial.random.random() < 0.8:  # else while it connects, or is read
            trial.activity.until(2 if "near" in cell else 1)
        time.sleep(trial.random.uniform(0.0, 0.1))
        seconds = trial.press_stop(running)
        trial.measured("interrupt, healthy server", seconds, limit=LIMIT)
        if list(trial.folder.glob("*rows.parquet")) or list(trial.folder.glob("*.part")):
            raise Violation("I1: a file is left")
        trial.works()


@fault(
    6,
    "the stop button while a server stands still (SIGSTOP)",
    "the prompt is back within 2 s, the connection is given up, the next cell works",
    run_by=run_in_kernel,
)
def stop_button_on_dead_server(trial: KernelTrial) -> None:
    running = trial.kernel.start(trial.random.choice(CELLS[:3]).format(sql=LONG))
    trial.activity.until_some()
    still = trial.activity.pids()[0]
    os.kill(still, signal.SIGSTOP)
    try:
        time.sleep(trial.random.uniform(0.0, 0.1))
        trial.measured("interrupt, dead network", trial.press_stop(running), limit=LIMIT + ROOM)
        trial.run("%%pg far near\nselect 42 as n").ok()
    finally:
        os.kill(still, signal.SIGCONT)
    trial.activity.until_gone("active")
    trial.works()


@fault(
    24,
    "the kernel is killed with SIGKILL, cells run",
    "no backend is left after 2 s; what was not committed is undone",
    run_by=run_in_kernel,
)
def kernel_killed(trial: KernelTrial) -> None:
    ledger = trial.random.randint(1, 10**12)
    cell = trial.random.choice(
        [
            CELLS[0].format(sql=LONG),
            CELLS[1].format(sql=LONG),
            CELLS[7],
            f"%%pg far near --write\ninsert into ledger values ({-ledger}); {LONG}",
        ]
    )
    trial.kernel.start(cell)
    trial.activity.until_some()
    time.sleep(trial.random.uniform(0.0, 0.1))
    os.kill(trial.pid, signal.SIGKILL)
    killed = time.monotonic()
    trial.activity.until_gone(within=5.0)
    trial.measured("orphans gone after SIGKILL", time.monotonic() - killed, limit=LIMIT)
    if any(trial.activity.ask(f"select count(*) from ledger where id = {-ledger}")):
        raise Violation("I3: what was not committed is there")


@fault(
    30,
    "a laptop sleeps (SIGSTOP), its clock jumps, the servers close its connections meanwhile",
    "the next cell answers without an error, within 1 s",
    run_by=run_in_kernel,
)
def laptop_sleeps(trial: KernelTrial) -> None:
    trial.run("x = %pg far near select 1").ok()
    os.kill(trial.pid, signal.SIGSTOP)
    try:
        if trial.random.random() < 0.5:
            trial.world.restart()
        else:
            trial.activity.ask(TERMINATE)
        time.sleep(trial.random.uniform(0.0, 0.5))
    finally:
        os.kill(trial.pid, signal.SIGCONT)
    jump = trial.random.choice([0, 7200, -7200])
    trial.run(f"import time; time.time = lambda now=time.time: now() + {jump}").ok()
    reply = trial.run("%%pg far near\nselect 42 as n").ok()
    trial.measured("first cell after waking", reply.seconds, limit=1.0)
    trial.works()
    # Awake again in the middle of a cell.
    running = trial.kernel.start("%%pg far near\nselect 42 as n, pg_sleep(0.3)")
    trial.activity.until_some()
    os.kill(trial.pid, signal.SIGSTOP)
    time.sleep(trial.random.uniform(0.0, 0.6))
    os.kill(trial.pid, signal.SIGCONT)
    trial.note(trial.kernel.finish(running)).ok()
