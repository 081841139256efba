"""A connection that is lost between the columns of a result and its rows, or behind them."""

import pytest

from pgmagic import execution
from pgmagic.errors import ConnectionLost

COPIED = "select 1 as one"
FETCHED = "values (1)"


@pytest.fixture
def lost_once(monkeypatch):
    """Lose the first connection as soon as its columns are known; give where that happened."""
    describe, lost = execution.describe, []

    async def described(connection, *rest):
        columns = await describe(connection, *rest)
        if not lost:
            lost.append(connection)
            connection.terminate()
        return columns

    monkeypatch.setattr(execution, "describe", described)
    return lost


@pytest.mark.parametrize("sql", [COPIED, FETCHED, "explain select 1"])
async def test_a_read_is_sent_again(client, lost_once, sql):
    assert len(await client.query(sql, on="a"))
    assert len(lost_once) == 1


async def test_the_others_wait_for_it(client, lost_once):
    frame = await client.query(COPIED, on=["a", "b"])
    assert list(frame["one"]) == [1, 1]


async def test_a_session_says_that_it_is_lost(client, lost_once):
    with pytest.raises(ConnectionLost) as caught:
        await client.query(COPIED, on="a", session="s")
    assert caught.value.database == "a"


async def test_a_write_that_was_not_sent_is_done_once(client, lost_once):
    await client.query("create table t (n int)", on="a", write=True)
    await client.query("insert into t values (1) returning n", on="a", write=True)
    assert len(lost_once) == 1
    assert list((await client.query("select n from t", on="a"))["n"]) == [1]


async def test_a_connection_lost_after_the_answer_changes_nothing(client, monkeypatch):
    run_all = execution.Execution._all

    async def lost_at_the_end(self, lease):
        results = await run_all(self, lease)
        lease.connection.terminate()
        return results

    monkeypatch.setattr(execution.Execution, "_all", lost_at_the_end)
    assert list((await client.query(COPIED, on="a"))["one"]) == [1]
    await client.query("create table t (n int)", on="a", write=True)
