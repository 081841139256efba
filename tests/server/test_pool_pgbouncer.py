"""A pool behind PgBouncer in transaction mode: found out, and lived with."""

import asyncio

import pytest

from pgmagic.errors import CellError
from tests.pgbouncer import PgBouncer
from tests.pools import pool_on, run
from tests.servers import TestDatabase


def through(pgbouncer: PgBouncer) -> dict[str, object]:
    return {"host": pgbouncer.host, "port": pgbouncer.port}


async def test_it_is_found_out_and_limits_are_set_in_transactions(
    database: TestDatabase, pgbouncer: PgBouncer
) -> None:
    limits = {"statement_timeout": 12.0, "lock_timeout": 3.5}
    async with pool_on(database, **through(pgbouncer), **limits) as pool:
        async with pool.acquire() as lease:
            assert pool.pooled
            assert "set local statement_timeout = 12000" in pool.local_settings
            await lease.connection.execute("begin; " + "; ".join(pool.local_settings))
            assert await lease.connection.fetchval("show statement_timeout") == "12s"
            assert await lease.connection.fetchval("show lock_timeout") == "3500ms"
            assert (
                await lease.connection.fetchval("show idle_in_transaction_session_timeout")
                == "1min"
            )
            await lease.connection.execute("commit")
        assert pool.statistics().pooled
        assert pool.statistics().failures == 0
        assert pool.statistics().connections_errors == 0, "finding out is no failure"


async def test_told_beforehand_nothing_is_tried(
    database: TestDatabase, pgbouncer: PgBouncer
) -> None:
    async with pool_on(database, **through(pgbouncer), pooler=True) as pool:
        assert pool.pooled
        assert await run(pool, "select 1") == 1
        assert pool.local_settings


async def test_lists_and_odd_values_are_set_as_one_text(
    database: TestDatabase, pgbouncer: PgBouncer
) -> None:
    options = r"-c search_path=pg_catalog,\ public -c my.motto=it's"
    behind = pool_on(database, **through(pgbouncer), options=options)
    async with behind as pool, pool.acquire() as lease:
        await lease.connection.execute("begin; " + "; ".join(pool.local_settings))
        assert await lease.connection.fetchval("show search_path") == "pg_catalog, public"
        assert await lease.connection.fetchval("show my.motto") == "it's"
        await lease.connection.execute("rollback")


async def test_many_clients_over_few_connections(
    database: TestDatabase, pgbouncer: PgBouncer
) -> None:
    async with pool_on(database, **through(pgbouncer)) as pool:

        async def work(number: int) -> bool:
            async with pool.acquire() as lease:
                for n in range(5):
                    if await lease.connection.fetchval("select $1::int", number + n) != number + n:
                        return False
            return True

        assert all(await asyncio.gather(*(work(number) for number in range(40))))
        assert pool.statistics().returns_bad == 0


async def test_a_session_is_refused(database: TestDatabase, pgbouncer: PgBouncer) -> None:
    async with pool_on(database, **through(pgbouncer)) as pool:
        with pytest.raises(CellError, match="pooler"):
            async with pool.session("etl"):
                pass
