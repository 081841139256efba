"""Let workers ask and write while faults happen, and look what became of all of it."""

import asyncio
import logging
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pgmagic import Client, DatabaseSettings, FanOutError, NotCommitted, QueryCancelled
from tests.soak.desk import Desk, Wrong, facts
from tests.soak.leaks import (
    Footprint,
    Growth,
    left_in_pools,
    left_in_process,
    left_on_servers,
)
from tests.soak.ledger import Ledger, Said
from tests.soak.reading import READING
from tests.soak.record import Record
from tests.soak.schedule import DATABASES, Job, faults, jobs
from tests.soak.world import World
from tests.soak.writing import WRITING, close

__all__ = ["Findings", "soak"]

REST = 60.0  # seconds between two rests, in which nothing runs and all is looked at
HUNG = 20.0  # seconds: no limit of any cell is nearly as long
PAUSE = 0.1  # seconds after an error, as nobody asks on faster
TICK = 0.1  # seconds between two looks at how late the loop is
# Those have a client or a session to close after what was cancelled, and may wait for that as well.
CLOSING = {"snapshot": 2, "session": 2}
EVERYWHERE = ("fan-out", "write everywhere", "snapshot")
CELLS = READING | WRITING


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a soak has found. Times are in seconds, sizes in bytes."""

    seed: int
    seconds: float
    started: float  # of the monotonic clock
    workers: int
    major: int
    record: Record
    writes: Counter[Said]
    misreported: list[str]  # writes of which the table says something else
    leaks: list[str]
    growth: Growth

    @property
    def defects(self) -> Mapping[str, list[str]]:
        """Give what must not be, by its kind."""
        return {
            "wrong results": self.record.wrong,
            "writes lost, doubled or misreported": self.misreported,
            "leaks": self.leaks,
            "errors without a fault": self.record.unexplained,
            "cancellations that took longer than 2 s": self.record.slow,
            "noise": self.record.noise,
        }


@dataclass(slots=True, kw_only=True)
class Soak:
    """One soak while it runs."""

    seed: int
    until: float
    world: World
    pg: Client
    folder: Path
    record: Record
    growth: Growth
    leaks: list[str] = field(default_factory=list)
    facts: Mapping[str, object] = field(default_factory=dict)
    ledgers: Mapping[str, Ledger] = field(
        default_factory=lambda: {name: Ledger() for name in DATABASES}
    )
    _at_work: int = 0  # jobs
    _may_begin: asyncio.Event = field(default_factory=asyncio.Event)
    _all_done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, workers: int) -> None:
        """Work, break and measure until the time is over; leave nothing broken."""
        started = time.monotonic()
        self._may_begin.set()
        others = [self._break(started), self._measure(), self._look(started)]
        tasks = [asyncio.create_task(each) for each in others]
        await asyncio.gather(*(self._work(number) for number in range(workers)))
        await asyncio.gather(*tasks)

    async def _look(self, started: float) -> None:
        """Let all rest once a minute, and look what is left then.

        A server that is restarted ends what was forgotten on it: at the end it would not be seen.
        """
        due = started + REST
        while due < self.until:
            await asyncio.sleep(due - time.monotonic())
            self._may_begin.clear()
            try:
                while self._at_work:
                    self._all_done.clear()
                    await self._all_done.wait()
                async with self.world.quiet():
                    left = await left_in_pools(self.pg, sessions=True)
                    left += await left_on_servers(self.pg, self.world)
                minutes = (time.monotonic() - started) / 60
                self.leaks += [f"after {minutes:.1f} minutes: {each}" for each in left]
                self.growth.sample()
            finally:
                self._may_begin.set()
            due += REST

    async def _break(self, started: float) -> None:
        async with asyncio.TaskGroup() as group:
            for planned in faults(self.seed, self.until - started):
                await asyncio.sleep(started + planned.at - time.monotonic())
                group.create_task(self.world.break_(planned, self.record))

    async def _measure(self) -> None:
        due = time.monotonic()
        while time.monotonic() < self.until:
            due += TICK
            await asyncio.sleep(due - time.monotonic())
            self.record.was_late(late := time.monotonic() - due)
            due += late

    async def _work(self, number: int) -> None:
        desk = Desk(
            pg=self.pg,
            ledgers=self.ledgers,
            facts=self.facts,
            folder=self.folder,
            session=f"worker{number}",
        )
        last_in_session = dict.fromkeys(DATABASES, time.monotonic())
        for job in jobs(self.seed, number):
            await self._may_begin.wait()
            if time.monotonic() > self.until:
                break
            began = time.monotonic()
            # A session may have been lost at any time since it was used last.
            since = last_in_session[job.database] if job.kind == "session" else began
            self._at_work += 1
            well = await self._do(desk, job, since)
            self._at_work -= 1
            self._all_done.set()
            if not well:
                await asyncio.sleep(PAUSE)
            if job.kind == "session":
                last_in_session[job.database] = time.monotonic()
        for database in desk.kept:
            await close(desk, database)

    async def _do(self, desk: Desk, job: Job, since: float) -> bool:
        """Do one job, and cancel it where that is planned; say whether all is well."""
        record, began = self.record, time.monotonic()
        where = DATABASES if job.kind in EVERYWHERE else (job.database,)
        record.cells[job.kind] += 1
        task = asyncio.create_task(CELLS[job.kind](desk, job))
        stopped: float | None = None
        if job.cancel is not None:
            await asyncio.wait({task}, timeout=job.cancel)
            if not task.done() and (not job.by_id or self._cancel_by_id(job)):
                stopped = time.monotonic()
                if not job.by_id:
                    task.cancel()
        await asyncio.wait({task}, timeout=HUNG)
        if not task.done():
            record.is_wrong(f"{job.kind} on {job.database} hangs, cancelled: {stopped is not None}")
            task.cancel()
            await asyncio.wait({task}, timeout=HUNG)
        record.took.add(time.monotonic() - began)
        if stopped is not None:
            waits = CLOSING.get(job.kind, 1)
            record.cancel_took(job.kind, time.monotonic() - stopped, where, began, waits=waits)
        try:
            task.result()
        except asyncio.CancelledError:
            record.cancelled["the cell"] += 1
            if stopped is None or job.by_id:
                record.is_wrong(f"{job.kind} on {job.database} was cancelled, and nobody did")
            return True
        except Wrong as wrong:
            record.is_wrong(f"{job.kind} on {job.database}: {wrong}")
            return True
        except Exception as error:
            return self._failed(job, error, since, by_id=stopped is not None and job.by_id)
        record.answered[job.kind] += 1
        record.answers(where, began)
        return True

    def _failed(self, job: Job, error: Exception, since: float, *, by_id: bool) -> bool:
        """Note each database's error; a cancellation that was asked for is none."""
        cell = "write" if job.kind in WRITING else "read"
        # A session's state is lost with its connection, and rows in a file are not taken back.
        cell = job.kind if job.kind in ("session", "snapshot", "file") else cell
        failures = (
            [(failure.database, failure.error) for failure in error.failures]
            if isinstance(error, FanOutError)
            else [(getattr(error, "database", "") or job.database, error)]
        )
        shown = False
        for database, one in failures:
            if by_id and isinstance(one, QueryCancelled):
                self.record.cancelled["a query by its id"] += 1
            elif not isinstance(one, NotCommitted):  # another one of them says why
                shown = True
                self.record.fails(cell, database, one, since, kind=job.kind)
        return not shown

    def _cancel_by_id(self, job: Job) -> bool:
        """Cancel the queries of a job one by one; say whether there was any."""
        found = [
            (pool.database, query.id)
            for pool in self.pg.statistics()
            for query in pool.running
            if job.nonce in query.first_line
        ]
        for database, query in found:
            self.pg.cancel(database, query)
        return bool(found)


