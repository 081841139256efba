"""A cell is sent again only where that can't do anything twice."""

import asyncio
from dataclasses import replace

import pytest

from pgmagic import execution
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import CircuitOpen, ConnectFailed, ConnectionLost, FanOutError, Unavailable
from pgmagic.language.line import Cell
from pgmagic.watch import Watch
from tests.server.conftest import settings_of

INSERT = "insert into t values (1)"


async def through(client, proxy, database, **settings):
    """Add `far`: the database behind the proxy."""
    far = settings_of("far", database, **settings)
    await client.add(replace(far, host="127.0.0.1", port=proxy.port, sslmode="disable"))


@pytest.fixture
async def counted(database):
    async with database.connection() as connection:
        await connection.execute("create table t (n int)")

        async def count():
            return await connection.fetchval("select count(*) from t")

        yield count


async def test_an_insert_is_never_sent_twice(client, database, fault_proxy, counted):
    """Cut the connection after every number of bytes that the server can have answered."""
    proxy = await fault_proxy(database)
    await through(client, proxy, database, max_size=1)
    await client.query("select 1", on="far")
    before = await counted()
    lost, pool = 0, client.pool("far")
    for cut in range(1, 90):
        while not pool.statistics().idle:  # the reset after the last one is through
            await asyncio.sleep(0.001)
        proxy.cut_after = cut
        try:
            await client.query(INSERT, on="far", write=True)
            done = True
        except Unavailable:
            done, lost = False, lost + 1
        proxy.cut_after = None
        after = await counted()
        assert after - before in ((1,) if done else (0, 1)), f"cut after {cut} bytes"
        before = after
        await pool.retry_now()
    assert lost > 4  # the others broke before the INSERT was sent, and it was sent then


async def test_a_read_is_sent_again(client, database, fault_proxy):
    proxy = await fault_proxy(database)
    await through(client, proxy, database)
    await client.query("select 1 as n", on="far")
    for cut in (1, 50, 120, 200):
        proxy.cut_after = cut
        assert (await client.query("select 1 as n", on="far"))["n"].item() == 1
        proxy.cut_after = None


async def test_a_session_that_could_not_begin_is_tried_again(client, database, fault_proxy):
    proxy = await fault_proxy(database)
    await through(client, proxy, database)
    proxy.cut_after = 1  # in the answer to the first bytes of a connection
    connections, connect = 0, client.pool("far").sessions._connect

    async def connect_and_mend():
        nonlocal connections
        connections += 1
        if connections == 2:
            proxy.cut_after = None
        return await connect()

    client.pool("far").sessions._connect = connect_and_mend
    assert (await client.query("select 1 as n", on="far", session="s"))["n"].item() == 1
    assert connections == 2


async def test_rows_that_come_again_are_counted_once(client, database, fault_proxy):
    proxy = await fault_proxy(database)
    await through(client, proxy, database)
    sql = "select repeat('x', 1000) as x from generate_series(1, 2000)"
    await client.query("select 1", on="far")
    proxy.cut_after = 1_000_000  # in the midst of the rows
    watch = Watch()
    answers = await client.run(client.plan(Cell(sql=sql, targets=("far",)), {}), watch)
    assert len(answers.value) == 2000
    assert proxy.accepted > 1
    assert watch.progress["far"].rows == 2000


async def test_statements_before_the_one_that_was_not_sent_are_not_repeated(
    client, database, counted
):
    sql = f"{INSERT}; select pg_terminate_backend(pg_backend_pid()); {INSERT}"
    with pytest.raises(ConnectionLost):
        await client.query(sql, on="a", write=True, autocommit=True)
    assert await counted() == 1


async def test_a_connection_lost_between_two_statements_repeats_nothing(
    client, counted, monkeypatch
):
    prepare, seen = execution.prepare, []

    async def lost_before_the_second(connection, *rest, **options):
        seen.append(rest)
        if len(seen) == 2:
            connection.terminate()
        return await prepare(connection, *rest, **options)

    monkeypatch.setattr(execution, "prepare", lost_before_the_second)
    with pytest.raises(ConnectionLost):
        await client.query(f"{INSERT}; {INSERT}", on="a", write=True, autocommit=True)
    assert (len(seen), await counted()) == (2, 1)


async def test_the_real_error_is_shown_before_the_open_circuit(client, database):
    gone = settings_of("gone", database, fail_max=2)
    await client.add(replace(gone, host="/nonexistent"))
    with pytest.raises(ConnectFailed):
        await client.query("select 1", on="gone")
    with pytest.raises(CircuitOpen):
        await client.query("select 1", on="gone")
    with pytest.raises(ConnectFailed):
        await client.retry("gone")  # what `%pg_connect --retry gone` does


async def test_a_restart_between_two_cells_is_not_noticed(client, own_server):
    await client.add(
        DatabaseSettings(
            name="own",
            host=own_server.host,
            port=own_server.port,
            user=own_server.user,
            database="postgres",
            password=lambda: own_server.password,
        )
    )
    await client.query("create table t (n int)", on="own", write=True)
    own_server.restart()
    await client.query(INSERT, on="own", write=True)
    own_server.restart()
    assert len(await client.query("select * from t", on="own")) == 1
    with pytest.raises(FanOutError):
        await client.query("select * from t", on=["own", "down"])
