"""What a cell may change, what it leaves behind, and what a session keeps."""

import asyncio

import pytest

from pgmagic.errors import CellError, FanOutError, QueryError
from tests.server.conftest import settings_of

LIFTS = [
    "set transaction_read_only = off; insert into t values (1)",
    "set transaction read write; insert into t values (1)",
    "set local transaction_read_only = off; insert into t values (1)",
    "reset transaction_read_only; insert into t values (1)",
    "set session characteristics as transaction read write; insert into t values (1)",
    "select set_config('transaction_read_only', 'off', false); insert into t values (1)",
    "select set_config('transaction_read_only', 'off', false), 1; insert into t values (1)",
    "do $$ begin set transaction_read_only = off; insert into t values (1); end $$",
    "set default_transaction_read_only = off; insert into t values (1)",
    "with x as (insert into t values (1) returning 1) select * from x",
    "explain analyze insert into t values (1)",
    "select nextval('s')",
    "create table u (n int)",
    "truncate t",
]
# read_only_sql_transaction, or active_sql_transaction: it is too late to make it read and write.
REFUSED = ("25006", "25001", "0A000")  # the last from PostgreSQL 18 on, where none resets the mode


@pytest.fixture
async def table(client):
    await client.query("create table t (n int); create sequence s", on=["a", "b"], write=True)


async def count(client, on="a"):
    return (await client.query("select count(*) as n from t", on=on))["n"].item()


@pytest.mark.parametrize("sql", LIFTS)
@pytest.mark.usefixtures("table")
async def test_a_cell_is_read_only_and_can_not_lift_it(client, sql):
    with pytest.raises(QueryError) as caught:
        await client.query(sql, on="a")
    assert caught.value.sqlstate in REFUSED
    assert "--write" in (caught.value.hint or "--write")
    assert await count(client) == 0


@pytest.mark.parametrize("sql", LIFTS)
@pytest.mark.usefixtures("table")
async def test_a_statement_on_its_own_can_not_lift_it_either(client, sql):
    with pytest.raises(QueryError) as caught:
        await client.query(sql, on="a", autocommit=True)
    assert caught.value.sqlstate in REFUSED
    assert await count(client) == 0


@pytest.mark.usefixtures("table")
async def test_write_opens_one_cell_and_the_setting_a_database(client, database):
    await client.query("insert into t values (1)", on="a", write=True)
    with pytest.raises(QueryError):
        await client.query("insert into t values (2)", on="a")
    await client.add(settings_of("open", database, read_only=False))
    await client.query("insert into t values (3)", on="open")
    assert await count(client) == 2


@pytest.mark.usefixtures("table")
async def test_the_setting_does_not_open_several_databases(client, database, second_database):
    await client.add(settings_of("one", database, read_only=False))
    await client.add(settings_of("two", second_database, read_only=False))
    with pytest.raises(FanOutError, match="25006"):
        await client.query("insert into t values (1)", on=["one", "two"])


@pytest.mark.usefixtures("table")
async def test_every_row_of_several_databases_needs_to_be_meant(client):
    for sql in ("delete from t", "update t set n = 1", "truncate t"):
        with pytest.raises(CellError, match="without WHERE would change every row on 2"):
            await client.query(sql, on=["a", "b"], write=True)
        await client.query(sql, on=["a", "b"], write=True, all_rows=True)
        await client.query(sql, on="a", write=True)


@pytest.mark.parametrize(
    "sql", ["vacuum t", "analyze t", "reindex table t", "copy t to '/tmp/t'", "notify x"]
)
async def test_what_read_only_does_not_stop_is_refused_before_it_is_sent(client, sql):
    with pytest.raises(CellError, match="this cell is read only"):
        await client.query(sql, on="a")
    assert client.statistics() == ()


@pytest.mark.usefixtures("table")
async def test_several_statements_are_all_or_nothing(client):
    with pytest.raises(QueryError):
        await client.query("insert into t values (1); select 1/0", on="a", write=True)
    assert await count(client) == 0
    with pytest.raises(QueryError):
        await client.query(
            "insert into t values (1); select 1/0", on="a", write=True, autocommit=True
        )
    assert await count(client) == 1


