"""Databases of one server share its places: who needs one gets an idle one's."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from pgmagic import Client
from pgmagic.database.endpoint import Address
from pgmagic.database.neighbours import same_server
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import ConnectFailed, FanOutError, NotCommitted
from pgmagic.sandbox.binaries import Binaries
from pgmagic.sandbox.server import Server
from tests.pools import eventually

PLACES = 6
NAMES = tuple(f"db_{number}" for number in range(10))


@pytest.fixture(scope="module")
def small(pg_binaries: Binaries, new_root: Callable[[], Path]) -> Iterator[Server]:
    """A server of ten databases that has places for six connections."""
    few = {"max_connections": str(PLACES), "fsync": "off"}
    with Server(new_root(), binaries=pg_binaries, settings=few) as server:
        asyncio.run(_create(server))
        yield server


async def _create(server: Server) -> None:
    connection = await asyncpg.connect(server.dsn())
    for name in NAMES:
        await connection.execute(f"create database {name}")
    await connection.close()


@pytest.fixture
async def pg(small: Server) -> AsyncIterator[Client]:
    async with Client() as client:
        for name in NAMES:
            await client.add(settings_on(small, name))
        yield client
    await until_empty(small)


def settings_on(server: Server, name: str, **changes: object) -> DatabaseSettings:
    where = {
        "name": name,
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "database": name,
        "password": lambda: server.password,
    }
    return DatabaseSettings(**where | changes)


async def others(server: Server, stack: AsyncExitStack, count: int) -> None:
    """Take places by connections that are none of pgmagic's."""
    for _ in range(count):
        connection = await asyncpg.connect(server.dsn())
        stack.push_async_callback(connection.close)


async def until_empty(server: Server) -> None:
    """Wait until every place is free for the next test."""
    async with AsyncExitStack() as stack:
        await others(server, stack, 1)
        connection = await asyncpg.connect(server.dsn())
        stack.push_async_callback(connection.close)
        async with asyncio.timeout(5):
            while await connection.fetchval(
                "select count(*) > 2 from pg_stat_activity where backend_type = 'client backend'"
            ):
                pass


def opened(client: Client) -> int:
    return sum(each.connections_num for each in client.statistics())


async def test_ten_databases_in_turn_on_six_places(pg: Client) -> None:
    for name in NAMES:
        frame = await pg.query("select current_database() as name", on=name)
        assert frame["name"].item() == name
    assert sum(each.size for each in pg.statistics()) == PLACES
    assert opened(pg) == len(NAMES), "one connection was closed for each that was needed"
    assert sum(each.connections_lost for each in pg.statistics()) == 0


async def test_a_fan_out_over_more_databases_than_places_answers(pg: Client) -> None:
    for _ in range(3):
        frame = await pg.query("select current_database() as name", on=NAMES)
        assert list(frame["name"]) == list(NAMES)
    assert {each.breaker for each in pg.statistics()} == {"closed"}


async def test_fan_outs_at_the_same_time_answer(pg: Client) -> None:
    sql = "select current_database() as name, pg_sleep(0.01)"
    for _ in range(5):
        frames = await asyncio.gather(*(pg.query(sql, on=NAMES) for _ in range(4)))
        assert all(list(frame["name"]) == list(NAMES) for frame in frames)


async def test_one_that_is_late_with_other_columns_is_refused(pg: Client) -> None:
    """The six that found a place have gone on; what comes after them is held against theirs."""
    await pg.query("select 1 as n", on=NAMES[:PLACES])
    sql = "select * from late"
    await pg.query("create table late as select 1 as n", on="db_0", write=True)
    for name in NAMES[1:]:
        await pg.query("create table late as select 'x' as x", on=name, write=True)
    try:
        with pytest.raises(FanOutError) as caught:
            await pg.query(sql, on=NAMES)
        assert {type(each.error).__name__ for each in caught.value.failures} == {"ColumnsDiffer"}
    finally:
        for name in NAMES:
            await pg.query("drop table late", on=name, write=True)


async def test_what_is_in_use_is_never_taken(pg: Client) -> None:
    await pg.query("create temp table mine as select 7 as n", on="db_0", session="s", write=True)
    busy = [
        asyncio.create_task(pg.query(f"select {n} as n, pg_sleep(0.5)", on=f"db_{n}"))
        for n in range(1, PLACES)
    ]
    await eventually(lambda: sum(each.in_use for each in pg.statistics()) == PLACES - 1)
    started = time.monotonic()
    assert len(await pg.query("select 1 as n", on=NAMES[PLACES:])) == len(NAMES) - PLACES
    assert time.monotonic() - started > 0.2, "it waited for one of them to end"
    assert [(await task)["n"].item() for task in busy] == list(range(1, PLACES))
    assert (await pg.query("select n from mine", on="db_0", session="s"))["n"].item() == 7


