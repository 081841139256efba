"""What is sent with the first packet, and what is learnt when it is refused."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from pgmagic.database.connector import Connector
from pgmagic.database.endpoint import Endpoint
from pgmagic.database.settings import DatabaseSettings

CHECK = "client_connection_check_interval"
LIMITS = {"statement_timeout", "idle_in_transaction_session_timeout"}


class FakeConnection:
    """Stands in for a connection; `kept` are the settings that a pooler let through."""

    def __init__(self, *, forgotten: list[str]) -> None:
        self.forgotten = forgotten
        self.closed = False

    async def fetch(self, *_: object) -> list[str]:
        return self.forgotten

    async def prepare_for_use(self, init: tuple[str, ...]) -> None:
        self.init = init

    def setsockopt(self, *_: object) -> None:
        pass

    def terminate(self) -> None:
        self.closed = True


class FakeServer:
    """Takes connections, or refuses those that bring settings it does not know."""

    def __init__(self, refuses: Callable[[set[str]], asyncpg.PostgresError | None]) -> None:
        self.refuses = refuses
        self.forgets: list[str] = []
        self.brought: list[set[str]] = []
        self.cache_sizes: list[int] = []
        self.connections: list[FakeConnection] = []

    async def connect(self, endpoint: Endpoint, **options: Any) -> FakeConnection:
        names = set(endpoint.server_settings)
        self.brought.append(names)
        self.cache_sizes.append(options["statement_cache_size"])
        error = self.refuses(names)
        if error is not None:
            raise error
        connection = FakeConnection(forgotten=self.forgets)
        self.connections.append(connection)
        return connection


def error(sqlstate: str, message: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": sqlstate, "M": message, "S": "FATAL"})


def connector(server: FakeServer, **changes: Any) -> Connector:
    where = {"host": "/run", "user": "me", "database": "db", "password": lambda: "x"}
    settings = DatabaseSettings(name="sales", **(where | changes))
    return Connector(settings, connect=server.connect)


def older(names: set[str]) -> asyncpg.PostgresError | None:
    """PostgreSQL 13."""
    if CHECK in names:
        return error("42704", f'unrecognized configuration parameter "{CHECK}"')
    return None


def pooler(names: set[str]) -> asyncpg.PostgresError | None:
    refused = names - {"application_name"}
    if refused:
        return error("08P01", f"unsupported startup parameter: {min(refused)}")
    return None


async def test_an_older_server_goes_without_what_it_does_not_know() -> None:
    server = FakeServer(older)
    one = connector(server)
    await one.connect()
    await one.connect()
    assert [CHECK in names for names in server.brought] == [True, False, False]
    assert all(names >= LIMITS for names in server.brought)
    assert not one.pooled


async def test_a_setting_of_the_users_own_that_is_unknown_is_an_error() -> None:
    server = FakeServer(older)
    one = connector(server, options=f"-c {CHECK}=5000")
    with pytest.raises(asyncpg.UndefinedObjectError):
        await one.connect()
    assert len(server.brought) == 1


async def test_a_pooler_that_refuses_settings() -> None:
    server = FakeServer(pooler)
    one = connector(server, statement_timeout=2.5)
    await one.connect()
    assert one.pooled
    assert server.brought[-1] == {"application_name"}
    assert server.cache_sizes == [100, 0]
    assert "set local statement_timeout = 2500" in one.local_settings


async def test_a_pooler_that_swallows_settings() -> None:
    server = FakeServer(lambda names: None)
    server.forgets = ["statement_timeout"]
    one = connector(server)
    connection = await one.connect()
    assert one.pooled
    assert server.cache_sizes == [100, 0]
    assert one.local_settings
    assert [known.closed for known in server.connections] == [True, False]
    assert connection is server.connections[1]


async def test_no_pooler_is_suspected_where_the_user_says_there_is_none() -> None:
    with pytest.raises(asyncpg.ProtocolViolationError):
        await connector(FakeServer(pooler), pooler=False).connect()


async def test_other_refusals_are_errors() -> None:
    refusal = error("28P01", "password authentication failed")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connector(FakeServer(lambda names: refusal), password=lambda: "x").connect()
