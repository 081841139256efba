"""A server that has no binary COPY gives the same frames, by another way."""

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pgmagic.client import Client
from pgmagic.columns import abilities
from pgmagic.errors import PgMagicError, QueryError, QueryTimeout, ResultTooLarge
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.watch import Watch
from tests.proxy import FaultProxy, StartProxy
from tests.servers import TestDatabase

VALUES = """
select n, case when n > 1 then n / 8.0 end as x, (n * 1.5)::float8 as f, 'row ' || n as t,
    date '2026-11-30' + n as d, timestamptz '2026-11-30 12:00+00' + n * interval '1 hour' as at,
    array[n, null] as a, format('{"n": %s}', n)::jsonb as j, int4range(n, n + 2) as r,
    '10.0.0.1'::inet + n as i, interval '1 month' * n as v, n % 2 = 0 as b,
    sha256(n::text::bytea) as y, (n, 'x')::pair as p, 'sad'::mood as m
from generate_series(1, 2500) n
"""
CELLS = [
    VALUES,
    VALUES + " limit 0",
    "select {n} + 1 as n, {s}::text as s, {days} as days",
    "select null as a, null::int as b, 1 as b, 1 as b",
    "select 1; select 2 as x; select n from t order by n",
    "table t",
    "values (1, 'x'), (2, null)",
    "with recursive r as (select 1 as n union all select n + 1 from r where n < 9) select * from r",
    "show server_encoding",
    "explain (costs off) select 1",
]
NAMESPACE = {"n": 41, "s": r"o'x\y", "days": [1, None]}


@pytest.fixture
async def proxy(database: TestDatabase, fault_proxy: StartProxy) -> FaultProxy:
    proxy = await fault_proxy(database)
    proxy.no_copy = True
    return proxy


@pytest.fixture
async def client(client: Client, proxy: FaultProxy) -> Client:
    """A client for which `old` is the database `a`, behind what does not know the format."""
    far = replace(
        client.databases["a"], name="old", host="127.0.0.1", port=proxy.port, sslmode="disable"
    )
    await client.add(far)
    await client.query(
        "create type mood as enum ('sad', 'ok'); create type pair as (a int, b text);"
        "create table t (n int primary key); insert into t select generate_series(1, 5000)",
        on="a",
        write=True,
    )
    return client


@pytest.mark.parametrize("sql", CELLS)
async def test_its_frames_are_the_same(client: Client, sql: str) -> None:
    values = NAMESPACE if "{s}" in sql else {}
    expected = await client.query(sql, on="a", values=values)
    for _ in range(2):  # the first question is the one that learns it
        frame = await client.query(sql, on="old", values=values)
        pd.testing.assert_frame_equal(frame, expected)
    assert client.pool("old").has_copy is False
    assert client.pool("a").has_copy is True


async def test_it_may_stand_among_others(client: Client) -> None:
    frame = await client.query(VALUES, on=["a", "old"])
    one, other = (frame[frame["database"] == name] for name in ("a", "old"))
    pd.testing.assert_frame_equal(
        one.drop(columns="database"), other.drop(columns="database").reset_index(drop=True)
    )


@pytest.mark.parametrize(
    "options",
    [{"limit": 7}, {"as_": "arrow"}, {"timeout": 30.0}, {"parallel": 3}, {"dtypes": "arrow"}],
)
async def test_with_the_options_of_a_cell(client: Client, options: dict[str, object]) -> None:
    expected = await client.query("select n, n::text as t from t", on="a", **options)
    frame = await client.query("select n, n::text as t from t", on="old", **options)
    if options == {"as_": "arrow"}:
        assert frame.equals(expected)
    else:
        pd.testing.assert_frame_equal(frame, expected)


async def test_to_a_file(client: Client, tmp_path: Path) -> None:
    await client.query("select n from t order by n", on="old", to=str(tmp_path / "t.parquet"))
    assert pq.read_table(tmp_path / "t.parquet")["n"].to_pylist() == list(range(1, 5001))


