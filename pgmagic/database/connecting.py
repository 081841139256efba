"""Open one connection to an endpoint: its addresses in turn, TLS as libpq would."""

import asyncio
from typing import Any

import asyncpg

from pgmagic.database.endpoint import Attempt, Endpoint, goes_on

__all__ = ["connect"]


async def connect(endpoint: Endpoint, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect to the first address that will do. `options` go to `asyncpg.connect`.

    Each attempt has `endpoint.connect_timeout` seconds. Raises what the last attempt raised:
    asyncpg's own errors, OSError, TimeoutError.
    """
    failed: tuple[Attempt, Exception] | None = None
    for attempt in endpoint.attempts():
        if failed is not None and not goes_on(*failed, attempt):
            continue
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                return await asyncpg.connect(**attempt.arguments, **options, timeout=None)
        except Exception as error:
            failed = attempt, error
    assert failed is not None, "an endpoint has at least one address"
    raise failed[1]
