"""One run of a fault: a client, the cells that it ran, and an account of what each was told."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Self

from pgmagic.client import Client
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import (
    CircuitOpen,
    ConnectionLost,
    FanOutError,
    PgMagicError,
    QueryCancelled,
    QueryTimeout,
)
from tests.faults.world import World
from tests.proxy import FaultProxy
from tests.servers import TestDatabase

__all__ = ["Told", "Trial", "Violation", "settings_of"]

_numbers = itertools.count(1)  # of reads and writes: no two may be taken for each other


class Violation(AssertionError):
    """Something that must hold whatever goes wrong did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one cell came to, after so many seconds: a value or an error, never both."""

    targets: tuple[str, ...]
    value: Any = None
    error: BaseException | None = None
    seconds: float

    @property
    def answered(self) -> bool:
        return self.error is None

    def failures(self) -> dict[str, BaseException]:
        """Give the error of each database that failed."""
        if isinstance(self.error, FanOutError):
            return {each.database: each.error for each in self.error.failures}
        if isinstance(self.error, PgMagicError) and self.error.database in self.targets:
            return {self.error.database: self.error}  # all of it failed for want of this one
        return {} if self.error is None else dict.fromkeys(self.targets, self.error)

    def only(self, *kinds: type[BaseException]) -> Self:
        """Assert that it was answered, or told one of these."""
        for name, error in self.failures().items():
            if not isinstance(error, kinds):
                raise Violation(f"I4: {name} said {type(error).__name__}: {error}") from error
        return self

    def always(self, *kinds: type[BaseException]) -> Self:
        """Assert that it was told one of these."""
        if self.answered:
            raise Violation(f"it was answered, where {kinds[0].__name__} was due")
        return self.only(*kinds)


@dataclass(slots=True, kw_only=True)
class Trial:
    """A client of `far`, by way of `proxy` unless `direct`, and of `near`.

    All that the client is asked is written down: `told` has the cells, `owed` how often each
    write may stand in the ledger of its database, `near_seconds` how long the neighbour's cells
    took meanwhile, `figures` what a fault measures for the report, in seconds.
    """

    world: World
    random: Random
    direct: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    owed: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    near_seconds: list[float] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    healed: float = 0.0
    client: Client = field(init=False)
    proxy: FaultProxy = field(init=False)
    _running: dict[asyncio.Task[Any], tuple[str, ...]] = field(default_factory=dict)
    _started: set[asyncio.Task[Any]] = field(default_factory=set)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _neighbour: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.proxy = await self._stack.enter_async_context(FaultProxy(self.world.far))
        self.client = await self._stack.enter_async_context(Client())
        port = self.world.far.port if self.direct else self.proxy.port
        far = settings_of("far", self.world.far)
        await self.client.add(replace(far, **{"port": port} | dict(self.settings)))
        await self.client.add(settings_of("near", self.world.near))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._neighbour is not None:  # the trial failed: what else it says is of no interest
            self._neighbour.cancel()
            await asyncio.wait({self._neighbour})
        await self._stack.aclose()

    async def add(self, name: str, **changes: Any) -> None:
        """Give the client one more name for the server of `far`, reached without the proxy."""
        await self.client.add(settings_of(name, self.world.far, **changes))

    # Cells

    async def read(
        self, *targets: str, rows: int = 20, lasting: float = 0.0, **options: Any
    ) -> Told:
        """Read what is known beforehand, and compare. It runs for so many seconds at least."""
        first = next(_numbers) * 1_000_000
        sql = (
            f"with pause as materialized (select pg_sleep({lasting:.6f})) "
            f"select {first} + i as n, md5(({first} + i)::text) as t "
            f"from pause, generate_series(1, {rows}) as i order by i"
        )
        told = await self.cell(sql, *targets, **options)
        numbers = range(first + 1, first + rows + 1)
        for name, error in {**dict.fromkeys(told.targets), **told.failures()}.items():
            if error is not None or "to" in options:
                continue
            frame = told.value
            if isinstance(told.error, FanOutError):
                frame = told.error.partial
            if len(told.targets) > 1:
                frame = frame[frame["database"] == name]
            texts = [hashlib.md5(str(number).encode()).hexdigest() for number in numbers]
            if frame["n"].tolist() != list(numbers) or frame["t"].tolist() != texts:
                raise Violation(f"I3: {name} gave {len(frame)} rows, not the {rows} it has")
        return told

    async def write(self, *targets: str, lasting: float = 0.0, **options: Any) -> Told:
        """Write once into the ledger, and note what may have become of it."""
        number = self.number()
        sql = f"insert into ledger select {number} from pg_sleep({lasting:.6f})"
        told = await self.cell(sql, *targets, write=True, **options)
        self.owe(told, number)
        return told

    def number(self) -> int:
        """Give a number for the ledger that no other write has."""
        return next(_numbers)

    def owe(self, told: Told, number: int) -> None:
        """Note, of a cell that writes a number once, how often it may stand in the ledger."""
        failures = told.failures()
        for name in told.targets:
            self.owed[name, number] = _may_stand(failures.get(name))

    async def cell(self, sql: str, *targets: str, **options: Any) -> Told:
        """Run a cell on these databases, on `far` without any."""
        names = targets or ("far",)
        return await self.note(self.client.query(sql, on=names, **options), names)

    async def note(self, work: Coroutine[Any, Any, Any], targets: Iterable[str]) -> Told:
        """Do some work of the client and write down what it came to."""
        started = time.monotonic()
        task = asyncio.ensure_future(work)
        self._running[task] = tuple(targets)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            if asyncio.current_task() not in self._started:
                raise
        finally:
            del self._running[task]
        error = self.error_of(task)
        told = Told(
            targets=tuple(targets),
            value=task.result() if error is None else None,
            error=error,
            seconds=time.monotonic() - started,
        )
        self.told.append(told)
        return told

    def error_of(self, task: asyncio.Task[Any]) -> BaseException | None:
        """Give what a cell failed with; no frames of a cancelled one, which keep things alive."""
        return asyncio.CancelledError() if task.cancelled() else task.exception()

    def interrupt(self) -> float:
        """Cancel all cells but the neighbour's, as the stop button does; give the time."""
        for task, targets in self._running.items():
            if targets != ("near",):
                task.cancel()
        return time.monotonic()

    def start(self, work: Coroutine[Any, Any, Told]) -> asyncio.Task[Told]:
        """Begin a cell and go on. The task can be cancelled, and then gives what came of it."""
        task = asyncio.create_task(work)
        self._started.add(task)
        return task

    # Time

    async def moment(self, longest: float) -> None:
        """Let a random time pass."""
        await asyncio.sleep(self.random.uniform(0.0, longest))

    def measured(self, what: str, seconds: float) -> None:
        """Keep a figure for the report."""
        self.figures.setdefault(what, []).append(seconds)

    async def until(self, condition: Callable[[], Any], *, within: float = 5.0) -> None:
        """Wait for a condition of this process."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                raise Violation(f"waited {within:g} s in vain")
            await asyncio.sleep(0.002)

    # The server's side

    async def backends(self, *, active: bool = False) -> list[int]:
        """Give the process ids of the client's connections to `far`."""
        async with self.world.far.connection() as connection:
            rows = await connection.fetch(
                "select pid from pg_stat_activity where application_name like 'pgmagic/%'"
                " and datname = $2 and (state = 'active' or not $1) and query ~ 'pause|ledger|big'",
                active,
                self.world.far.name,
            )
        return [row["pid"] for row in rows]

    async def until_active(self) -> int | None:
        """Wait until a cell runs on the server of `far`; give the process id of one.

        A short one may have ended before anybody could look: then it is None.
        """
        deadline = time.monotonic() + 5
        while not (found := await self.backends(active=True)):
            if all(targets == ("near",) for targets in self._running.values()):
                return None
            if time.monotonic() > deadline:
                raise Violation("no cell began to run")
        return found[0]

    async def execute(self, sql: str) -> None:
        """Run statements on `far` over a connection of our own."""
        async with self.world.far.connection() as connection:
            await connection.execute(sql)

    async def sql(self, sql: str, *values: Any) -> list[Any]:
        """Ask `far` something over a connection of our own."""
        async with self.world.far.connection() as connection:
            return await connection.fetch(sql, *values)

    # The neighbour, and the end

    async def warm_up(self) -> None:
        """Have connections open already, or not: faults find both."""
        if self.random.random() < 0.8:
            await asyncio.gather(*(self.read("far") for _ in range(self.random.randint(1, 3))))
        await self.read("near")

    def disturb(self) -> None:
        """Ask `near` now and then from here on, to see whether it suffers."""

        async def ask() -> None:
            while True:
                told = await self.read("near")
                if not told.answered:
                    raise Violation(f"I5: near said {told.error}")
                self.near_seconds.append(told.seconds)
                await asyncio.sleep(0.02)

        self._neighbour = asyncio.ensure_future(ask())

    async def stop_disturbing(self) -> None:
        """End that, between two of its questions' loops; raises what went wrong in it."""
        neighbour, self._neighbour = self._neighbour, None
        if neighbour is None:
            return
        before = len(self.near_seconds)
        with suppress(TimeoutError):  # one more answer, unless it ended already
            async with asyncio.timeout(5):
                while len(self.near_seconds) == before and not neighbour.done():
                    await asyncio.sleep(0.001)
        neighbour.cancel()
        await asyncio.wait({neighbour})
        if not neighbour.cancelled():
            neighbour.result()

    def heal(self) -> None:
        """End all that the proxy does; recovery counts from the first call of this or `again`."""
        self.proxy.blackhole = self.proxy.refuse = self.proxy.stall = False
        self.proxy.latency, self.proxy.rate, self.proxy.cut_after = 0.0, None, None
        self.healed = self.healed or time.monotonic()

    async def recover(self, *, within: float) -> float:
        """Ask `far` until it answers, as a patient user does; give the seconds since `heal`."""
        self.heal()
        while True:
            told = await self.read("far")
            elapsed = time.monotonic() - self.healed
            if told.answered:
                break
            if isinstance(told.error, CircuitOpen):
                with suppress(PgMagicError):
                    await self.client.retry("far")
            if elapsed > within + 1:
                break
        if elapsed > within:
            raise Violation(f"I6: far answered after {elapsed:.2f} s, not within {within:g} s")
        return elapsed


def settings_of(name: str, where: TestDatabase, /, **changes: Any) -> DatabaseSettings:
    """Say how to reach a database over TCP."""
    return DatabaseSettings(
        **{
            "name": name,
            "host": "127.0.0.1",
            "port": where.port,
            "user": where.user,
            "database": where.name,
            "password": lambda: where.password,
            "sslmode": "disable",
        }
        | changes
    )


def _may_stand(error: BaseException | None) -> set[int]:
    """How often a write may have been done, by what was said of it."""
    match error:
        case None:
            return {1}
        case ConnectionLost(sent=True) | QueryCancelled():
            return {0, 1}
        case asyncio.CancelledError() | KeyboardInterrupt():
            return {0, 1}
        case QueryTimeout(message=message) if "nothing was sent" not in message:
            return {0, 1}
        case _:
            return {0}
