"""What a pool does when servers and networks fail, and that it is whole again afterwards."""

import asyncio
import logging
import time

import asyncpg
import pytest

from pgmagic.database.fault import Verdict
from pgmagic.database.pool import DatabasePool
from pgmagic.database.translation import translated
from pgmagic.errors import CircuitOpen, ConnectFailed, ConnectionLost, QueryTimeout, SettingsError
from pgmagic.sandbox.server import Server
from tests.pools import (
    StepClock,
    active_queries,
    eventually,
    idle,
    pool_on,
    run,
    settings_for,
    terminate_backends,
    until_active,
    until_quiet,
)
from tests.proxy import StartProxy
from tests.servers import TestDatabase

SLEEP = "select pg_sleep(30)"
LIMIT = 2.6  # seconds: two for the cancellation, and room for a busy machine


async def ask(pool: DatabasePool, sql: str) -> object:
    """Ask as a cell does: with the driver's errors translated."""
    async with pool.acquire() as lease:
        with translated(pool.name):
            return await lease.connection.fetchval(sql)


async def test_terminated_backend_in_a_query(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        asking = asyncio.create_task(ask(pool, SLEEP))
        await until_active(database)
        await terminate_backends(database)
        with pytest.raises(ConnectionLost, match="terminating connection") as caught:
            await asking
        assert caught.value.sent
        assert await ask(pool, "select 1") == 1
        assert pool.statistics().connections_lost == 1
        assert pool.statistics().failures == 0, "the next answer forgets it"


async def test_idle_connections_that_were_terminated_are_replaced(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        for _ in range(10):
            await asyncio.gather(*(ask(pool, "select 1") for _ in range(4)))
            await idle(pool)
            await terminate_backends(database)
            assert await asyncio.gather(*(ask(pool, "select 1") for _ in range(4))) == [1] * 4


async def test_a_server_that_restarts(own_server: Server) -> None:
    database = TestDatabase(
        host=own_server.host,
        port=own_server.port,
        user=own_server.user,
        password=own_server.password,
        name="postgres",
    )
    async with pool_on(database, reset_timeout=0.05) as pool:
        assert await ask(pool, "select 1") == 1
        await idle(pool)
        await asyncio.to_thread(own_server.restart)
        assert await ask(pool, "select 1") == 1, "its connections were gone, and replaced unseen"
        await idle(pool)
        own_server.kill()
        await eventually(lambda: pool.statistics().size == 0)
        with pytest.raises(ConnectFailed, match="refused"):
            await ask(pool, "select 1")
        await asyncio.to_thread(own_server.restart)
        assert await ask(pool, "select 1") == 1


async def test_black_hole_in_a_query_ends_within_two_seconds_of_a_cancel(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy, fail_max=1) as pool:
        asking = asyncio.create_task(ask(pool, SLEEP))
        await until_active(database)
        proxy.blackhole = True
        started = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - started < LIMIT
        assert asking.cancelled()
        assert pool.statistics().returns_bad == 1
        assert pool.statistics().breaker == "open", "a network that is dead is an outage"
        proxy.blackhole = False
        pool.breaker.force_trial()
        assert await ask(pool, "select 1") == 1


async def test_a_second_cancel_stops_waiting(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy) as pool:
        asking = asyncio.create_task(ask(pool, SLEEP))
        await until_active(database)
        proxy.blackhole = True
        asking.cancel()
        await eventually(lambda: pool._lending._returns)
        started = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - started < 1.5, "the first would wait longer"


async def test_cancel_reaches_the_server(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        await ask(pool, "select 1")
        asking = asyncio.create_task(ask(pool, SLEEP))
        await until_active(database)
        started = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - started < 1
        assert await active_queries(database) == []
        await idle(pool)
        statistics = pool.statistics()
        assert (statistics.size, statistics.idle, statistics.cancels) == (1, 1, 1)


async def test_a_connect_that_nobody_answers_ends(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    proxy.blackhole = True
    async with pool_on(database, by=proxy, connect_timeout=0.2) as pool:
        with pytest.raises(ConnectFailed, match=r"no answer within 0\.2 s"):
            await ask(pool, "select 1")


async def test_the_time_for_a_connection_bounds_connecting_too(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    proxy.blackhole = True
    async with pool_on(database, by=proxy, connect_timeout=10.0) as pool:
        started = time.monotonic()
        with pytest.raises(ConnectFailed, match="no answer within"):
            async with pool.acquire(timeout=0.2):
                pass
        assert time.monotonic() - started < 1


async def test_connections_idle_for_long_are_tried_before_they_are_lent(
    database: TestDatabase, fault_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall that forgot a connection says nothing, it only swallows."""
    monkeypatch.setattr("pgmagic.database.connections.CHECK_AFTER", 0.0)
    monkeypatch.setattr("pgmagic.database.connections.CHECK_TIMEOUT", 0.2)
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy) as pool:
        await asyncio.gather(*(ask(pool, "select pg_sleep(0.05)") for _ in range(3)))
        await idle(pool)
        assert pool.statistics().size == 3
        proxy.forget_all()
        assert await ask(pool, "select 1") == 1
        assert pool.statistics().size == 1  # one tried, all given up with it


async def test_reset_in_a_large_result(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy) as pool:
        await ask(pool, "select 1")
        proxy.cut_after = 100_000
        with pytest.raises(ConnectionLost):
            await ask(
                pool, "select string_agg(repeat('x', 1000), '') from generate_series(1, 9999)"
            )
        assert await ask(pool, "select 1") == 1


async def test_circuit_opens_refuses_and_closes_by_one_trial(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy, clock = await fault_proxy(database), StepClock()
    async with pool_on(database, by=proxy, clock=clock, fail_max=3, reset_timeout=60) as pool:
        assert await ask(pool, "select 1") == 1
        proxy.refuse = True
        proxy.reset_all()
        await eventually(lambda: pool.statistics().size == 0)
        for _ in range(3):
            with pytest.raises(ConnectFailed):
                await ask(pool, "select 1")
        with pytest.raises(CircuitOpen, match="3 times in a row") as refused:
            await ask(pool, "select 1")
        assert refused.value.retry_in == 60
        tried = proxy.accepted
        clock.step(61)
        answers = await asyncio.gather(
            *(ask(pool, "select 1") for _ in range(20)), return_exceptions=True
        )
        assert proxy.accepted == tried + 1, "one trial, however many ask"
        assert sum(isinstance(answer, CircuitOpen) for answer in answers) == 19
        assert sum(isinstance(answer, ConnectFailed) for answer in answers) == 1
        proxy.refuse = False
        clock.step(61)
        answers = await asyncio.gather(
            *(ask(pool, "select 1") for _ in range(20)), return_exceptions=True
        )
        assert answers.count(1) == 1
        assert sum(isinstance(answer, CircuitOpen) for answer in answers) == 19
        assert pool.statistics().breaker == "closed"


async def test_the_user_can_have_the_trial_at_once(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy, fail_max=1, reset_timeout=600) as pool:
        proxy.refuse = True
        with pytest.raises(ConnectFailed):
            await ask(pool, "select 1")
        with pytest.raises(ConnectFailed):
            await pool.retry_now()
        with pytest.raises(CircuitOpen):
            await ask(pool, "select 1")
        proxy.refuse = False
        await pool.retry_now()
        assert pool.statistics().breaker == "closed"


async def test_a_trial_asks_the_server_even_over_a_connection_that_is_open(
    database: TestDatabase, fault_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgmagic.database.connections.CHECK_TIMEOUT", 0.1)
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy, fail_max=1, connect_timeout=1.0) as pool:
        await ask(pool, "select 1")
        await idle(pool)
        pool.breaker.record(Verdict.OUTAGE)
        assert pool.statistics().breaker == "open"
        proxy.blackhole = True
        with pytest.raises(ConnectFailed):
            await pool.retry_now()
        assert pool.statistics().breaker == "open"


async def test_many_connections_that_break_together_are_one_outage(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    async with pool_on(database, by=proxy, fail_max=2) as pool:
        asking = [asyncio.create_task(ask(pool, SLEEP)) for _ in range(5)]
        await eventually(lambda: pool.statistics().in_use == 5)
        await until_active(database)
        proxy.reset_all()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionLost] * 5
        assert pool.statistics().failures == 1
        assert await ask(pool, "select 1") == 1


async def test_mistakes_in_sql_never_open_the_circuit(database: TestDatabase) -> None:
    async with pool_on(database, fail_max=1) as pool:
        for _ in range(5):
            with pytest.raises(Exception, match="syntax error"):
                await ask(pool, "selec")
        assert pool.statistics().breaker == "closed"


async def test_wrong_password_is_shown_each_time_and_opens_nothing(
    database: TestDatabase,
) -> None:
    secret = "hunter2-canary"
    async with pool_on(database, fail_max=1, password=lambda: secret) as pool:
        for _ in range(3):
            with pytest.raises(ConnectFailed, match="password authentication failed") as caught:
                await ask(pool, "select 1")
            assert caught.value.sqlstate == "28P01"
            assert secret not in "".join(caught.value.report())
        assert pool.statistics().breaker == "closed"


async def test_unknown_database(database: TestDatabase) -> None:
    async with pool_on(database, fail_max=1, database="nowhere") as pool:
        with pytest.raises(ConnectFailed, match='database "nowhere" does not exist'):
            await ask(pool, "select 1")
        assert pool.statistics().breaker == "closed"


async def test_a_mistake_in_init_is_a_mistake_in_the_settings(database: TestDatabase) -> None:
    async with pool_on(database, init=("set nonsense",)) as pool:
        with pytest.raises(SettingsError, match="init: syntax error"):
            await ask(pool, "select 1")


async def test_server_limit_is_told_from_a_cancel(database: TestDatabase) -> None:
    async with pool_on(database, statement_timeout=0.05) as pool:
        with pytest.raises(QueryTimeout, match="statement_timeout"):
            await ask(pool, SLEEP)
        assert await ask(pool, "select 1") == 1
        assert pool.statistics().connections_num == 1


async def test_a_server_without_connections_to_spare(
    database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async with database.connection() as connection:
        await connection.execute(
            f"create role few login password 'few' connection limit 2;"
            f'grant all on database "{database.name}" to few'
        )
    try:
        async with pool_on(database, user="few", password=lambda: "few", fail_max=1) as pool:
            answers = await asyncio.gather(
                *(ask(pool, "select pg_sleep(0.02) is null") for _ in range(12))
            )
            assert answers == [False] * 12
            assert pool.statistics().size <= 2
            assert pool.statistics().breaker == "closed"
    finally:
        async with database.connection() as connection:
            await connection.execute("drop owned by few; drop role few")


async def test_a_server_full_of_others(database: TestDatabase) -> None:
    async with database.connection() as connection:
        await connection.execute("create role shut_out login password 'x' connection limit 0")
    try:
        async with pool_on(database, user="shut_out", password=lambda: "x", fail_max=1) as pool:
            with pytest.raises(ConnectFailed, match="too many connections") as caught:
                await ask(pool, "select 1")
            assert caught.value.sqlstate == "53300"
            assert pool.statistics().breaker == "closed"
    finally:
        async with database.connection() as connection:
            await connection.execute("drop role shut_out")


async def test_answer_stands_though_the_connection_breaks_on_its_way_back(
    database: TestDatabase, fault_proxy: StartProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await fault_proxy(database)
    with caplog.at_level(logging.INFO):
        async with pool_on(database, by=proxy) as pool:
            async with pool.acquire() as lease:
                answer = await lease.connection.fetchval("select 42")
                proxy.cut_after = 0
            assert answer == 42
            await idle(pool)
            assert pool.statistics().returns_bad == 1
            assert await ask(pool, "select 1") == 1
    assert "not fit for reuse" in caplog.text


async def test_query_of_a_dead_client_ends_on_the_server(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    async with pool_on(database) as pool:
        asking = asyncio.create_task(ask(pool, SLEEP))
        await until_active(database)
        pool.terminate()  # as a killed kernel does: nobody cancels
        with pytest.raises(ConnectionLost):
            await asking
        await until_quiet(database)


async def test_nothing_is_logged_for_cancelled_connects(
    database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(database, sslmode="prefer")
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        for steps in range(40):
            pool = DatabasePool(settings)
            asking = asyncio.create_task(run(pool, "select 1"))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await pool.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_plain_driver_errors_pass_the_pool_untouched(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        with pytest.raises(asyncpg.UndefinedTableError):
            await run(pool, "select * from nowhere")
