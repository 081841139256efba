"""Open one connection to an endpoint: its addresses in turn, TLS as libpq would."""

import asyncio
from typing import Any

import asyncpg

from pgmagic.database.endpoint import Attempt, Endpoint, goes_on
from pgmagic.database.guarding import GuardedLoop
from pgmagic.database.passwords import PasswordWanted
from pgmagic.secret import bare

__all__ = ["connect", "refuses_password"]


async def connect(endpoint: Endpoint, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect to the first address that will do. `options` go to `asyncpg.connect`.

    Each attempt has `endpoint.connect_timeout` seconds. Raises PasswordWanted where no password
    was found, the server wants one, and the endpoint knows how to ask for it; else what the last
    attempt raised: asyncpg's own errors, OSError, TimeoutError.
    """
    failed: tuple[Attempt, Exception] | None = None
    for attempt in endpoint.attempts():
        if failed is not None and not goes_on(*failed, attempt):
            continue
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await _open(endpoint, attempt, options)
            return connection
        except PasswordWanted:
            raise
        except Exception as error:
            failed = attempt, error
        except BaseException as stopped:
            # A cancellation stands, with its frames, behind whatever is made of it.
            raise bare(stopped) from None
    assert failed is not None, "an endpoint has at least one address"
    raise failed[1]


async def _open(endpoint: Endpoint, attempt: Attempt, options: dict[str, Any]) -> Any:
    arguments = {**options, **attempt.arguments, "timeout": endpoint.connect_timeout}
    arguments["loop"] = GuardedLoop(asyncio.get_running_loop())
    if endpoint.prompt is None:
        return await asyncpg.connect(**arguments)
    given = endpoint.prompt.remembered
    try:
        return await asyncpg.connect(**arguments)
    except asyncpg.PostgresError as error:
        if not refuses_password(error):
            raise
        if given is None:
            raise PasswordWanted(endpoint.prompt) from None
        endpoint.prompt.forget(given)
        raise


def refuses_password(error: BaseException) -> bool:
    """Say whether a password was wrong, or missing."""
    # PgBouncer says so with the code of another mistake, and in English always.
    by_pooler = isinstance(error, asyncpg.ProtocolViolationError)
    return isinstance(error, asyncpg.InvalidPasswordError) or (
        by_pooler and "authentication failed" in str(error)
    )