@pytest.mark.usefixtures("table")
async def test_what_can_not_run_in_a_transaction(client):
    await client.query("vacuum t", on="a", write=True)
    await client.query("vacuum t; analyze t", on="a", write=True, autocommit=True)
    with pytest.raises(CellError, match="VACUUM can't run in a transaction"):
        await client.query("insert into t values (1); vacuum t", on="a", write=True)
    with pytest.raises(CellError, match="VACUUM writes, and this cell is read only"):
        await client.query("vacuum t", on="a")
    await client.query(
        "create procedure p() language plpgsql as "
        "$$ begin insert into t values (1); commit; end $$",
        on="a",
        write=True,
    )
    with pytest.raises(QueryError) as caught:  # only the server knows
        await client.query("insert into t values (1); call p()", on="a", write=True)
    assert caught.value.sqlstate == "2D000"
    assert await count(client) == 0
    await client.query("call p()", on="a", write=True)
    assert await count(client) == 1


async def test_the_last_statement_with_rows_is_the_result(client):
    sql = "select 1 as one; select 2 as two; set local work_mem = '4MB'"
    assert list(await client.query(sql, on="a")) == ["two"]
    everything = await client.query(sql, on="a", all=True)
    assert [list(frame) for frame in everything] == [["one"], ["two"]]
    assert await client.query("set local work_mem = '4MB'", on="a") is None


async def test_transactions_need_a_session(client):
    with pytest.raises(CellError, match="BEGIN needs a session"):
        await client.query("begin; select 1", on="a")


LEAKS = {
    "temporary table": (
        "create temp table leak as select 1",
        "select to_regclass('leak') is not null",
    ),
    "setting": ("set work_mem = '123MB'", "select current_setting('work_mem') = '123MB'"),
    "role": ("create role leaky; set role leaky", "select current_user = 'leaky'"),
    "advisory lock": (
        "select pg_advisory_lock(4711)",
        "select exists (select from pg_locks where locktype = 'advisory')",
    ),
    "listen": ("listen leak", "select exists (select pg_listening_channels())"),
    "prepared statement": (
        "prepare leak as select 1",
        "select exists (select from pg_prepared_statements where name = 'leak')",
    ),
    "cursor": (
        "declare leak cursor with hold for select 1",
        "select exists (select from pg_cursors where name = 'leak')",
    ),
    "sequence": (
        "create temp sequence leak; select nextval('leak')",
        "select to_regclass('leak') is not null",
    ),
}


@pytest.mark.parametrize("what", LEAKS)
async def test_nothing_leaks_into_the_next_cell(client, database, what):
    await client.add(settings_of("one", database, max_size=1))
    leave, look = LEAKS[what]
    await client.query(leave, on="one", write=True)
    left = await client.query(f"{look} as there", on="one")
    assert not left["there"].item()
    if what == "role":
        await client.query("drop role leaky", on="one", write=True)


@pytest.mark.parametrize(
    "what", ["temporary table", "setting", "advisory lock", "prepared statement"]
)
async def test_a_session_keeps_it(client, what):
    leave, look = LEAKS[what]
    await client.query(leave, on="a", write=True, session="mine")
    kept = await client.query(f"{look} as there", on="a", session="mine")
    assert kept["there"].item()
    assert [s.name for s in client.statistics()[0].sessions] == ["mine"]
    await client.close_session("mine", "a")
    assert client.statistics()[0].sessions == ()


@pytest.mark.usefixtures("table")
async def test_a_transaction_lasts_from_cell_to_cell_of_a_session(client):
    session = {"on": "a", "session": "mine", "write": True}
    await client.query("begin", **session)
    await client.query("insert into t values (1)", **session)
    assert await count(client) == 0
    await client.query("savepoint here; insert into t values (2); rollback to here", **session)
    await client.query("commit", **session)
    assert await count(client) == 1


