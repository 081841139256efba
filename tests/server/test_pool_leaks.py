"""Nothing that a cell does to its connection reaches the next one."""

import asyncpg
import pytest

from pgmagic.database.pool import DatabasePool, Lease
from tests.pools import idle, pool_on, run
from tests.servers import TestDatabase

# What a cell does, and the question whose answer shows it.
LEAKS = {
    "setting": ("set work_mem = '17MB'", "show work_mem"),
    "search path": ("set search_path = pg_catalog", "show search_path"),
    "custom setting": (
        "set my.secret = 'x'",
        "select coalesce(current_setting('my.secret', true), '')",
    ),
    "string syntax": ("set standard_conforming_strings = off", r"select 'a\\b'"),
    "role": ("set role pg_monitor", "select current_user"),
    "session user": ("set session authorization pg_monitor", "select session_user"),
    "temporary table": ("create temp table t ()", "select to_regclass('pg_temp.t')::text"),
    "temporary function": (
        "create function pg_temp.f() returns int return 1",
        "select to_regproc('pg_temp.f')::text",
    ),
    "cursor": (
        "declare c cursor with hold for select 1",
        "select count(*) from pg_cursors where name = 'c'",
    ),
    "listening": ("listen channel", "select count(*) from pg_listening_channels()"),
    "advisory lock": (
        "select pg_advisory_lock(1)",
        "select count(*) from pg_locks where locktype = 'advisory'",
    ),
    "shared advisory lock": (
        "select pg_advisory_lock_shared(1)",
        "select count(*) from pg_locks where locktype = 'advisory'",
    ),
    "open transaction": (
        "begin; create table left_open ()",
        "select to_regclass('left_open')::text",
    ),
    "read-only transactions": (
        "set default_transaction_read_only = on",
        "show transaction_read_only",
    ),
    "sequence": ("create sequence s; select nextval('s')", "select lastval()"),
}


async def answer(lease: Lease, question: str) -> object:
    try:
        return await lease.connection.fetchval(question)
    except asyncpg.PostgresError as error:
        return error.sqlstate


@pytest.mark.parametrize("leak", LEAKS)
async def test_next_cell_finds_the_connection_as_new(database: TestDatabase, leak: str) -> None:
    does, asks = LEAKS[leak]
    async with pool_on(database, max_size=1, statement_cache_size=0) as pool:
        async with pool.acquire() as lease:
            pid = lease.pid
            new = await answer(lease, asks)
        async with pool.acquire() as lease:
            await lease.connection.execute(does)
            changed = await answer(lease, asks)
        async with pool.acquire() as lease:
            after = await answer(lease, asks)
            assert lease.pid == pid, "the same connection, reset"
    assert changed != new, "there was something to undo"
    assert after == new


async def test_user_prepared_statement_dies_with_its_connection(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1) as pool:
        async with pool.acquire() as lease:
            pid = lease.pid
            await lease.connection.execute("prepare mine as select 1")
            lease.taint()
        async with pool.acquire() as lease:
            assert lease.pid != pid
            left = await lease.connection.fetchval(
                "select count(*) from pg_prepared_statements where from_sql"
            )
            assert left == 0
        assert pool.statistics().connections_lost == 0, "it was closed on purpose"


async def test_limits_survive_the_reset(database: TestDatabase) -> None:
    limits = {
        "statement_timeout": 1.5,
        "lock_timeout": 2.5,
        "idle_in_transaction_session_timeout": 3.5,
    }
    async with pool_on(database, max_size=1, **limits) as pool:
        for _ in range(2):
            async with pool.acquire() as lease:
                for name, seconds in limits.items():
                    shown = await lease.connection.fetchval(f"show {name}")
                    assert shown == f"{seconds * 1000:g}ms"
                    await lease.connection.execute(f"set {name} = 0")


async def test_statements_of_the_user_are_run_again_after_the_reset(
    database: TestDatabase,
) -> None:
    init = ("set search_path = pg_catalog  -- ours", "set work_mem = '19MB'")
    async with pool_on(database, max_size=1, init=init) as pool:
        for _ in range(3):
            async with pool.acquire() as lease:
                assert await lease.connection.fetchval("show search_path") == "pg_catalog"
                assert await lease.connection.fetchval("show work_mem") == "19MB"
                await lease.connection.execute("set search_path = public")
        await idle(pool)
        assert pool.statistics().connections_num == 1


async def test_a_failed_cell_leaves_no_transaction(database: TestDatabase) -> None:
    async def failing(pool: DatabasePool) -> None:
        async with pool.acquire() as lease:
            await lease.connection.execute("begin; create table t ()")
            raise ZeroDivisionError

    async with pool_on(database, max_size=1) as pool:
        with pytest.raises(ZeroDivisionError):
            await failing(pool)
        async with pool.acquire() as lease:
            assert not lease.connection.is_in_transaction()
            assert await lease.connection.fetchval("select to_regclass('t')::text") is None


async def test_an_aborted_transaction_is_ended(database: TestDatabase) -> None:
    async def failing(pool: DatabasePool) -> None:
        async with pool.acquire() as lease:
            await lease.connection.execute("begin; select 1/0")

    async with pool_on(database, max_size=1) as pool:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await failing(pool)
        assert await run(pool, "select 1") == 1
        assert pool.statistics().connections_num == 1


async def test_messages_belong_to_their_cell(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1) as pool:
        async with pool.acquire() as first:
            await first.connection.execute("do $$begin raise warning 'one'; end$$")
        async with pool.acquire() as second:
            await second.connection.execute("do $$begin raise notice 'two'; end$$")
    assert [(n.severity, n.message) for n in first.notices] == [("WARNING", "one")]
    assert [(n.severity, n.message) for n in second.notices] == [("NOTICE", "two")]


async def test_a_flood_of_messages_is_cut(database: TestDatabase) -> None:
    async with pool_on(database) as pool, pool.acquire() as lease:
        await lease.connection.execute(
            "do $$begin for i in 1..250 loop raise notice '%', i; end loop; end$$"
        )
        assert len(lease.notices) == 101
        assert lease.notices[0].message == "1"
        assert lease.notices[-1].message == "150 more messages are not shown"
