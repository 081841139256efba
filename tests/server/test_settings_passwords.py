"""The password of the moment, on a real server."""

import logging

import asyncpg
import pytest

from pgmagic.database.connecting import connect
from pgmagic.database.resolver import resolve
from pgmagic.database.settings import DatabaseSettings


@pytest.fixture
def settings(database):
    def settings(**more) -> DatabaseSettings:
        place = {"host": database.host, "port": database.port}
        return DatabaseSettings(
            name="sales", **place, user=database.user, database=database.name, **more
        )

    return settings


async def who(endpoint) -> str:
    connection = await connect(endpoint)
    try:
        return await connection.fetchval("select current_user")
    finally:
        await connection.close(timeout=5)


async def test_a_rotated_password_is_used_by_the_next_connection(settings, database):
    passwords = iter(["stale", database.password])
    endpoint = resolve(settings(password=lambda: next(passwords)), environ={})
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(endpoint)
    assert await who(endpoint) == database.user


async def test_a_password_file_is_read_anew_for_each_connection(settings, database, tmp_path):
    endpoint = resolve(settings(), environ={}, home=tmp_path)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(endpoint)
    path = tmp_path / ".pgpass"
    path.touch(mode=0o600)
    path.write_text(f"*:*:*:*:{database.password}\n")
    assert await who(endpoint) == database.user


async def test_the_limits_hold_on_the_server(settings, database):
    endpoint = resolve(
        settings(statement_timeout=1.5, lock_timeout=0.25, password=lambda: database.password),
        environ={"PGOPTIONS": "-c idle_in_transaction_session_timeout=7s"},
    )
    connection = await connect(endpoint)
    try:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        held = [await connection.fetchval(f"show {name}") for name in names]
        await connection.execute("reset all")
        after = [await connection.fetchval(f"show {name}") for name in names]
    finally:
        await connection.close(timeout=5)
    assert held == after == ["1500ms", "250ms", "7s"]


async def test_no_password_is_logged_or_told(settings, database, caplog):
    caplog.set_level(logging.DEBUG)
    endpoint = resolve(settings(), environ={"PGPASSWORD": "hunter2"})
    with pytest.raises(asyncpg.InvalidPasswordError) as refusal:
        await connect(endpoint)
    assert "hunter2" not in str(refusal.value)
    assert "hunter2" not in caplog.text
