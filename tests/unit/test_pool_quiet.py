"""Two messages are kept off the notebook, and no other."""

import asyncio
from typing import Any

import asyncpg
import pytest

from pgmagic.database.quiet import keep_quiet

NOISE = {
    "message": "Future exception was never retrieved",
    "exception": ConnectionError("unexpected connection_lost() call"),
}


LOST = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation: bye")


@pytest.mark.parametrize("context", [NOISE, NOISE | {"exception": LOST}])
async def test_these_messages_are_dropped(context: dict[str, Any]) -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: heard.append(context))
    keep_quiet(loop)
    keep_quiet(loop)
    loop.call_exception_handler(context)
    assert heard == []


@pytest.mark.parametrize(
    "context",
    [
        {"message": "Task exception was never retrieved", "exception": NOISE["exception"]},
        {"message": "Task exception was never retrieved", "exception": LOST},
        {"message": NOISE["message"], "exception": ConnectionResetError()},
        {"message": NOISE["message"], "exception": asyncpg.ConnectionDoesNotExistError("gone")},
        {"message": NOISE["message"], "exception": ConnectionError("something else")},
        {"message": "no exception at all"},
    ],
)
async def test_every_other_one_goes_where_it_went(context: dict[str, Any]) -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: heard.append(context))
    keep_quiet(loop)
    loop.call_exception_handler(context)
    assert heard == [context]


async def test_without_a_handler_before(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    keep_quiet(loop)
    loop.call_exception_handler(NOISE)
    loop.call_exception_handler({"message": "something went wrong"})
    assert [record.getMessage() for record in caplog.records] == ["something went wrong"]