async def test_in_a_snapshot(client: Client) -> None:
    async with client.snapshot("old", seconds=60):
        await client.query("delete from t", on="a", write=True)
        assert len(await client.query("select n from t", on="old")) == 5000
    assert len(await client.query("select n from t", on="old")) == 0


async def test_what_is_written_is_written_once(client: Client) -> None:
    sql = "insert into t select 10000 + n from generate_series(1, 3) n returning n, int4range(n, n)"
    expected = "insert into t values (20001) returning n"
    frame = await client.query(sql, on="old", write=True)
    assert frame["n"].tolist() == [10001, 10002, 10003]
    frame = await client.query(f"select 1; {expected}", on="old", write=True)
    assert frame["n"].tolist() == [20001]
    frame = await client.query("select count(*) as n from t where n > 5000", on="a")
    assert frame["n"].tolist() == [4]


async def test_a_session_keeps_its_transaction(client: Client) -> None:
    # The first question of all is asked within the session, in front of the user's BEGIN.
    for sql in ("begin", "insert into t values (0) returning n", "select n from t where n < 2"):
        await client.query(sql, on="old", session="s", write=True)
    frame = await client.query("select n from t where n < 2 order by n", on="old", session="s")
    assert frame["n"].tolist() == [0, 1]
    await client.query("commit", on="old", session="s", write=True)
    frame = await client.query("select n from t where n < 2 order by n", on="a")
    assert frame["n"].tolist() == [0, 1]


async def test_an_error_points_to_its_place(client: Client) -> None:
    with pytest.raises(QueryError) as refusal:
        await client.query("select n,\n  1 / (n - 5) from t where m = 1", on="old")
    assert refusal.value.sqlstate == "42703"
    with pytest.raises(QueryError, match="division by zero"):
        await client.query("select 1 / (n - 4000) from t", on="old")
    assert (await client.query("select 1 as n", on="old"))["n"].tolist() == [1]


async def test_too_large_a_result_is_stopped(client: Client) -> None:
    client.max_result_bytes = 1 << 20
    with pytest.raises(ResultTooLarge, match=r"stopped after [\d,]+ rows"):
        await client.query("select repeat('x', 1000), generate_series(1, 1000000000)", on="old")


async def test_a_large_result_says_once_why_it_is_slow(client: Client) -> None:
    async def notes(on: str) -> tuple[str, ...]:
        sql = "select n from generate_series(1, 100000) n"
        return (await client.run(client.plan(Cell(sql=sql, targets=(on,)), {}))).notes

    assert await notes("a") == ()
    assert await notes("old") == ("old has no binary COPY: its rows come by a slower way",)
    assert await notes("old") == ()


async def test_each_new_connection_asks_again(client: Client, proxy: FaultProxy) -> None:
    pool = client.pool("old")
    await client.query("select 1", on="old")
    assert pool.has_copy is False
    proxy.no_copy = False
    await client.query("select 1", on="old")
    assert pool.has_copy is False  # the connection knows what it was told
    await pool.settle()
    await pool.close_idle()
    await asyncio.gather(*(client.query("select 1", on="old") for _ in range(4)))
    assert pool.has_copy is True


async def test_a_cursor_stands_in_no_ones_way(client: Client) -> None:
    await client.query("select n from t; truncate t", on="old", write=True)
    await client.query("begin", on="old", session="s", write=True)
    for options in ({}, {"limit": 1}):
        await client.query(
            "insert into t select generate_series(1, 5000)", on="old", session="s", write=True
        )
        await client.query("select n from t", on="old", session="s", write=True, **options)
        await client.query("truncate t", on="old", session="s", write=True)
    await client.query("commit", on="old", session="s", write=True)


