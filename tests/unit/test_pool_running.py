"""Queries that are listed, and cancelled."""

import asyncio
import threading

import pytest

from pgmagic.database.running import RunningQueries
from pgmagic.errors import QueryCancelled


async def wait_for_ever(queries: RunningQueries, sql: str = "select 1") -> None:
    with queries.register(sql):
        await asyncio.Event().wait()


async def started(queries: RunningQueries) -> "asyncio.Task[None]":
    task = asyncio.create_task(wait_for_ever(queries))
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("select 1", "select 1"),
        ("\n  -- about\n\n  select 1,\n 2", "select 1,"),
        ("", ""),
        ("-- only", ""),
        ("x" * 500, "x" * 119 + "…"),
    ],
)
async def test_first_line_is_what_a_person_would_read(sql: str, line: str) -> None:
    queries = RunningQueries("sales")
    with queries.register(sql):
        assert [query.first_line for query in queries.statistics()] == [line]
    assert queries.statistics() == ()


async def test_cancel_from_another_thread() -> None:
    queries = RunningQueries("sales")
    task = await started(queries)
    (query,) = queries
    threading.Thread(target=query.cancel).start()
    with pytest.raises(QueryCancelled):
        await task
    assert task.cancelling() == 0


async def test_only_the_one_is_cancelled() -> None:
    queries = RunningQueries("sales")
    first, second = await started(queries), await started(queries)
    assert queries.cancel(1)
    with pytest.raises(QueryCancelled):
        await first
    assert not second.done()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_cancelled_from_outside_as_well() -> None:
    queries = RunningQueries("sales")
    task = await started(queries)
    queries.cancel(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_that_comes_late_hits_nobody() -> None:
    queries = RunningQueries("sales")
    with queries.register("select 1") as query:
        pass
    query.cancel()
    assert not queries.cancel(query.id)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_inside_a_timeout() -> None:
    queries = RunningQueries("sales")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wait_for_ever(queries)
