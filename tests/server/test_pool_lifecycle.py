"""How a pool begins, rests, is renewed and ends."""

import asyncio
import time

import asyncpg
import pytest

from pgmagic.database.conditions import condition
from pgmagic.database.pool import DatabasePool
from pgmagic.database.translation import translated
from pgmagic.errors import (
    CellError,
    ConnectFailed,
    ConnectionLost,
    PgMagicError,
    QueryCancelled,
    Unavailable,
)
from tests.pools import eventually, idle, pool_on, run, settings_for, until_active, until_quiet
from tests.proxy import StartProxy
from tests.servers import TestDatabase

SLEEP = "select pg_sleep(30)"


async def query(pool: DatabasePool, sql: str, cell: str | None = None) -> object:
    """Ask as a cell does: registered, on a connection, translated."""
    with pool.running(sql, cell):
        async with pool.acquire() as lease:
            with translated(pool.name):
                return await lease.connection.fetchval(sql)


async def test_the_server_sees_who_asks_and_with_which_limits(database: TestDatabase) -> None:
    async with pool_on(database, name="sales", statement_timeout=12.0) as pool:
        assert await run(pool, "show application_name") == "pgmagic/sales"
        assert await run(pool, "show statement_timeout") == "12s"
        assert await run(pool, "show idle_in_transaction_session_timeout") == "1min"
        assert await run(pool, "show client_connection_check_interval") == "1s"
        assert pool.local_settings == ()
        assert not pool.pooled


async def test_the_kernel_watches_the_connection(database: TestDatabase) -> None:
    """The one private attribute of asyncpg that is used leads to the socket."""
    import socket

    async with pool_on(database) as pool, pool.acquire() as lease:
        raw = lease.connection._transport.get_extra_info("socket")
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


async def test_over_a_unix_socket(database: TestDatabase) -> None:
    async with pool_on(database, host=database.host) as pool:
        assert await run(pool, "select inet_server_addr() is null")


async def test_password_is_asked_for_each_connection(database: TestDatabase) -> None:
    given = iter(["wrong", database.password])
    async with pool_on(database, password=lambda: next(given)) as pool:
        with pytest.raises(ConnectFailed):
            await run(pool, "select 1")
        assert await run(pool, "select 1") == 1


