"""Keep two messages of asyncpg off the notebook.

A connect that is cancelled in the middle of its TLS handshake leaves a future behind that nobody
can await, and so does a COPY that can't begin because the server's good-bye has just arrived;
asyncio then prints a traceback about it. Every other message goes where it went before.
"""

import asyncio
from typing import Any

import asyncpg

__all__ = ["keep_quiet"]

NEVER_RETRIEVED = "Future exception was never retrieved"
LOST_IN_HANDSHAKE = "unexpected connection_lost() call"
LOST_IN_OPERATION = "connection was closed in the middle of operation"


class _Quiet:
    """A loop's exception handler that knows these messages, and who was asked before it."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if _is_noise(context):
            return
        if self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)


def keep_quiet(loop: asyncio.AbstractEventLoop) -> None:
    """Drop those messages on a loop from now on. May be called again."""
    handler = loop.get_exception_handler()
    if not isinstance(handler, _Quiet):
        loop.set_exception_handler(_Quiet(handler))


def _is_noise(context: dict[str, Any]) -> bool:
    if context.get("message") != NEVER_RETRIEVED:
        return False
    error = context.get("exception")
    if type(error) is ConnectionError:
        return error.args == (LOST_IN_HANDSHAKE,)
    return type(error) is asyncpg.ConnectionDoesNotExistError and str(error).startswith(
        LOST_IN_OPERATION
    )