@pytest.mark.parametrize("on", ["old", "a"])
@pytest.mark.parametrize("how", ["too large", "out of time", "cancelled"])
async def test_what_is_stopped_in_a_users_transaction_is_not_committed_by_it(
    client: Client, on: str, how: str
) -> None:
    """As after any error, the transaction takes nothing but its end."""
    await client.query("truncate t; begin", on=on, session="s", write=True)
    await client.query("set local statement_timeout = '300ms'", on=on, session="s", write=True)
    sql = "insert into t select generate_series(1, 90000) returning n, repeat('x', 99)"
    if how != "too large":
        sql = f"with new as ({sql}) select *, pg_sleep(0.0001) from new"
    client.max_result_bytes = 1 << 16 if how == "too large" else 0
    watch, options = Watch(), Options(session="s", write=True)
    plan = client.plan(Cell(sql=sql, targets=(on,), options=options), {})
    running = asyncio.create_task(client.run(plan, watch))
    if how == "cancelled":
        while not running.done() and not (on in watch.progress and watch.progress[on].rows):
            await asyncio.sleep(0.01)
        running.cancel()
    with pytest.raises((ResultTooLarge, QueryTimeout, asyncio.CancelledError)):
        await running
    with pytest.raises(QueryError, match="25P02"):
        await client.query("select 1", on=on, session="s", write=True)
    await client.query("commit", on=on, session="s", write=True)
    assert len(await client.query("select n from t", on="a")) == 0


async def test_large_rows_come_a_few_at_once(client: Client) -> None:
    client.max_result_bytes = 2 << 20
    sql = "select repeat(md5(n::text), 12500) from generate_series(1, 1000) n"  # of 400 kB
    with pytest.raises(ResultTooLarge, match=r"stopped after \d rows"):
        await client.query(sql, on="old")


async def test_a_row_that_is_much_larger_than_those_before_it(client: Client) -> None:
    client.max_result_bytes = 2 << 20
    sql = (
        "select case when n < 900 then 'x' else repeat(md5(n::text), 12500) end "
        "from generate_series(1, 3000) n"
    )
    with pytest.raises(ResultTooLarge) as failure:
        await client.query(sql, on="old")
    found = re.search(r"stopped after ([\d,]+) rows", str(failure.value))
    assert found is not None
    assert 900 <= int(found[1].replace(",", "")) < 1150


SLOW = "select n, pg_sleep(0.0005) from generate_series(1, 3000) n"  # longer than a second


@pytest.mark.parametrize("options", [{}, {"write": True}])
async def test_the_servers_limit_is_for_all_of_a_statement(
    client: Client, options: dict[str, bool]
) -> None:
    await client.add(replace(client.databases["old"], name="hasty", statement_timeout=1.0))
    with pytest.raises(QueryTimeout, match="statement_timeout of 1 s"):
        await client.query(SLOW, on="hasty", **options)
    assert (await client.query("select 1 as n", on="hasty"))["n"].tolist() == [1]


async def test_the_servers_limit_is_the_one_that_holds(client: Client) -> None:
    await client.add(replace(client.databases["old"], name="hasty", statement_timeout=1.0))
    await client.add(replace(client.databases["old"], name="patient", statement_timeout=0.0))
    assert len(await client.query(SLOW, on="patient")) == 3000
    assert len(await client.query(SLOW, on="hasty", timeout=30.0)) == 3000
    longer = f"set local statement_timeout = '10s'; {SLOW}"
    assert len(await client.query(longer, on="hasty", write=True)) == 3000
    with pytest.raises(QueryTimeout, match="statement_timeout of 1 s"):
        await client.query(f"set statement_timeout = '1s'; {SLOW}", on="patient", session="s")


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_a_network_that_dies_holds_nobody_up(
    client: Client, proxy: FaultProxy, session: str | None, how: str
) -> None:
    watch = Watch()
    options = Options(write=True, session=session, timeout=2.0 if how == "out of time" else None)
    sql = "select n, pg_sleep(0.001) from generate_series(1, 100000) n"
    plan = client.plan(Cell(sql=sql, targets=("old",), options=options), {})
    running = asyncio.create_task(client.run(plan, watch))
    async with asyncio.timeout(10):
        while "old" not in watch.progress or not watch.progress["old"].rows:
            await asyncio.sleep(0.01)
        proxy.blackhole = True
        if how == "cancelled":
            running.cancel()
        with pytest.raises((asyncio.CancelledError, QueryTimeout)):
            await running


