"""Open one connection to an endpoint: its addresses in turn, TLS as libpq would."""

from typing import Any

import asyncpg

from pgmagic.database.endpoint import Attempt, Endpoint, goes_on

__all__ = ["connect"]


async def connect(endpoint: Endpoint, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect to the first address that will do. `options` go to `asyncpg.connect`.

    Each attempt has `endpoint.connect_timeout` seconds. Where no password was found and the
    server wants one, the user is asked, provided the endpoint knows how. Raises what the last
    attempt raised: asyncpg's own errors, OSError, TimeoutError.
    """
    failed: tuple[Attempt, Exception] | None = None
    for attempt in endpoint.attempts():
        if failed is not None and not goes_on(*failed, attempt):
            continue
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await _open(endpoint, attempt, options)
            return connection
        except Exception as error:
            failed = attempt, error
    assert failed is not None, "an endpoint has at least one address"
    raise failed[1]


async def _open(endpoint: Endpoint, attempt: Attempt, options: dict[str, Any]) -> Any:
    arguments = {**options, **attempt.arguments, "timeout": endpoint.connect_timeout}
    if endpoint.prompt is None:
        return await asyncpg.connect(**arguments)
    while True:
        given = endpoint.prompt.remembered
        try:
            return await asyncpg.connect(**arguments)
        except asyncpg.InvalidPasswordError:
            if given is not None:
                endpoint.prompt.forget(given)
                raise
            await endpoint.prompt.ask()
