"""Ask servers that lie, some at the same time; fail where that takes too long or too much."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import psutil

from pgmagic.client import Client
from pgmagic.errors import PgMagicError
from tests.hostile.scripted import CANARY, TIMEOUT, Script, ScriptedServer

__all__ = ["LIMIT", "answer", "at_once", "in_little_memory", "outcome", "outcome_at"]

T = TypeVar("T")

# Seconds: those that the settings allow, those to give up, and some for whoever else is at work.
LIMIT = 2.0 + 4 * TIMEOUT + 2.0
FLOOD = 150 << 20  # bytes: an endless answer may fill buffers, and the budget of a cell
AT_ONCE = 32  # conversations


async def answer(client: Client, sql: str = "select 1 as one", **options: Any) -> Any:
    """Give the rows of a cell, None where it has none, or its one error."""
    started = time.monotonic()
    try:
        frame = await asyncio.wait_for(client.query(sql, on="h", **options), timeout=10)
        got: Any = None if frame is None else frame.values.tolist()
    except PgMagicError as error:
        got = error
    assert CANARY not in str(got)
    assert time.monotonic() - started < LIMIT
    return got


async def outcome(script: Script, *, cut: int | None = None) -> Any:
    """Ask a server that lies; give the rows or the error, once nothing is left of it."""
    async with ScriptedServer(script, cut=cut) as server:
        return await outcome_at(server)


async def outcome_at(server: ScriptedServer, **settings: Any) -> Any:
    """Ask such a server, with these settings."""
    async with server.client(**settings) as client:
        got = await answer(client)
    await server.until_deserted()
    return got


async def at_once(jobs: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Do many such things, some of them at the same time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(job: Callable[[], Awaitable[T]]) -> T:
        async with turns:
            return await job()

    return await asyncio.gather(*map(one, jobs))


@asynccontextmanager
async def in_little_memory() -> AsyncIterator[None]:
    """Fail where the block takes much memory at any time."""
    process = psutil.Process()
    before, most = process.memory_info().rss, 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss - before)
            await asyncio.sleep(0.02)

    watching = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    assert most < FLOOD, f"{most / 2**20:.0f} MB"