RULE = """
create table noted (n int); create table notes (n int);
create rule noting as on insert to noted do also insert into notes values (new.n)
"""


@pytest.mark.parametrize("way", ["alone", "among others", "with a limit of time"])
async def test_a_table_with_rules_gives_its_rows_by_the_same_way(client: Client, way: str) -> None:
    """Binary COPY is there, but can't carry what has been rewritten to two statements."""
    await client.query(RULE, on="a", write=True)
    sql = "insert into noted values ({n}), (2) returning n, int4range(n, 9) as r"
    sql = f"select 1; {sql}" if way == "among others" else sql
    options = {"timeout": 30.0} if way == "with a limit of time" else {}
    frame = await client.query(sql, on="a", values={"n": 1}, write=True, **options)
    assert frame["n"].tolist() == [1, 2]
    frame = await client.query("select n from notes order by n", on="a")
    assert frame["n"].tolist() == [1, 2]
    assert client.pool("a").has_copy is True


async def test_a_table_with_rules_leaves_a_users_transaction_open(client: Client) -> None:
    await client.query(RULE, on="a", write=True)
    await client.query("begin; savepoint mine", on="a", session="s", write=True)
    for n in (1, 2):
        await client.query(
            "insert into noted values ({n}) returning n",
            on="a",
            session="s",
            values={"n": n},
            write=True,
        )
    await client.query("insert into t values (0) returning n", on="a", session="s", write=True)
    await client.query("rollback to mine", on="a", session="s", write=True)
    await client.query(
        "insert into noted values (3) returning n; commit", on="a", session="s", write=True
    )
    frame = await client.query("select n from notes", on="a")
    assert frame["n"].tolist() == [3]


async def test_a_users_own_refusal_is_told_and_runs_once(client: Client) -> None:
    await client.query(
        "create sequence runs; create function refuse() returns trigger language plpgsql as "
        "$$ begin perform nextval('runs'); raise 'no' using errcode = '0A000'; end $$;"
        "create trigger refusing before insert on t for each row execute function refuse()",
        on="a",
        write=True,
    )
    with pytest.raises(QueryError, match=r"no \(0A000"):
        await client.query("insert into t values (0) returning n", on="a", write=True)
    frame = await client.query("select last_value as n from runs", on="a")
    assert frame["n"].tolist() == [1]


LATE = """
create table late (n int primary key);
create function doze() returns trigger language plpgsql as
    $$ begin perform pg_sleep(1.5); return null; end $$;
create constraint trigger dozing after insert on late deferrable initially deferred
    for each row execute function doze();
create table strict (n int references late deferrable initially deferred)
"""
CURSOR = "insert into late values (1) returning n, int4range(n, n)"  # COPY has no such column


