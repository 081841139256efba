"""One cell on several databases: one frame, or one clean error."""

import asyncio
import time

import pandas as pd
import pytest

from pgmagic.errors import (
    CellError,
    ConnectFailed,
    FanOutError,
    NotCommitted,
    QueryError,
    QueryTimeout,
    UnknownDatabase,
)
from tests.server.conftest import settings_of

ASLEEP = (
    "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' "
    "and state = 'active' and pid <> pg_backend_pid()"
)


async def test_one_target_gives_its_frame(client):
    frame = await client.query("select 1 as one, 'x' as text", on="a")
    assert frame.to_dict("list") == {"one": [1], "text": ["x"]}


async def test_several_give_one_frame_in_the_order_written(client):
    slow_on_b = (
        "select current_database() as name, "
        "pg_sleep(case when {slow} = current_database() then 0.2 else 0 end)"
    )
    first = client.databases["b"].database
    frame = await client.query(slow_on_b, on=["b", "a"], values={"slow": first})
    assert list(frame["database"]) == ["b", "a"]
    assert list(frame["database"].cat.categories) == ["b", "a"]
    assert list(frame["name"]) == [first, client.databases["a"].database]


async def test_a_database_without_rows_is_a_category_all_the_same(client):
    frame = await client.query(
        "select 1 as one where current_database() = {name}",
        on="@both",
        values={"name": client.databases["b"].database},
    )
    assert list(frame["database"]) == ["b"]
    assert list(frame["database"].cat.categories) == ["a", "b"]


async def test_tag_and_split(client):
    tagged = await client.query("select 1 as one", on=["a", "b"], tag="airport")
    assert list(tagged.columns) == ["airport", "one"]
    split = await client.query("select 1 as one", on=["a", "b"], split=True)
    assert list(split) == ["a", "b"]
    pd.testing.assert_frame_equal(split["a"], split["b"])


async def test_columns_in_another_order_or_a_wider_type_are_merged(client):
    await client.query("create table t (n int4, x text)", on="a", write=True)
    await client.query("create table t (x varchar(9), n int8)", on="b", write=True)
    await client.query("insert into t (n, x) values (1, 'one')", on=["a", "b"], write=True)
    frame = await client.query("select * from t", on=["a", "b"])
    assert list(frame.columns) == ["database", "n", "x"]
    assert str(frame["n"].dtype) == "int64"
    assert list(frame["x"]) == ["one", "one"]


async def test_other_columns_are_refused_before_rows_are_read(client):
    await client.query("create table t (n int4, x text)", on="a", write=True)
    await client.query("create table t (n int4, y date)", on="b", write=True)
    with pytest.raises(FanOutError) as caught:
        await client.query("select * from t", on=["a", "b"])
    report = "\n".join(caught.value.report())
    assert report.count("ColumnsDiffer in a, b") == 1
    assert "x" in report
    assert "y" in report


async def test_others_answers_are_kept_where_one_fails(client):
    with pytest.raises(FanOutError) as caught:
        await client.query("select 1 as one", on=["a", "down", "b"])
    error = caught.value
    assert list(error.partial["database"]) == ["a", "b"]
    assert [failure.database for failure in error.failures] == ["down"]
    assert isinstance(error.failures[0].error, ConnectFailed)
    assert "2 of 3 databases answered" in str(error)


async def test_partial_returns_what_there_is(client):
    frame = await client.query("select 1 as one", on=["a", "down"], partial=True)
    assert list(frame["database"]) == ["a"]
    with pytest.raises(FanOutError):  # nothing at all is no part of anything
        await client.query("select nosuch", on=["a", "b"], partial=True)


async def test_retry_failed_asks_the_others_again_and_gives_all(client, second_database):
    await client.query("create table only_a as select 1 as n", on="a", write=True)
    with pytest.raises(FanOutError) as caught:
        await client.query("select n from only_a", on=["a", "b"])
    async with second_database.connection() as connection:
        await connection.execute("create table only_a as select 2 as n")
    frame = await caught.value.retry_failed()
    assert frame.values.tolist() == [["a", 1], ["b", 2]]


async def test_the_same_error_is_told_once_with_all_names(client):
    with pytest.raises(FanOutError) as caught:
        await client.query("select\n  nosuch", on=["a", "b"])
    report = caught.value.report()
    assert report[0].startswith('SQL error in a, b: column "nosuch" does not exist (42703')
    assert report[3].index("^") == report[2].index("nosuch")
    assert sum("nosuch" in line and "|" in line for line in report) == 1


async def test_one_target_raises_the_error_itself(client):
    with pytest.raises(QueryError) as caught:
        await client.query("select 1;\nselect nosuch", on="a")
    assert (caught.value.sqlstate, caught.value.database) == ("42703", "a")
    assert caught.value.cell[caught.value.position :] == "nosuch"