async def test_a_session_and_a_snapshot_take_the_place_of_an_idle_one(pg: Client) -> None:
    await pg.query("select 1", on=NAMES[:PLACES])
    assert len(await pg.query("select 1 as n", on="db_8", session="s")) == 1
    async with pg.snapshot("db_9"):
        assert len(await pg.query("select 1 as n", on="db_9")) == 1


async def test_others_hold_the_places(pg: Client, small: Server) -> None:
    async with AsyncExitStack() as stack:
        await others(small, stack, PLACES)
        started = time.monotonic()
        with pytest.raises(ConnectFailed, match="too many clients") as caught:
            await pg.query("select 1", on="db_0")
        assert caught.value.sqlstate == "53300"
        with pytest.raises(FanOutError) as both:
            await pg.query("select 1", on=NAMES)
        assert len(both.value.failures) == len(NAMES)
        assert time.monotonic() - started < 2, "nobody waits for what never comes"
    assert len(await both.value.retry_failed()) == len(NAMES)


async def test_a_limit_of_the_role_is_told_at_once(pg: Client) -> None:
    await pg.query(
        "create role shut_out login password 'x' connection limit 0", on="db_0", write=True
    )
    try:
        await pg.add(
            DatabaseSettings(
                name="shut_out",
                host=pg.databases["db_0"].host,
                port=pg.databases["db_0"].port,
                user="shut_out",
                database="db_9",
                password=lambda: "x",
            )
        )
        with pytest.raises(ConnectFailed, match="too many connections for role"):
            await pg.query("select 1", on="shut_out")
    finally:
        await pg.query("drop role shut_out", on="db_0", write=True)


async def test_a_write_on_more_databases_than_places_changes_nothing(pg: Client) -> None:
    started = time.monotonic()
    with pytest.raises(FanOutError) as caught:
        await pg.query("create table nowhere ()", on=NAMES, write=True)
    assert time.monotonic() - started < 5, "all are needed at once, so nobody waits"
    kinds = {type(each.error) for each in caught.value.failures}
    assert kinds == {ConnectFailed, NotCommitted}
    frame = await pg.query("select to_regclass('nowhere')::text as t", on=NAMES)
    assert frame["t"].isna().all()


async def test_a_cell_that_waits_for_a_place_can_be_cancelled(pg: Client) -> None:
    busy = [
        asyncio.create_task(pg.query("select pg_sleep(30)", on=name)) for name in NAMES[:PLACES]
    ]
    await eventually(lambda: sum(each.in_use for each in pg.statistics()) == PLACES)
    waiting = asyncio.create_task(pg.query("select 1", on="db_9"))
    await eventually(lambda: pg._neighbours._waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not pg._neighbours._waiting
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)
    assert len(await pg.query("select 1 as n", on=NAMES)) == len(NAMES)


async def test_who_waits_too_long_is_told_why(pg: Client, small: Server) -> None:
    await pg.add(settings_on(small, "db_9", acquire_timeout=0.2))
    busy = [
        asyncio.create_task(pg.query("select pg_sleep(30)", on=name)) for name in NAMES[:PLACES]
    ]
    await eventually(lambda: sum(each.in_use for each in pg.statistics()) == PLACES)
    with pytest.raises(ConnectFailed, match="too many clients"):
        await pg.query("select 1", on="db_9")
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)


async def test_a_pool_that_is_closed_keeps_nobody_waiting(pg: Client) -> None:
    busy = [
        asyncio.create_task(pg.query("select pg_sleep(30)", on=name)) for name in NAMES[:PLACES]
    ]
    await eventually(lambda: sum(each.in_use for each in pg.statistics()) == PLACES)
    waiting = asyncio.create_task(pg.query("select 1 as n", on="db_9"))
    await eventually(lambda: pg._neighbours._waiting)
    await pg.close("db_0")
    assert len(await waiting) == 1
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)


async def test_another_server_keeps_its_connections(pg: Client, database) -> None:
    await pg.add(
        DatabaseSettings(
            name="elsewhere",
            host=database.host,
            port=database.port,
            user=database.user,
            database=database.name,
            password=lambda: database.password,
        )
    )
    await pg.query("select 1", on="elsewhere")
    await pg.query("select 1", on=NAMES)
    [there] = [each for each in pg.statistics() if each.database == "elsewhere"]
    assert there.idle == there.connections_num == 1
    await pg.remove("elsewhere")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("db", 5432), ("DB", 5432), True),
        (("db", 5432), ("db", 5433), False),
        (("db", 5432), ("other", 5432), False),
        (("localhost", 5432), ("127.0.0.1", 5432), True),
        (("localhost", 5432), ("/run", 5432), True),
        (("/run", 5432), ("/tmp", 5432), False),
    ],
)
def test_addresses_of_one_server(one, other, same) -> None:
    assert same_server(Address(*one), Address(*other)) is same
