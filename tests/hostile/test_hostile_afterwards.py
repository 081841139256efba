"""Whatever follows a cell's rows, they are right, and so are those of the next cell."""

import asyncio
from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

import asyncpg
import pytest

from pgmagic.columns.copying import run_copy
from pgmagic.database.fault import Fault, fault_of
from pgmagic.database.quiet import keep_quiet
from pgmagic.errors import PgMagicError
from tests.hostile import wire
from tests.hostile.lies import AFTER_COPY, AFTER_COPY_ENDLESS, RESET, RESET_ENDLESS, in_turn
from tests.hostile.outcomes import answer, at_once, in_little_memory
from tests.hostile.scripted import HONEST, TIMEOUT, Answer, ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_stray")

SOON: dict[str, Any] = {"command_timeout": TIMEOUT / 2}


async def two_cells(point: str, lie: Answer, *, first_only: bool) -> list[Any]:
    """Ask for 1 and for 2 on one pool of a server that lies, the first time or always."""
    said = in_turn(lie, HONEST[point]) if first_only else lie
    async with ScriptedServer({point: said}) as server:
        async with server.client(**SOON) as client:
            got = [await answer(client, f"select {number} as one") for number in (1, 2)]
        await server.until_deserted()
    return got


async def all_answers(point: str, lies: Mapping[str, Answer]) -> dict[tuple[str, bool], list[Any]]:
    """Give the answers of both cells, by the lie and whether it was told once only."""
    keys = list(product(lies, (True, False)))
    got = await at_once(
        partial(two_cells, point, lies[name], first_only=first_only) for name, first_only in keys
    )
    return dict(zip(keys, got, strict=True))


async def test_what_follows_a_copy_gives_its_rows_or_one_error():
    for (name, first_only), (first, second) in (await all_answers("done", AFTER_COPY)).items():
        assert first == [[1]] or isinstance(first, PgMagicError), name
        assert second == [[2]] or (isinstance(second, PgMagicError) and not first_only), name


async def test_what_follows_a_cell_changes_no_rows():
    for (name, _), answers in (await all_answers("reset", RESET)).items():
        assert answers == [[[1]], [[2]]], name


async def test_what_has_no_end_gives_rows_or_one_error():
    lies = [("done", lie) for lie in AFTER_COPY_ENDLESS.values()]
    lies += [("reset", lie) for lie in RESET_ENDLESS.values()]
    async with in_little_memory():
        got = await at_once(partial(two_cells, *lie, first_only=False) for lie in lies)
    for first, second in got:
        assert first == [[1]] or isinstance(first, PgMagicError)
        assert second == [[2]] or isinstance(second, PgMagicError)


async def write(lie: Answer) -> tuple[Any, int]:
    """Give the answer to a cell that writes, and how often the server was told to."""
    async with ScriptedServer({"done": lie}) as server, server.client(**SOON) as client:
        got = await answer(client, "insert into t select 1 as one returning one", write=True)
        return got, server.heard.count(b"COPY (insert")


async def test_nothing_is_written_twice_whatever_follows():
    answers = await at_once(partial(write, lie) for lie in AFTER_COPY.values())
    for name, (got, times) in zip(AFTER_COPY, answers, strict=True):
        assert got == [[1]] or isinstance(got, PgMagicError), name
        assert times == 1, name


@pytest.mark.parametrize("lie", ["an end, and an error", "an end, and rows", "an end, and a copy"])
async def test_a_change_that_could_not_be_sent_is_sent_on_another_connection(lie):
    async with ScriptedServer({"reset": in_turn(RESET[lie], HONEST["reset"])}) as server:
        async with server.client(**SOON) as client:
            assert await answer(client) == [[1]]
            sql = "insert into t select 2 as one returning one"
            assert await answer(client, sql, write=True) == [[2]]
        assert server.heard.count(b"COPY (insert") == 1


async def copy(connection: "asyncpg.Connection[Any]", sql: str) -> None:
    """Copy rows, which do not come."""

    async def take(_: bytes) -> None:
        pass

    await run_copy(connection, sql, take)


@pytest.mark.parametrize("begin", [asyncpg.Connection.execute, asyncpg.Connection.prepare, copy])
async def test_the_driver_says_that_it_cannot_begin_in_the_words_that_are_known(begin):
    keep_quiet(asyncio.get_running_loop())
    late = {"command": wire.command_complete("BEGIN") + wire.ready(b"T") + wire.error("no")}
    async with ScriptedServer(late) as server:
        place = {"host": "127.0.0.1", "port": server.port, "user": "u", "database": "d"}
        connection = await asyncpg.connect(**place, ssl=False)
        await connection.execute("begin")
        with pytest.raises(asyncpg.InternalClientError) as caught:
            await begin(connection, "select")
        connection.terminate()
    assert fault_of(caught.value) is Fault.UNSENT


@pytest.mark.parametrize("name", [name for name in RESET_ENDLESS if name.startswith("an end")])
async def test_a_connection_is_left_that_speaks_while_nobody_asks(name):
    async with ScriptedServer({"reset": RESET_ENDLESS[name]}) as server, server.client() as client:
        assert await answer(client) == [[1]]
        await server.until_deserted()