async def test_mistakes_are_found_before_any_connection(client):
    for sql, on in (("select {nosuch}", "a"), ("select 1", "c"), ("", "a"), (r"\copy t", "a")):
        with pytest.raises(CellError):
            await client.query(sql, on=on)
    with pytest.raises(UnknownDatabase, match="name a database"):
        await client.query("select 1")
    for option in ("limt", "background", "into", "stats"):  # a notebook's, but for the first
        with pytest.raises(TypeError, match=f"no option '{option}'"):
            await client.query("select 1", on="a", **{option: True})
    assert client.statistics() == ()


async def test_ten_targets_run_at_the_same_time(many_databases, client):
    names = []
    for number, database in enumerate(many_databases(10)):
        names.append(f"shard_{number}")
        await client.add(settings_of(names[-1], database))
    await client.query("select 1", on="shard_*")
    started = time.monotonic()
    frame = await client.query(
        "select clock_timestamp() as began, pg_sleep(0.5)", on="shard_*", tz="UTC"
    )
    assert len(frame) == 10
    spread = frame["began"].max() - frame["began"].min()
    assert spread < pd.Timedelta("0.5s")  # the last began before the first had ended
    assert time.monotonic() - started < 3


async def test_timeout_cancels_on_the_server(client, database):
    with pytest.raises(QueryTimeout, match=r"no answer within 0.2 s"):
        await client.query("select pg_sleep(30)", on="a", timeout=0.2)
    async with database.connection() as connection:
        assert await connection.fetchval(ASLEEP) == 0
    assert (await client.query("select 1 as one", on="a"))["one"].item() == 1


async def test_timeout_may_be_longer_than_the_settings_say(client, database):
    await client.add(settings_of("hasty", database, statement_timeout=0.1))
    with pytest.raises(QueryTimeout):
        await client.query("select pg_sleep(0.3)", on="hasty")
    await client.query("select pg_sleep(0.3)", on="hasty", timeout=5)


async def test_cancelling_cancels_on_every_server(client, database, second_database):
    task = asyncio.create_task(client.query("select pg_sleep(30)", on=["a", "b"]))
    async with database.connection() as one, second_database.connection() as two:
        while not (await one.fetchval(ASLEEP) and await two.fetchval(ASLEEP)):
            await asyncio.sleep(0.01)  # nothing tells when a backend begins
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await one.fetchval(ASLEEP) == 0
        assert await two.fetchval(ASLEEP) == 0
    assert [s.in_use for s in client.statistics()] == [0, 0]


async def test_a_write_commits_everywhere_or_nowhere(client):
    await client.query("create table t (n int primary key)", on=["a", "b"], write=True)
    await client.query("insert into t values (1)", on="b", write=True)
    with pytest.raises(FanOutError) as caught:
        await client.query("insert into t values (1)", on=["a", "b"], write=True)
    kinds = {f.database: type(f.error) for f in caught.value.failures}
    assert kinds == {"a": NotCommitted, "b": QueryError}
    assert (await client.query("select count(*) as n from t", on="a"))["n"].item() == 0


async def test_a_deferred_constraint_is_checked_before_anybody_commits(client):
    create = "create table t (n int, unique (n) deferrable initially deferred)"
    await client.query(create, on=["a", "b"], write=True)
    await client.query("insert into t values (1)", on="b", write=True)
    with pytest.raises(FanOutError):
        await client.query("insert into t values (1)", on=["a", "b"], write=True)
    assert (await client.query("select count(*) as n from t", on="a"))["n"].item() == 0


async def test_who_waits_for_the_others_is_not_timed_out(client, database, second_database):
    limit = {"idle_in_transaction_session_timeout": 0.3}
    await client.add(settings_of("fast", database, **limit))
    await client.add(settings_of("slow", second_database, **limit))
    await client.query("create table t (n int)", on=["fast", "slow"], write=True)
    sql = (
        "insert into t values (1); "
        "select pg_sleep(case current_database() when {slow} then 0.6 else 0 end)"
    )
    values = {"slow": second_database.name}
    await client.query(sql, on=["fast", "slow"], write=True, values=values)
    frame = await client.query("select n from t", on=["fast", "slow"])
    assert list(frame["n"]) == [1, 1]


async def test_a_procedure_with_rows_on_one_database_alone_is_one_error(client):
    await client.query(
        "create procedure p(inout n int) language sql as 'select 1'", on="a", write=True
    )
    await client.query("create procedure p(n int) language sql as 'select 1'", on="b", write=True)
    with pytest.raises(FanOutError, match="ColumnsDiffer"):
        await client.query("call p(1)", on=["a", "b"], write=True, timeout=10)
