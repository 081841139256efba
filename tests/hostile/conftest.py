"""What holds in the whole tier."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest_asyncio


@pytest_asyncio.fixture
async def nothing_stray() -> AsyncIterator[None]:
    """Fail where something is left to the loop, which a notebook would print, or a task is left."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context)))
    gc.freeze()  # what was there before needs no looking through
    try:
        yield
        assert asyncio.all_tasks() == {asyncio.current_task()}
        gc.collect()  # what nobody awaited is told when it is forgotten
        assert told == []
    finally:
        gc.unfreeze()