async def committing(client: Client, database: TestDatabase) -> None:
    """Wait until the table's only row is on its way to be committed."""
    async with asyncio.timeout(10), database.connection() as connection:
        while not await connection.fetchval(
            "select count(*) from pg_stat_activity where query = 'commit' and state = 'active'"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cut", [True, False])
async def test_a_write_that_is_stopped_in_its_commit_is_not_sent_again(
    client: Client, proxy: FaultProxy, database: TestDatabase, cut: bool
) -> None:
    proxy.no_copy = False
    await client.query(LATE, on="a", write=True)
    running = asyncio.create_task(client.query(CURSOR, on="old", write=True))
    await committing(client, database)
    proxy.blackhole = True
    running.cancel()
    if cut:  # while it waits for the server to settle
        await asyncio.sleep(0.1)
        proxy.reset_all()
        proxy.blackhole = False
    with pytest.raises(asyncio.CancelledError):
        await running
    proxy.blackhole = False
    async with asyncio.timeout(10), database.connection() as connection:
        while await connection.fetchval(
            "select count(*) from pg_stat_activity where state = 'active' "
            "and datname = current_database() and pid <> pg_backend_pid()"
        ):
            await asyncio.sleep(0.01)
        assert await connection.fetchval("select count(*) from late") <= 1


async def test_a_commit_may_take_longer_than_a_statement(client: Client) -> None:
    await client.query(LATE, on="a", write=True)
    await client.add(replace(client.databases["a"], name="hasty", statement_timeout=1.0))
    assert (await client.query(CURSOR, on="hasty", write=True))["n"].tolist() == [1]


async def test_a_commit_that_is_refused_is_one_error(client: Client) -> None:
    await client.query(LATE, on="a", write=True)
    sql = "insert into strict values (7) returning n, int4range(n, n)"
    plan, watch = (
        client.plan(Cell(sql=sql, targets=("a",), options=Options(write=True)), {}),
        Watch(),
    )
    with pytest.raises(QueryError, match="foreign key"):
        await client.run(plan, watch)
    assert watch.outcomes["a"].notices == ()


async def test_each_connection_knows_its_own_server(client: Client, proxy: FaultProxy) -> None:
    """Behind one name may be several servers."""
    pool = client.pool("old")
    async with AsyncExitStack() as elsewhere:
        async with pool.acquire() as old:
            await client.query("select 1", on="old")
            assert pool.has_copy is False
            await pool.settle()
            await pool.close_idle()
            proxy.no_copy = False
            await client.query("select 1", on="old")
            assert pool.has_copy is True
            await pool.settle()
            new = await elsewhere.enter_async_context(pool.acquire())
            old.itself.has_copy = False  # as its server would have said
        await pool.settle()
        proxy.no_copy = True
        assert (await client.query("select 1 as n", on="old"))["n"].tolist() == [1]
        assert new.itself.has_copy is True


async def test_rules_that_cant_be_asked_for_may_be_there(client: Client) -> None:
    await client.query(
        "revoke select on pg_rewrite from public; grant all on t to public; "
        "create role limited in role pg_read_all_settings",
        on="a",
        write=True,
    )
    try:
        await client.add(replace(client.databases["a"], name="poor", init=("set role limited",)))
        sql = "insert into t values (0) returning n"
        assert (await client.query(sql, on="poor", write=True))["n"].tolist() == [0]
    finally:
        await client.query("drop owned by limited; drop role limited", on="a", write=True)


@pytest.mark.parametrize("on", ["old", "a"])
async def test_what_is_committed_is_not_told_as_too_large(client: Client, on: str) -> None:
    """Its last rows take more room as columns than they took on the wire."""
    client.max_result_bytes = 40_000
    nulls = ", ".join(["null::uuid"] * 10)
    sql = f"insert into t select generate_series(5001, 5400) returning {nulls}"
    assert len(await client.query(sql, on=on, write=True)) == 400


async def test_a_server_that_does_not_tell_its_limit(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abilities, "LIMIT", "select no_such_function()")
    for options in ({}, {"write": True}):
        assert len(await client.query("select n from t", on="old", **options)) == 5000
    # Only of a server without COPY is it not taken for granted.
    async with client.pool("old").acquire() as lease:
        assert lease.itself.tells_limit is False


@pytest.mark.parametrize("session", [None, "s"])
async def test_a_connection_that_is_given_up_is_told_as_lost(
    client: Client, session: str | None
) -> None:
    watch = Watch()
    options = Options(write=True, session=session)
    plan = client.plan(Cell(sql=SLOW, targets=("old",), options=options), {})
    running = asyncio.create_task(client.run(plan, watch))
    async with asyncio.timeout(10):
        while "old" not in watch.progress or not watch.progress["old"].rows:
            await asyncio.sleep(0.01)
    client.pool("old").terminate()
    with pytest.raises(PgMagicError) as failure:
        await running
    assert "AttributeError" not in str(failure.value)
