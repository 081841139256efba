"""The log of real cells: what is told of each, and what never is."""

import asyncio
import contextlib
import logging

import pytest

from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import ConnectFailed, PgMagicError, QueryError
from tests.pools import pool_on, run, terminate_backends, until_active
from tests.server.conftest import settings_of

CANARY = "hunter2"


@pytest.fixture
def told(caplog):
    """Give the records of an event so far."""
    caplog.set_level(logging.DEBUG)

    def told(event: str) -> list[dict]:
        return [vars(each) for each in caplog.records if vars(each).get("event") == event]

    return told


async def test_an_answer_is_told_with_its_rows(client, told):
    await client.query("select generate_series(1, 3)", on=["a", "b"])
    records = told("query_finished")
    assert {each["database"] for each in records} == {"a", "b"}
    assert len({each["fingerprint"] for each in records}) == 1
    for each in records:
        assert (each["outcome"], each["verb"], each["rows"]) == ("answered", "select", 3)
        assert 0 < each["seconds"] < 30
    assert {each["database"] for each in told("connected")} == {"a", "b"}


async def test_a_refusal_is_told_with_its_code(client, told):
    with pytest.raises(QueryError):
        await client.query("select nothing_like_this", on="a")
    [record] = told("query_finished")
    assert (record["outcome"], record["error"], record["sqlstate"]) == (
        "failed",
        "QueryError",
        "42703",
    )


async def test_a_cancelled_cell_is_told(client, database, told):
    task = asyncio.create_task(client.query("select pg_sleep(30)", on="a"))
    await until_active(database)
    task.cancel()
    await asyncio.wait({task})
    [record] = told("query_cancelled")
    assert (record["database"], record["verb"]) == ("a", "select")
    assert not told("query_finished")


async def test_a_retry_is_told(client, database, told):
    await client.query("select 1", on="a")
    task = asyncio.create_task(client.query("select pg_sleep(0.2)", on="a"))
    await until_active(database)
    await terminate_backends(database)
    await task
    [record] = told("query_retried")
    assert (record["attempt"], record["error"]) == (1, "ConnectionLost")
    assert [each["database"] for each in told("connection_lost")] == ["a"]


async def test_a_database_that_is_down_is_told(database, fault_proxy, told):
    proxy = await fault_proxy(database)
    proxy.refuse = True
    async with pool_on(database, by=proxy, fail_max=2) as pool:
        for _ in range(2):
            with pytest.raises(ConnectFailed):
                await run(pool, "select 1")
    assert len(told("connect_failed")) == 2
    [opened] = told("circuit_changed")
    assert (opened["levelname"], opened["state"]) == ("WARNING", "open")


async def test_no_secret_is_told_at_any_level(client, database, caplog):
    caplog.set_level(logging.DEBUG)
    await client.add(settings_of("c", database))
    wrong = DatabaseSettings(
        name="wrong",
        host=database.host,
        port=database.port,
        user=database.user,
        database=database.name,
        password=lambda: CANARY,
    )
    await client.add(wrong)
    for sql, target in (
        (f"create role {CANARY} password '{CANARY}'", "a"),
        (f"select '{CANARY}'::int", "a"),
        (f"select '{CANARY}' as \"{CANARY}\"", "c"),
        (f"{CANARY} {CANARY}", "a"),
        ("select {value}, 1/0", "a"),
        ("select {value}", "wrong"),
    ):
        with contextlib.suppress(PgMagicError):
            await client.query(sql, on=target, values={"value": CANARY})
    await client.check()
    assert caplog.records
    everything = [f"{vars(record)!r} {record.getMessage()}" for record in caplog.records]
    assert not [line for line in everything if CANARY in line or database.password in line]
