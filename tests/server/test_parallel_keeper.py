"""A table read in parts, where the connection that keeps their snapshot is lost meanwhile."""

import asyncpg
import pytest

from pgmagic.parallel import ISOLATION, read_parts
from tests.pools import eventually

PARTS = ["one", "two"]  # so that one other connection wants to join


class Keeper:
    """A lease whose transaction has ended by the time that the others want its snapshot."""

    def __init__(self, database) -> None:
        self.connection = self
        self._database = database

    async def fetchval(self, sql: str) -> str:
        async with self._database.connection() as connection:
            await connection.execute(f"begin {ISOLATION}")
            return await connection.fetchval(sql)


async def test_a_snapshot_that_is_gone_is_for_its_keeper_to_tell(client, database) -> None:
    pool, keeper = client.pool("a"), Keeper(database)

    async def read(connection, part):
        assert connection is keeper, "nobody else is in the snapshot"
        await eventually(lambda: pool.statistics().idle == 1)  # the other has come and gone
        return part

    assert await read_parts(keeper, pool, PARTS, read) == PARTS


async def test_the_loss_of_the_keeper_is_what_is_raised(client, database) -> None:
    pool, keeper = client.pool("a"), Keeper(database)

    async def read(connection, part):
        await eventually(lambda: pool.statistics().idle == 1)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await read_parts(keeper, pool, PARTS, read)
