"""A client on the test's own databases."""

from collections.abc import AsyncIterator

import pytest

from pgmagic.client import Client
from pgmagic.database.settings import DatabaseSettings
from tests.servers import TestDatabase


def settings_of(name: str, database: TestDatabase, **settings) -> DatabaseSettings:
    """Say how to reach a test's database."""
    return DatabaseSettings(
        name=name,
        host=database.host,
        port=database.port,
        user=database.user,
        database=database.name,
        password=lambda: database.password,
        **settings,
    )


@pytest.fixture
async def client(database: TestDatabase, second_database: TestDatabase) -> AsyncIterator[Client]:
    """A client of `a` and `b`, on two servers, and of `down`, where nothing listens."""
    async with Client() as pg:
        await pg.add(settings_of("a", database))
        await pg.add(settings_of("b", second_database))
        await pg.add(
            DatabaseSettings(name="down", host="/nonexistent", user="nobody", database="none")
        )
        pg.groups["both"] = ("a", "b")
        yield pg
