"""The databases of a process that reads parts, on an event loop in a thread of its own.

Whoever plans a frame knows its databases; a worker looks them up by name, in its own pgmagic.toml
and environment, so nothing about how to reach one ever leaves a process.
"""

import asyncio
import atexit
import os
import platform
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pgmagic.columns import Budget, FrameOptions
from pgmagic.dask.partition import Partition, Source
from pgmagic.dask.places import Places
from pgmagic.database.configuration import load
from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from pgmagic.dispatch import dispatch
from pgmagic.errors import QueryCancelled, UnknownDatabase
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import Plan, Step, Transaction
from pgmagic.language.statement import Statement
from pgmagic.outcome import Failure, Result
from pgmagic.pools import Pools
from pgmagic.watch import Watch

if TYPE_CHECKING:
    from pgmagic.sandbox import Sandbox

__all__ = ["Home", "Task", "close", "home"]

T = TypeVar("T")

LOOK = 0.2  # seconds between two looks whether a task is still wanted
CLOSE_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Task:
    """Who asks for a part: a task of a Dask worker, or (None) of a scheduler in this process."""

    worker: Any = None
    key: Any = None

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        if self.worker is None:
            return False
        state = self.worker.state.tasks.get(self.key)
        return state is None or state.state == "cancelled"


class Home:
    """Pools by name, and the loop that they live on."""

    def __init__(self) -> None:
        self.pools = Pools(load())
        self._places: dict[tuple[object, ...], Places] = {}
        self._sandbox: Sandbox | None = None
        self._sandbox_starts = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pgmagic databases", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], task: Task | None = None) -> T:
        """Run a coroutine on the loop; cancel it where this thread is interrupted.

        Raises QueryCancelled where the task is not wanted any more.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while not wait([future], timeout=None if task is None else LOOK).done:
                if task is not None and task.is_cancelled:
                    raise QueryCancelled("nobody waits for this part any more")
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def learn(self, databases: Mapping[str, DatabaseSettings]) -> None:
        """Take databases as this process knows them: what a notebook added is in no file."""
        self.run(self._learn(databases))

    def read(
        self, partition: Partition, source: Source, statement: Statement, task: Task
    ) -> Result:
        """Read the rows of one part. Raises the database's own error."""
        return self.run(self._read(partition, source, statement, task), task)

    def close(self) -> None:
        """Close every connection, and end the thread."""
        try:
            asyncio.run_coroutine_threadsafe(self.pools.close(), self._loop).result(CLOSE_TIMEOUT)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_TIMEOUT)
            if not self._thread.is_alive():
                self._loop.close()
            if self._sandbox is not None:
                self._sandbox.stop()

    async def _learn(self, databases: Mapping[str, DatabaseSettings]) -> None:
        for name, settings in databases.items():
            if self.pools.databases.get(name) != settings:
                await self.pools.add(settings)

    async def _read(
        self, partition: Partition, source: Source, statement: Statement, task: Task
    ) -> Result:
        pool = await self._pool(partition.database, source)
        plan = Plan(
            cell=Cell(
                sql=statement.cell,
                targets=(partition.database,),
                options=Options(timeout=source.timeout),
            ),
            statements=(statement,),
            steps=(Step(database=partition.database, read_only=True),),
            transaction=Transaction.EACH,
        )
        options = {partition.database: FrameOptions()}
        async with self._places_of(pool, source, task).place():
            try:
                [outcome] = await dispatch(
                    plan,
                    lambda _: pool,
                    options,
                    Watch(),
                    Budget(),
                    borrowed=source.snapshots.get(partition.database),
                )
            finally:
                await pool.settle()  # a place is a connection: the next part gets this one
        if isinstance(outcome, Failure):
            raise outcome.error
        [result] = outcome.results
        return result

    def _places_of(self, pool: DatabasePool, source: Source, task: Task) -> Places:
        """Give the places of a database for this task's cluster."""
        most = source.most or pool.settings.max_size
        cluster = task.worker.scheduler.address if task.worker else None
        key = (pool, most, cluster)
        if key not in self._places:
            leases = None
            if task.worker is not None:
                from pgmagic.dask.leases import Leases

                leases = Leases(pool.name, most, task.worker)
            self._places[key] = Places(min(most, pool.settings.max_size), leases, pool.close_idle)
        return self._places[key]

    async def _pool(self, name: str, source: Source) -> DatabasePool:
        """Give the pool of a database. Raises UnknownDatabase where this process knows none."""
        databases = self.pools.databases
        if name not in databases:  # the file may have been written since
            for other, settings in load().databases.items():
                databases.setdefault(other, settings)
        if name not in databases and name in source.sandbox:
            await self._join_sandbox()
        if name in databases:
            return self.pools.pool(name)
        error = UnknownDatabase(
            f"the worker on {platform.node()} knows no database {name}",
            hint="workers look databases up by themselves: put it into the pgmagic.toml of the "
            "folder they start in, or into the file that PGMAGIC_CONFIG names in their "
            "environment. What %pg_connect added is known to the notebook alone",
        )
        error.database = name
        raise error

    async def _join_sandbox(self) -> None:
        """Use the sandbox's servers of this machine, which the notebook has started."""
        from pgmagic import sandbox

        async with self._sandbox_starts:
            if self._sandbox is None:
                self._sandbox = await asyncio.to_thread(sandbox.start)
            for name, address in self._sandbox.databases.items():
                settings = DatabaseSettings(
                    name=name,
                    host=address.host,
                    port=address.port,
                    user=address.user,
                    database=address.database,
                    password=partial(getattr, address, "password"),
                )
                self.pools.databases.setdefault(name, settings)


_home: tuple[int, Home] | None = None
_making = threading.Lock()


def home() -> Home:
    """Give the home of this process."""
    global _home
    with _making:
        if _home is None or _home[0] != os.getpid():  # a thread does not survive a fork
            _home = os.getpid(), Home()
        return _home[1]


def close() -> None:
    """Close the connections with which this process read parts, where it did."""
    global _home
    with _making:
        if _home is not None and _home[0] == os.getpid():
            _home[1].close()
        _home = None


atexit.register(close)
