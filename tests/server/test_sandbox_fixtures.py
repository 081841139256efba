"""The fixtures give databases that work, and are the test's alone."""

import asyncio

import asyncpg
import pytest

from pgmagic.sandbox.server import Server
from tests.servers import Administrator, TestDatabase


async def test_database_is_fresh_and_reachable_by_socket_and_tcp(database: TestDatabase) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval("select current_database()") == database.name
        await connection.execute("create table t (n int)")
    connection = await asyncpg.connect(database.tcp_dsn)
    assert await connection.fetchval("select count(*) from t") == 0
    await connection.close()


async def test_two_databases_are_on_two_servers(
    database: TestDatabase, second_database: TestDatabase
) -> None:
    identifier = "select system_identifier from pg_control_system()"
    async with database.connection() as one, second_database.connection() as other:
        assert await one.fetchval(identifier) != await other.fetchval(identifier)


def test_many_databases_have_names_of_their_own(many_databases) -> None:
    assert len({database.name for database in many_databases(3)}) == 3


async def test_a_forgotten_backend_is_found(
    database: TestDatabase, administrator: Administrator
) -> None:
    forgotten = await asyncpg.connect(database.dsn)
    await forgotten.execute("select 'forgotten'")
    found = await asyncio.to_thread(administrator.leftovers, database.name)
    await forgotten.close()
    assert len(found) == 1
    assert "select 'forgotten'" in found[0]


def test_password_is_not_shown(database: TestDatabase) -> None:
    assert database.password not in repr(database)


async def test_wrong_password_is_refused(server: Server) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn().replace(server.password, "wrong"))
