"""The proxy does what it says to a real connection."""

import asyncio
import ssl

import asyncpg
import pytest
import trustme

from tests.pgbouncer import PgBouncer
from tests.proxy import StartProxy
from tests.servers import TestDatabase

MEGABYTE = "select repeat('x', 1000) from generate_series(1, 1000)"


async def test_passes_everything(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    assert len(await connection.fetch(MEGABYTE)) == 1000
    await connection.close()
    assert proxy.accepted == 1
    assert proxy.bytes_down > 1_000_000


async def test_latency_delays_each_way(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    await connection.fetchval("select 1")
    proxy.latency = 0.1
    loop = asyncio.get_running_loop()
    start = loop.time()
    await connection.fetchval("select 1")
    assert loop.time() - start >= 0.2
    proxy.latency = 0
    await connection.close()


async def test_rate_slows_a_result(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    proxy.rate = 5_000_000
    loop = asyncio.get_running_loop()
    start = loop.time()
    await connection.fetch(MEGABYTE)
    assert loop.time() - start >= 0.15
    await connection.close()


async def test_cuts_in_the_middle_of_a_result(
    database: TestDatabase, fault_proxy: StartProxy
) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    before = proxy.bytes_down
    proxy.cut_after = 200_000
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await connection.fetch(MEGABYTE)
    assert proxy.bytes_down - before == 200_000
    assert connection.is_closed()


async def test_resets_open_connections(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    sleeping = asyncio.create_task(connection.execute("select pg_sleep(30)"))
    async with database.connection() as other:
        while not await other.fetchval(
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        ):
            await asyncio.sleep(0.01)
        proxy.reset_all()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await sleeping
        await other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
        )


async def test_refuses_new_connections(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    proxy.refuse = True
    with pytest.raises((ConnectionError, asyncpg.ConnectionDoesNotExistError)):
        await asyncpg.connect(proxy.dsn)
    proxy.refuse = False
    await (await asyncpg.connect(proxy.dsn)).close()


@pytest.mark.parametrize("fault", ["blackhole", "stall"])
async def test_silence_lasts_until_the_client_gives_up(
    database: TestDatabase, fault_proxy: StartProxy, fault: str
) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    setattr(proxy, fault, True)
    with pytest.raises(TimeoutError):
        await connection.fetchval("select 1", timeout=0.1)
    assert not connection.is_closed()
    connection.terminate()
    setattr(proxy, fault, False)
    await (await asyncpg.connect(proxy.dsn)).close()


async def test_stall_is_only_a_pause(database: TestDatabase, fault_proxy: StartProxy) -> None:
    proxy = await fault_proxy(database)
    connection = await asyncpg.connect(proxy.dsn)
    proxy.stall = True
    answer = asyncio.create_task(connection.fetchval("select 42"))
    done, _ = await asyncio.wait([answer], timeout=0.1)
    assert not done
    proxy.stall = False
    assert await answer == 42
    await connection.close()


async def test_tls_before_any_server(
    database: TestDatabase,
    fault_proxy: StartProxy,
    server_tls: ssl.SSLContext,
    certificate_authority: trustme.CA,
) -> None:
    proxy = await fault_proxy(database, tls=server_tls)
    trusting = ssl.create_default_context()
    certificate_authority.configure_trust(trusting)
    connection = await asyncpg.connect(proxy.dsn, ssl=trusting)
    assert await connection.fetchval("select 1") == 1
    await connection.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(proxy.dsn, ssl=ssl.create_default_context())


async def test_pgbouncer_shares_one_backend_between_clients(pgbouncer: PgBouncer) -> None:
    backends = set()
    for _ in range(2):
        connection = await asyncpg.connect(pgbouncer.dsn, statement_cache_size=0)
        backends.add(await connection.fetchval("select pg_backend_pid()"))
        await connection.close()
    assert len(backends) == 1