@pytest.mark.parametrize("sql", LIFTS)
@pytest.mark.usefixtures("table")
async def test_a_session_is_read_only_without_write(client, sql):
    for before in ("select 1", "begin", "begin read write", "start transaction"):
        await client.query(before, on="a", session="mine")
        with pytest.raises(QueryError) as caught:
            await client.query(sql, on="a", session="mine")
        assert caught.value.sqlstate in REFUSED
        await client.close_session("mine", "a")
    assert await count(client) == 0


@pytest.mark.usefixtures("table")
async def test_a_cell_that_may_not_write_can_not_in_a_transaction_that_may(client):
    session = {"on": "a", "session": "mine"}
    await client.query("begin; insert into t values (1)", **session, write=True)
    assert len(await client.query("select * from t", **session)) == 1
    await client.query("set local work_mem = '5MB'", **session)
    await client.query("insert into t values (2)", **session, write=True)  # it still may
    with pytest.raises(QueryError) as caught:
        await client.query("insert into t values (3)", **session)
    assert caught.value.sqlstate == "25006"
    await client.query("rollback", **session)
    await client.query("begin", **session)
    with pytest.raises(QueryError) as caught:
        await client.query("insert into t values (4)", **session, write=True)
    assert "begun read only" in caught.value.hint


@pytest.mark.usefixtures("table")
async def test_analyze_never_leaves_a_write(client, database):
    await client.add(settings_of("open", database, read_only=False))
    for further in ({"autocommit": True}, {"session": "mine"}):
        with pytest.raises(CellError, match="takes no --session and no --autocommit"):
            await client.query("insert into t values (1)", on="open", analyze=True, **further)
    await client.query("insert into t values (1)", on="open", analyze=True)
    assert await count(client) == 0


async def test_a_failed_cell_leaves_its_session_usable(client):
    with pytest.raises(QueryError):
        await client.query("select 1/0", on="a", session="mine")
    assert (await client.query("select 1 as n", on="a", session="mine"))["n"].item() == 1
    task = asyncio.create_task(client.query("select pg_sleep(30)", on="a", session="mine"))
    while not client.statistics()[0].running:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.query("select 1 as n", on="a", session="mine"))["n"].item() == 1


async def test_copy_to_stdout_is_a_text(client):
    sql = "copy (select 1, 'é') to stdout (format csv)"
    assert await client.query(sql, on="a") == "1,é\n"
    assert await client.query(sql, on=["a", "b"]) == {"a": "1,é\n", "b": "1,é\n"}
    with pytest.raises(CellError, match="bytes that are no text"):
        await client.query("copy (select 200::int8) to stdout (format binary)", on="a")


async def test_copy_from_stdin_is_refused(client):
    with pytest.raises(CellError, match="waits for data"):
        await client.query("copy t from stdin", on="a", write=True)


async def test_values_are_bound_and_cast_where_the_server_can_not_tell(client):
    values = {"n": 3, "x": "o'x", "ids": [1, 2, 3], "none": None, "d": {"k": [1]}}
    frame = await client.query(
        "select {n} as n, {x} as x, {n} = any({ids}) as found, {none} is null as missing, "
        "jsonb_build_object('a', {n}) as j, {d}::jsonb as d where {n} + {n} = 6",
        on=["a", "b"],
        values=values,
    )
    assert frame.iloc[0, 1:].to_list() == [3, "o'x", True, True, {"a": 3}, {"k": [1]}]


async def test_a_cast_does_not_cost_the_transaction(client):
    frame = await client.query(
        "select 1; select {x} as x, {n} as n; select {y} as y",
        on="a",
        values={"x": "a", "n": 1, "y": 2},
    )
    assert frame["y"].item() == 2


async def test_error_is_found_behind_a_bound_value(client):
    sql = "select 1;\nselect {long_name}, {n} + nosuch"
    with pytest.raises(QueryError) as caught:
        await client.query(sql, on="a", values={"long_name": "x", "n": 1})
    assert caught.value.cell[caught.value.position :] == "nosuch"
    assert caught.value.statement is not None