async def soak(*, seconds: float, seed: int, workers: int) -> Findings:
    """Run a soak, and look for what it left behind."""
    record, growth, leaks = Record(), Growth(), list[str]()
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: record.is_noise(
            f"{context.get('message')}: {context.get('exception')!r}"
        )
    )
    with _noise(record), tempfile.TemporaryDirectory() as folder:
        async with World() as world:
            await asyncio.to_thread(int)  # a thread pool is there before we count
            before, started = Footprint.now(), time.monotonic()
            async with Client(max_result_bytes=200_000_000) as pg:
                for settings in world.settings():
                    await pg.add(settings)
                running = Soak(
                    seed=seed,
                    until=started + seconds,
                    world=world,
                    pg=pg,
                    folder=Path(folder),
                    record=record,
                    growth=growth,
                    leaks=leaks,
                    facts={name: facts(name) for name in DATABASES},
                )
                await running.run(workers)
                took = time.monotonic() - started
                leaks += await left_in_pools(pg)
                leaks += await left_on_servers(pg, world)
                await _still_answer(pg, world.settings(), record)
                pools = await left_in_pools(pg)
            leaks += pools + await left_on_servers(pg, world)
            # asyncio keeps the threads of its pool; pgmagic makes frames and writes files there.
            leaks += await left_in_process(before, threads=32)
            leaks += [f"a file: {path.name}" for path in await asyncio.to_thread(_files, folder)]
            misreported = []
            for name, ledger in running.ledgers.items():
                async with world.databases[name].connection() as connection:
                    wrong = await ledger.verify(connection)
                misreported += [f"{name}: {what}" for what in wrong]
            return Findings(
                seed=seed,
                seconds=took,
                started=started,
                workers=workers,
                major=world.major,
                record=record,
                writes=sum((each.counts() for each in running.ledgers.values()), Counter()),
                misreported=misreported,
                leaks=leaks,
                growth=growth,
            )


def _files(folder: str) -> list[Path]:
    return list(Path(folder).iterdir())


async def _still_answer(pg: Client, databases: list[DatabaseSettings], record: Record) -> None:
    """Ask every database once more, now that nothing is broken."""
    for database in databases:
        await pg.retry(database.name)
        frame = await pg.query("select count(*) as rows from facts", on=database.name)
        if list(frame["rows"]) != [len(facts(database.name))]:
            record.is_wrong(f"{database.name} has not all its rows at the end")


class _Listener(logging.Handler):
    def __init__(self, record: Record) -> None:
        super().__init__(logging.WARNING)
        self._record = record

    def emit(self, said: logging.LogRecord) -> None:
        if not said.name.startswith("pgmagic"):  # what it means to say
            self._record.is_noise(f"{said.name}: {said.getMessage()}")


@contextmanager
def _noise(record: Record) -> Iterator[None]:
    """Note what would have been written to standard error."""
    listener = _Listener(record)
    logging.getLogger().addHandler(listener)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *_, **__: record.is_noise(f"{message}")
            yield
    finally:
        logging.getLogger().removeHandler(listener)
