"""`%pg_check` on real servers, good and bad."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pgmagic.client import Client
from pgmagic.database.checks import Finding, check
from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from pgmagic.sandbox.server import Server
from tests.pools import pool_on, run, settings_for, until_quiet
from tests.servers import Administrator


@pytest.fixture
def reader(administrator: Administrator) -> Iterator[dict[str, Any]]:
    """Settings by which a role comes in that may only read. To be asked for before a database."""
    administrator.execute("create role reader login password 'sesame'")
    yield {"user": "reader", "password": lambda: "sesame"}
    administrator.execute("drop role reader")


async def checked(pool: DatabasePool) -> dict[str, Finding]:
    return {finding.check: finding for finding in (await check([pool]))[pool.name]}


def not_passed(found: dict[str, Finding]) -> dict[str, str]:
    return {name: each.result for name, each in found.items() if each.result != "pass"}


async def test_a_sound_database_passes(reader, database):
    async with pool_on(database, **reader) as pool:
        found = await checked(pool)
    assert not_passed(found) in ({}, {"pg_stat_statements": "warn"})
    assert f"127.0.0.1:{database.port}" in found["reachable"].found
    assert found["role"].found == "may only read"
    assert "statement_timeout 30 s" in found["timeouts"].found


async def test_a_role_that_may_write_is_told(reader, database):
    async with database.connection() as connection:
        await connection.execute("create table t (a int); grant update on t to reader")
    async with pool_on(database, **reader) as pool:
        assert (await checked(pool))["role"].result == "warn"
    async with pool_on(database, **reader, read_only=False) as pool:
        assert (await checked(pool))["role"].found == "may write"


async def test_powers_over_the_server_are_told(reader, database, administrator):
    administrator.execute("grant pg_read_server_files to reader; alter role reader createrole")
    async with pool_on(database, **reader) as pool:
        found = (await checked(pool))["role"]
    assert found.result == "warn"
    assert "CREATEROLE, pg_read_server_files" in found.found


async def test_limits_of_the_role_are_told(reader, database, administrator):
    administrator.execute("alter role reader connection limit 3")
    async with pool_on(database, **reader) as pool:
        found = (await checked(pool))["connections"]
    assert found.result == "warn"
    assert "the role is limited to 3" in found.found


async def test_an_idle_transaction_of_a_session_is_found(database):
    async with pool_on(database) as pool:
        async with pool.session("mine") as lease:
            await lease.connection.execute("begin")
            pid = lease.pid
        found = (await checked(pool))["idle in transaction"]
        assert found.result == "warn"
        assert f"pid {pid}" in found.found


async def test_limits_in_other_units_are_the_same_limits(database, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=7s")
    async with pool_on(database, statement_timeout=1.5) as pool:
        found = (await checked(pool))["timeouts"]
    assert found.result == "pass"
    assert "lock_timeout 7 s, statement_timeout 1.5 s" in found.found


async def test_a_pooler_is_found_and_the_limits_hold_behind_it(pgbouncer):
    settings = DatabaseSettings(
        name="sales",
        host=pgbouncer.host,
        port=pgbouncer.port,
        user=pgbouncer.user,
        database=pgbouncer.name,
        password=lambda: pgbouncer.password,
    )
    pool = DatabasePool(settings)
    try:
        found = await checked(pool)
    finally:
        await pool.close()
    assert "in between" in found["pooler"].found
    assert found["timeouts"].result == "pass"
    assert "statement_timeout 30 s" in found["timeouts"].found


async def test_proven_tls_is_told(
    database, fault_proxy, server_tls, certificate_authority, tmp_path
):
    proxy = await fault_proxy(database, tls=server_tls)
    root = tmp_path / "root.crt"
    certificate_authority.cert_pem.write_to_path(str(root))
    async with pool_on(database, by=proxy, sslmode="verify-full", sslrootcert=str(root)) as pool:
        found = (await checked(pool))["TLS"]
    assert found.result == "pass"
    assert found.found.startswith("TLSv1.")


@pytest.fixture
async def bad_day(pg_binaries, new_root, database) -> AsyncIterator[Client]:
    """A client of a good database among bad ones: small, locked, down, misconfigured."""
    with Server(new_root(), binaries=pg_binaries, settings={"max_connections": "8"}) as small:
        login: dict[str, Any] = {
            "host": small.host,
            "port": small.port,
            "user": small.user,
            "database": "postgres",
        }
        async with Client() as pg:
            await pg.add(settings_for(database, name="good"))
            await pg.add(DatabaseSettings(name="small", **login, password=lambda: small.password))
            await pg.add(DatabaseSettings(name="locked", **login, password=lambda: "hunter2"))
            await pg.add(DatabaseSettings(name="down", host="/nonexistent", user="nobody"))
            await pg.add(DatabaseSettings(name="lost", service="no_such_service"))
            yield pg


async def test_one_bad_database_stops_no_other(bad_day):
    frame = await bad_day.check()
    assert list(frame.columns) == ["check", "database", "result", "found", "remedy"]
    assert set(frame["database"]) == set(bad_day.databases)
    assert list(dict.fromkeys(frame["result"])) == ["fail", "warn", "pass"]

    def result(database: str, check: str) -> str:
        [row] = frame[(frame.database == database) & (frame.check == check)].result
        return str(row)

    assert result("good", "reachable") == "pass"
    assert result("small", "role") == "warn"  # a superuser, on this machine
    assert result("small", "connections") == "fail"
    assert result("locked", "reachable") == result("locked", "password") == "fail"
    assert result("down", "reachable") == "fail"
    assert result("lost", "settings") == "fail"
    assert "hunter2" not in frame.to_csv()
    assert "hunter2" not in repr(frame)


async def test_targets_choose_the_databases():
    async with Client() as pg:
        for name in ("ewr", "jfk", "jax"):
            await pg.add(DatabaseSettings(name=name, host="/nonexistent", user="nobody"))
        assert list((await pg.check("j*")).database) == ["jfk", "jax"]
        assert list((await pg.check()).database) == ["ewr", "jfk", "jax"]


async def test_pools_that_share_a_server_share_what_it_has(database):
    one, other = (
        DatabasePool(settings_for(database, name=name, max_size=60)) for name in ("a", "b")
    )
    try:
        apart = (await check([one]))["a"]
        together = await check([one, other])
    finally:
        await asyncio.gather(one.close(), other.close())

    def connections(found: tuple[Finding, ...]) -> str:
        return next(each.result for each in found if each.check == "connections")

    assert connections(apart) == "pass"
    assert connections(together["a"]) == connections(together["b"]) == "fail"


async def test_a_check_tries_past_an_open_circuit_and_closes_it(database, fault_proxy):
    proxy = await fault_proxy(database)
    proxy.refuse = True
    async with pool_on(database, by=proxy, fail_max=1) as pool:
        for _ in range(2):
            assert (await checked(pool))["reachable"].result == "fail"
        assert pool.statistics().breaker != "closed"
        proxy.refuse = False
        assert (await checked(pool))["reachable"].result == "pass"
        assert await run(pool, "select 1") == 1


async def test_a_check_leaves_nothing_behind(database):
    async with pool_on(database) as pool:
        await checked(pool)
        await until_quiet(database)
        assert pool.statistics().size == 0


async def test_a_silent_server_is_a_finding_and_not_a_hang(
    database, fault_proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pgmagic.database.checks.gathering.VISIT_TIMEOUT", 0.2)
    proxy = await fault_proxy(database)
    look_around: Callable[..., Any] = check.__globals__["gather"].__globals__["_look_around"]

    async def go_silent(*visit: Any) -> Any:
        proxy.blackhole = True
        return await look_around(*visit)

    monkeypatch.setattr("pgmagic.database.checks.gathering._look_around", go_silent)
    async with pool_on(database, by=proxy) as pool:
        found = (await checked(pool))["reachable"]
    assert (found.result, found.found) == ("fail", "it did not answer within 0.2 s")
