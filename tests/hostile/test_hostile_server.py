"""Whatever a server says, it ends in one error of ours: no crash, no hang, no flood of memory."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Any

import psutil
import pytest

from pgmagic.errors import PgMagicError
from tests.hostile import wire
from tests.hostile.lies import ENDLESS, LIES
from tests.hostile.scripted import HONEST, TIMEOUT, Script, ScriptedServer

LIMIT = 2.0 + 4 * TIMEOUT  # seconds: those that the settings allow, and those to give up
FLOOD = 150 << 20  # bytes: an endless answer may fill buffers, and the budget of a cell
AT_ONCE = 25  # conversations

# bool, bytea, "char", name, int8, int2, int4, text, oid, json, float4, float8, bpchar, varchar,
# date, time, timestamp, timestamptz, interval, timetz, numeric, uuid, jsonb, int4[], text[]
TYPES = (16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043)
TYPES += (1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 3802, 1007, 1009)

# What is odd but no lie: the rows are as they were described.
HARMLESS = {
    "has an encoding of seven bits",
    "describes fewer columns than there are",
    "describes a negative number of columns",
    "describes a parameter that was not written",
    "ends what was not begun",
    "begins with a tag without an end",
    "tells a position that is none",
    "tells a position in no time",
}


@pytest.fixture(autouse=True)
def stray() -> Any:
    """Collect what nobody awaited, which a notebook would print."""
    told: list[str] = []

    async def listen() -> Callable[[], list[str]]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context)))
        return lambda: told

    return listen


async def outcome(script: Script, sql: str = "select 1 as one", *, cut: int | None = None) -> Any:
    """Ask a server that lies; give the frame or the error. Fails where that takes too long."""
    async with ScriptedServer(script, cut=cut) as server:
        started = time.monotonic()
        try:
            got = await asyncio.wait_for(server.ask(sql), timeout=10)
        except PgMagicError as error:
            got = error
        assert time.monotonic() - started < LIMIT
        assert "canary" not in str(got)
        return got


async def all_outcomes(scripts: list[Script], *, cuts: list[int | None] | None = None) -> list[Any]:
    """Ask many such servers, some of them at the same time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(script: Script, cut: int | None) -> Any:
        async with turns:
            return await outcome(script, cut=cut)

    cuts = cuts or [None] * len(scripts)
    return await asyncio.gather(*map(one, scripts, cuts))


async def test_the_honest_server_is_believed():
    assert (await outcome({})).values.tolist() == [[1]]


async def test_each_lie_is_one_error(stray):
    told = await stray()
    got = await all_outcomes(list(LIES.values()))
    answers = dict(zip(LIES, got, strict=True))
    believed = {name for name, answer in answers.items() if not isinstance(answer, PgMagicError)}
    assert believed <= HARMLESS
    assert told() == []


async def test_a_server_that_closes_at_any_byte_gives_one_error_or_all_rows(stray):
    told = await stray()
    async with ScriptedServer({}) as server:
        await server.ask()
        length = server.sent
    cuts: list[int | None] = list(range(length))
    got = await all_outcomes([{}] * length, cuts=cuts)
    errors = [each for each in got if isinstance(each, PgMagicError)]
    frames = [each for each in got if not isinstance(each, PgMagicError)]
    assert len(errors) > length // 2
    assert all(frame.values.tolist() == [[1]] for frame in frames)
    assert told() == []


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_has_no_end_is_ended_in_time_and_in_little_memory(name, stray):
    told = await stray()
    before = psutil.Process().memory_info().rss
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, psutil.Process().memory_info().rss - before)
            await asyncio.sleep(0.02)

    watching = asyncio.ensure_future(watch())
    try:
        assert isinstance(await outcome(ENDLESS[name]), PgMagicError)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    assert most < FLOOD, f"{most / 2**20:.0f} MB"
    assert told() == []


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
async def test_a_value_of_any_type_that_is_none_gives_one_error_or_a_value(byte):
    scripts = []
    for oid, size in product(TYPES, (0, 1, 4, 8, 12, 16)):
        described = wire.PARSE_COMPLETE + wire.parameter_description()
        row = wire.copy_data(wire.copy_row(byte * size))
        copy = HONEST["copy"].split(wire.copy_data(wire.copy_row(b"\0\0\0\1")))
        assert len(copy) == 2
        scripts.append(
            {
                "describe": described + wire.row_description(("one", oid)),
                "copy": row.join(copy),
            }
        )
    for answer in await all_outcomes(scripts):
        assert isinstance(answer, PgMagicError) or len(answer) == 1
