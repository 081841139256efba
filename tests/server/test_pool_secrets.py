"""The password shows nowhere, whatever goes wrong."""

import logging
import pickle
import traceback

import pytest

from pgmagic.database.pool import DatabasePool
from pgmagic.errors import ConnectFailed
from tests.pools import pool_on, run
from tests.proxy import FaultProxy, StartProxy
from tests.servers import TestDatabase

CANARY = "s3cr3t-c4n4ry/@#?%:["


def refuse(proxy: FaultProxy) -> None:
    proxy.refuse = True


def swallow(proxy: FaultProxy) -> None:
    proxy.blackhole = True


def cut(proxy: FaultProxy) -> None:
    proxy.cut_after = 10


def work(proxy: FaultProxy) -> None:
    """Only the password is wrong then."""


@pytest.mark.parametrize("fault", [refuse, swallow, cut, work])
async def test_password_is_in_no_error_log_or_traceback(
    database: TestDatabase,
    fault_proxy: StartProxy,
    caplog: pytest.LogCaptureFixture,
    fault: object,
) -> None:
    proxy = await fault_proxy(database)
    fault(proxy)
    options = {"password": lambda: CANARY, "connect_timeout": 0.3, "fail_max": 1}
    with caplog.at_level(logging.DEBUG):
        async with pool_on(database, by=proxy, **options) as pool:
            with pytest.raises(ConnectFailed) as caught:
                await run(pool, "select 1")
            shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            texts = [
                "".join(shown.format()),
                "".join(caught.value.report()),
                caplog.text,
                repr(pool),
                repr(vars(pool)),
                repr(pool.statistics()),
                repr(pool.settings),
            ]
    assert [text for text in texts if CANARY in text] == []
    assert "cannot connect" in texts[0]


async def test_a_pool_cannot_be_pickled_with_what_it_holds(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        await run(pool, "select 1")
        with pytest.raises(Exception, match=r"pickle|lambda"):
            pickle.dumps(pool)


async def test_statistics_hold_no_value_of_a_parameter(database: TestDatabase) -> None:
    async def ask(pool: DatabasePool) -> str:
        with pool.running("select $1::text"):
            async with pool.acquire() as lease:
                await lease.connection.fetchval("select $1::text", CANARY)
                return repr(pool.statistics()) + repr(vars(pool))

    async with pool_on(database) as pool:
        assert CANARY not in await ask(pool)