async def test_another_event_loop_is_refused(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        await run(pool, "select 1")
        with pytest.raises(PgMagicError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, run(pool, "select 1"))
        assert await run(pool, "select 1") == 1


async def test_query_is_listed_and_cancelled_alone(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        asking = asyncio.create_task(query(pool, f"-- slow\n{SLEEP}", cell="3"))
        await until_active(database)
        (running,) = pool.statistics().running
        assert (running.first_line, running.cell) == (SLEEP, "3")
        assert running.elapsed > 0
        other = asyncio.create_task(query(pool, "select pg_sleep(0.01) is null"))
        cancel = pool.running_queries.cancel
        assert await asyncio.to_thread(cancel, running.id), "from any thread"
        with pytest.raises(QueryCancelled):
            await asking
        assert await other is False
        await until_quiet(database)
        assert not cancel(running.id)
        assert pool.statistics().running == ()
        assert pool.statistics().failures == 0


async def test_a_cancel_from_outside_stays_a_cancel(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        asking = asyncio.create_task(query(pool, SLEEP))
        await until_active(database)
        (running,) = pool.running_queries
        running.cancel()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_close_cancels_what_runs(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        asking = asyncio.create_task(query(pool, SLEEP))
        await until_active(database)
        started = time.monotonic()
        await pool.close()
        assert time.monotonic() - started < 2
        with pytest.raises(QueryCancelled):
            await asking
        await until_quiet(database, within=1)
        await pool.close()
        with pytest.raises(PgMagicError, match="closed"):
            await run(pool, "select 1")


async def test_close_does_not_wait_for_a_network_that_is_dead(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy) as pool:
        asking = asyncio.create_task(query(pool, SLEEP))
        await until_active(database)
        proxy.blackhole = True
        started = time.monotonic()
        await pool.close(grace=0.2)
        assert time.monotonic() - started < 1
        await asyncio.gather(asking, return_exceptions=True)
        proxy.blackhole = False


async def test_close_takes_connections_away_that_nobody_gives_back(
    database: TestDatabase,
) -> None:
    async with pool_on(database) as pool, pool.acquire() as lease:
        await pool.close(grace=0.1)
        with pytest.raises(ConnectionLost), translated("sales"):
            await lease.connection.fetchval("select 1")


async def test_close_sends_those_away_who_wait(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1) as pool:
        asking = asyncio.create_task(query(pool, SLEEP))
        await until_active(database)
        waiting = asyncio.create_task(run(pool, "select 1"))
        await eventually(lambda: pool.statistics().waiting)
        await pool.close()
        with pytest.raises(PgMagicError, match="closed"):
            await waiting
        with pytest.raises(QueryCancelled):
            await asking


async def test_the_last_error_is_the_one_that_opened_the_circuit(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy, fail_max=1) as pool:
        assert pool.statistics().last_error is None
        proxy.refuse = True
        for _ in range(3):
            with pytest.raises(Unavailable):
                await run(pool, "select 1")
        last = pool.statistics().last_error
        assert last is not None
        assert "the connection broke while it was made" in last.message


async def test_a_pool_that_was_never_used_closes() -> None:
    from pgmagic.database.settings import DatabaseSettings

    pool = DatabasePool(DatabaseSettings(name="sales"))
    await pool.close()
    assert pool.is_closed


async def test_idle_connections_are_closed_but_for_the_smallest_number(
    database: TestDatabase,
) -> None:
    async with pool_on(database, min_size=1, max_inactive_connection_lifetime=0.1) as pool:
        await asyncio.gather(*(run(pool, "select pg_sleep(0.03)") for _ in range(3)))
        await idle(pool)
        assert pool.statistics().size == 3
        await eventually(lambda: pool.statistics().size == 1)
        await asyncio.sleep(0.25)  # two more rounds
        assert pool.statistics().size == 1
        assert pool.statistics().connections_lost == 0


async def test_an_idle_pool_closes_them_all_and_opens_again(database: TestDatabase) -> None:
    async with pool_on(database, min_size=2, idle_pool_lifetime=0.1) as pool:
        await asyncio.gather(*(run(pool, "select pg_sleep(0.02)") for _ in range(3)))
        await eventually(lambda: pool.statistics().size == 0)
        assert await run(pool, "select 1") == 1


async def test_a_connection_is_renewed_after_so_many_queries(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1, max_queries=3) as pool:
        pids = {await run(pool, "select pg_backend_pid()") for _ in range(6)}
        assert len(pids) > 1
        await idle(pool)
        assert pool.statistics().connections_lost == 0


async def test_expire_renews_every_connection(database: TestDatabase) -> None:
    async with pool_on(database, max_size=2) as pool:
        async with pool.acquire() as held:
            other = await run(pool, "select pg_backend_pid()")
            await idle_but(pool, 1)
            await pool.expire()
            assert await held.connection.fetchval("select 1") == 1
        pids = {await run(pool, "select pg_backend_pid()") for _ in range(2)}
        assert not pids & {other, held.pid}


async def idle_but(pool: DatabasePool, in_use: int) -> None:
    await eventually(lambda: pool.statistics().in_use == in_use)
    await pool.settle()


async def test_sessions_end_with_the_pool(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        async with pool.session("etl") as lease:
            await lease.connection.execute("create temp table t ()")
        await pool.close()
        assert pool.statistics().sessions == ()


# Names of asyncpg's that a server may not have yet, or not any more, and names that two SQLSTATEs
# share.
NEWER = {"transaction_timeout", "invalid_argument_for_xquery", "file_name_too_long"}
OLDER = {"snapshot_too_old"}
SHARED = {
    "modifying_sql_data_not_permitted": "2F002",
    "prohibited_sql_statement_attempted": "2F003",
    "reading_sql_data_not_permitted": "2F004",
    "null_value_not_allowed": "22004",
}


async def test_errors_are_named_as_the_server_names_them(database: TestDatabase) -> None:
    """PL/pgSQL raises conditions by name, which proves ours against the server's own table."""
    kinds = [
        kind
        for name, kind in vars(asyncpg.exceptions).items()
        if isinstance(kind, type)
        and issubclass(kind, asyncpg.PostgresError)
        and len(kind.sqlstate or "") == 5
    ]
    assert len(kinds) > 200
    wrong = {}
    async with database.connection() as connection:
        for kind in kinds:
            name = condition(kind("x"))
            try:
                await connection.execute(f"do $$begin raise {name}; end$$")
            except asyncpg.PostgresError as raised:
                if raised.sqlstate not in (kind.sqlstate, SHARED.get(name)):
                    wrong[name] = (kind.sqlstate, raised.sqlstate)
    assert set(wrong) <= NEWER | OLDER


@pytest.mark.parametrize("value", ["hunter2-canary", 2**70])
async def test_a_value_that_does_not_fit_is_not_repeated(
    database: TestDatabase, value: object
) -> None:
    async with pool_on(database) as pool, pool.acquire() as lease:
        with pytest.raises(CellError) as caught, translated("sales"):
            await lease.connection.fetchval("select $1::int", value)
        assert str(value) not in str(caught.value)


async def test_settings_may_be_wrong_on_the_server(database: TestDatabase) -> None:
    async with pool_on(database, options="-c nonsense.is=fine -c no_such_setting=1") as pool:
        with pytest.raises(ConnectFailed, match="no_such_setting"):
            await run(pool, "select 1")


async def test_two_pools_on_one_loop_are_apart(
    database: TestDatabase, second_database: TestDatabase
) -> None:
    ports = []
    async with pool_on(database) as one, pool_on(second_database) as two:
        for pool in (one, two):
            ports.append(await run(pool, "show port"))
    assert ports == [str(database.port), str(second_database.port)]
    assert settings_for(database).port != settings_for(second_database).port
