"""The queries that run now: listed, and cancelled one by one."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pgmagic.database.statistics import QueryStatistics
from pgmagic.errors import QueryCancelled

__all__ = ["RunningQueries", "RunningQuery"]

WIDTH = 120  # characters of a query that are kept to show


class RunningQuery:
    """One query that runs now, in the task that registered it.

    `since` is of the monotonic clock. `first_line` is for display.
    """

    def __init__(self, number: int, *, database: str, sql: str, cell: str | None, since: float):
        self.id = number
        self.database = database
        self.first_line = _first_line(sql)
        self.cell = cell
        self.since = since
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None, "queries run in tasks"
        self.task = task
        self._cancels_before = task.cancelling()
        self._ended = False
        self._cancelled = False

    def cancel(self) -> None:
        """Stop the query on its server; it ends with QueryCancelled. May be called anywhere."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._ended and not self._cancelled:
            self._cancelled = True
            self.task.cancel()

    def _was_meant(self) -> bool:
        """Whether a cancellation that arrived is ours alone: one from outside goes on."""
        return self._cancelled and self.task.uncancel() <= self._cancels_before


class RunningQueries:
    """All queries of one database that run now."""

    def __init__(self, database: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._numbers = itertools.count(1)
        self._queries: dict[int, RunningQuery] = {}

    def __iter__(self) -> Iterator[RunningQuery]:
        return iter(tuple(self._queries.values()))

    @contextmanager
    def register(self, sql: str, cell: str | None = None) -> Iterator[RunningQuery]:
        """List a query while the block runs. Raises QueryCancelled where somebody cancels it."""
        query = RunningQuery(
            next(self._numbers),
            database=self._database,
            sql=sql,
            cell=cell,
            since=self._clock(),
        )
        self._queries[query.id] = query
        try:
            yield query
        except asyncio.CancelledError:
            if not query._was_meant():
                raise
            raise QueryCancelled("the query was cancelled", database=self._database) from None
        finally:
            query._ended = True
            del self._queries[query.id]

    def cancel(self, number: int) -> bool:
        """Cancel a query by its id; False where it has ended already. May be called anywhere."""
        query = self._queries.get(number)
        if query is not None:
            query.cancel()
        return query is not None

    def of_task(self, task: "asyncio.Task[object] | None") -> RunningQuery | None:
        """Find what a task runs; the innermost where there are several."""
        found = [query for query in self if query.task is task]
        return found[-1] if found else None

    def statistics(self) -> tuple[QueryStatistics, ...]:
        now = self._clock()
        return tuple(
            QueryStatistics(
                id=query.id,
                first_line=query.first_line,
                cell=query.cell,
                since=query.since,
                elapsed=now - query.since,
            )
            for query in self
        )


def _first_line(sql: str) -> str:
    lines = (line.strip() for line in sql.splitlines())
    line = next((line for line in lines if line and not line.startswith("--")), "")
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
