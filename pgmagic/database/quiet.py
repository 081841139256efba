"""Keep one message of asyncpg off the notebook.

A connect that is cancelled in the middle of its TLS handshake leaves a future behind that nobody
can await; asyncio then prints a traceback about it. Every other message goes where it went before.
"""

import asyncio
from typing import Any

__all__ = ["keep_quiet"]

NEVER_RETRIEVED = "Future exception was never retrieved"
LOST_IN_HANDSHAKE = "unexpected connection_lost() call"


class _Quiet:
    """A loop's exception handler that knows the one message, and who was asked before it."""

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
    """Drop that one message on a loop from now on. May be called again."""
    handler = loop.get_exception_handler()
    if not isinstance(handler, _Quiet):
        loop.set_exception_handler(_Quiet(handler))


def _is_noise(context: dict[str, Any]) -> bool:
    error = context.get("exception")
    return (
        context.get("message") == NEVER_RETRIEVED
        and type(error) is ConnectionError
        and error.args == (LOST_IN_HANDSHAKE,)
    )
