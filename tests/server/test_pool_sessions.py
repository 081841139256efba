"""Named connections keep what a cell leaves on them."""

import asyncio
import time

import pytest

from pgmagic.database.pool import DatabasePool
from pgmagic.database.translation import translated
from pgmagic.errors import ConnectionLost, PoolTimeout, QueryCancelled, QueryError
from tests.pools import pool_on, run, terminate_backends, until_active, until_quiet
from tests.proxy import StartProxy
from tests.servers import TestDatabase


async def ask(pool: DatabasePool, session: str, sql: str) -> object:
    async with pool.session(session, timeout=5) as lease:
        with translated(pool.name):
            return await lease.connection.fetchval(sql)


async def test_state_stays_from_cell_to_cell(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        async with pool.session("etl") as lease:
            await lease.connection.execute("create temp table t as select 7 as n")
            await lease.connection.execute("set work_mem = '17MB'")
        assert await ask(pool, "etl", "select n from t") == 7
        assert await ask(pool, "etl", "show work_mem") == "17MB"
        assert await ask(pool, "other", "select to_regclass('t')::text") is None
        assert await run(pool, "select to_regclass('t')::text") is None


async def test_sessions_take_no_slot_of_the_pool(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1) as pool:
        async with pool.session("a"), pool.session("b"):
            assert await run(pool, "select 1") == 1
        assert {session.name for session in pool.statistics().sessions} == {"a", "b"}
        assert pool.statistics().in_use == 0


async def test_transaction_of_the_user_is_shown(database: TestDatabase) -> None:
    async with pool_on(database) as pool:

        def transaction() -> str:
            (session,) = pool.statistics().sessions
            return session.transaction

        await ask(pool, "etl", "select 1")
        assert transaction() == "none"
        async with pool.session("etl") as lease:
            await lease.connection.execute("begin")
        assert transaction() == "open"
        with pytest.raises(QueryError):
            await ask(pool, "etl", "select 1/0")
        assert transaction() == "aborted"
        async with pool.session("etl") as lease:
            await lease.connection.execute("rollback")
        assert transaction() == "none"


async def test_one_cell_at_a_time(database: TestDatabase) -> None:
    async with pool_on(database) as pool, pool.session("etl"):
        asking = asyncio.create_task(ask_soon(pool, "etl"))
        with pytest.raises(PoolTimeout, match="another cell used session etl"):
            await asking


async def ask_soon(pool: DatabasePool, session: str) -> None:
    async with pool.session(session, timeout=0.05):
        pass


async def test_cells_that_ask_at_once_share_the_session(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        pids = await asyncio.gather(
            *(ask(pool, "etl", "select pg_backend_pid()") for _ in range(5))
        )
        assert len(set(pids)) == 1


async def test_a_lost_session_says_so_once(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        await ask(pool, "etl", "select 1")
        await terminate_backends(database)
        with pytest.raises(ConnectionLost, match="temporary tables"):
            await ask(pool, "etl", "select 1")
        assert await ask(pool, "etl", "select 1") == 1


async def test_cancel_leaves_the_session_usable(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        pid = await ask(pool, "etl", "select pg_backend_pid()")
        asking = asyncio.create_task(ask(pool, "etl", "select pg_sleep(30)"))
        await until_active(database)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await ask(pool, "etl", "select pg_backend_pid()") == pid


async def test_cancel_in_a_black_hole_ends_the_session_within_two_seconds(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy) as pool:
        asking = asyncio.create_task(ask(pool, "etl", "select pg_sleep(30)"))
        await until_active(database)
        proxy.blackhole = True
        started = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - started < 2.6
        assert pool.statistics().sessions == ()
        proxy.blackhole = False


async def test_close_ends_what_runs(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        asking = asyncio.create_task(ask(pool, "etl", "select pg_sleep(30)"))
        await until_active(database)
        assert await pool.sessions.close("etl")
        assert not await pool.sessions.close("etl")
        with pytest.raises(QueryCancelled, match="session etl was closed"):
            await asking
        await until_quiet(database)
        assert pool.statistics().sessions == ()
