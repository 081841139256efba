"""Where no place has the password the user is asked: once, and in peace."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from pgmagic.database.passwords import Prompts
from pgmagic.database.pool import DatabasePool
from pgmagic.errors import ConnectFailed
from tests.pools import run, settings_for

# Nothing else that tests or their surroundings may know shall answer in the user's stead.
pytestmark = pytest.mark.usefixtures("no_passwords")


@pytest.fixture
def no_passwords(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))


class User:
    """Types the answers that a test gives it, one for each question."""

    def __init__(self, *answers: str | None) -> None:
        self.answers: Iterator[str | None] = iter(answers)
        self.asked: list[str] = []

    async def __call__(self, account: str) -> str | None:
        self.asked.append(account)
        await asyncio.sleep(0)
        return next(self.answers)


@pytest.fixture
async def pool(database) -> AsyncIterator:
    """A factory of pools on the test's database whose password only the user knows."""
    pools: list[DatabasePool] = []

    def make(prompts: Prompts | None, **changes) -> DatabasePool:
        settings = settings_for(database, password=None, **changes)
        pools.append(DatabasePool(settings, prompts=prompts))
        return pools[-1]

    yield make
    for made in pools:
        await made.close()


async def test_the_user_is_asked_once_however_many_cells_wait(pool, database):
    user = User(database.password)
    sales = pool(Prompts(user))
    assert await asyncio.gather(*(run(sales, "select 1") for _ in range(4))) == [1] * 4
    assert user.asked == [f"{database.user}@127.0.0.1:{database.port}/{database.name}"]


async def test_the_answer_outlives_its_pool(pool, database):
    user = User(database.password)
    prompts = Prompts(user)
    first = pool(prompts)
    await run(first, "select 1")
    await first.expire()
    await run(first, "select 1")
    await first.close()
    await run(pool(prompts), "select 1")
    assert len(user.asked) == 1


async def test_a_mistyped_password_is_asked_for_again_by_the_next_cell(pool, database):
    user = User("hunter2", database.password)
    sales = pool(Prompts(user))
    with pytest.raises(ConnectFailed, match="password authentication failed") as refused:
        await run(sales, "select 1")
    assert refused.value.sqlstate == "28P01"
    assert await run(sales, "select 1") == 1
    assert len(user.asked) == 2


async def test_no_time_runs_out_while_somebody_types(pool, database):
    async def slowly(account: str) -> str:
        await asyncio.sleep(0.4)
        return database.password

    assert await run(pool(Prompts(slowly), acquire_timeout=0.2), "select 1") == 1


async def test_no_time_of_another_database_runs_out_while_the_loop_stands_still(
    pool, database, second_database, fault_proxy
):
    proxy = await fault_proxy(second_database)
    proxy.latency = 0.03  # it is in the middle of its handshake when the question comes

    async def stand_still(account: str) -> str:
        await asyncio.sleep(0.03)
        time.sleep(1.7)  # noqa: ASYNC251  # as getpass does in a notebook
        return database.password

    prompts = Prompts(stand_still)
    other = DatabasePool(
        settings_for(second_database, by=proxy, acquire_timeout=1.5), prompts=prompts
    )
    try:
        assert await asyncio.gather(
            run(pool(prompts), "select 1"),
            run(other, "select 2"),
        ) == [1, 2]
    finally:
        await other.close()


@pytest.mark.parametrize("prompts", [None, Prompts(User(None))], ids=["no one", "no answer"])
async def test_where_nobody_can_be_asked_the_error_names_the_places(pool, prompts):
    with pytest.raises(ConnectFailed, match="the server wants a password") as error:
        await run(pool(prompts), "select 1")
    assert error.value.database == "sales"
    assert ".pgpass" in str(error.value.hint)
    assert "PGPASSWORD" in str(error.value.hint)


async def test_a_password_that_appears_meanwhile_is_taken(pool, database, monkeypatch):
    async def interrupted(account: str) -> None:
        return None

    sales = pool(Prompts(interrupted))
    with pytest.raises(ConnectFailed):
        await run(sales, "select 1")
    monkeypatch.setenv("PGPASSWORD", database.password)
    assert await run(sales, "select 1") == 1


async def test_no_question_counts_against_the_database(pool):
    sales = pool(Prompts(User(*[None] * 6)), fail_max=1)
    for _ in range(3):
        with pytest.raises(ConnectFailed):
            await run(sales, "select 1")
    assert sales.statistics().breaker == "closed"


async def test_what_was_typed_is_shown_nowhere(pool, database, caplog):
    caplog.set_level(logging.DEBUG)
    prompts = Prompts(User("hunter2", database.password))
    sales = pool(prompts)
    with pytest.raises(ConnectFailed) as refused:
        await run(sales, "select 1")
    await run(sales, "select 1")
    shown = f"{refused.value!r} {refused.value} {vars(sales)!r} {vars(prompts)!r} {caplog.text}"
    assert "hunter2" not in shown
    assert database.password not in shown


async def test_the_user_is_asked_behind_a_pooler_too(pool, database, pgbouncer):
    user = User("hunter2", database.password)
    where = {"host": pgbouncer.host, "port": pgbouncer.port}
    sales = pool(Prompts(user), **where)
    with pytest.raises(ConnectFailed, match="authentication failed"):
        await run(sales, "select 1")
    assert await run(sales, "select 1") == 1
    assert len(user.asked) == 2
    with pytest.raises(ConnectFailed, match="the server wants a password"):
        await run(pool(None, **where), "select 1")
