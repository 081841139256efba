"""What was recorded is asked again: what is the same, what has changed, what can't be known."""

from functools import partial

import pytest

from pgmagic.columns import Verdict
from pgmagic.errors import UnknownDatabase
from pgmagic.recording import Room
from pgmagic.verification import verify
from tests.recorded import record

FLIGHTS = """
create table flights (id int primary key, carrier text not null, delay float8, at timestamptz);
insert into flights select n, (array['AA', 'B6', 'DL'])[n % 3 + 1], n / 2.0,
    '2013-07-01 12:00+00'::timestamptz + n * interval '1 hour'
from generate_series(1, 12) n
"""
BY_CARRIER = "select carrier, avg(delay) as delay from flights group by carrier"


@pytest.fixture
async def flights(client):
    for name in ("a", "b"):
        await client.query(FLIGHTS, on=name, write=True)
    return client


@pytest.fixture
def keep(flights, tmp_path):
    """Run a cell and record what came, as in a notebook's third cell."""
    return partial(record, flights, tmp_path, number=3)


async def checked(client, recording, **options):
    [check] = [each async for each in verify(client, [recording], **options)]
    return check


def told(check):
    return [
        (each.database, c.what, c.row, c.column, c.before, c.after)
        for each in check.checks
        for c in each.changes
    ]


async def test_the_same_until_one_row_of_one_database_changes(flights, keep):
    recording = await keep("a b", "select * from flights")
    check = await checked(flights, recording)
    assert (check.verdict, check.what) == (Verdict.SAME, "")
    assert check.cell == "[3] select * from flights"
    await flights.query("update flights set delay = 99 where id = 7", on="b", write=True)
    check = await checked(flights, recording)
    assert check.verdict is Verdict.CHANGED
    assert check.what == "b: 1 row of 12 changed in delay"
    assert told(check) == [("b", "value", "id = 7", "delay", "3.5", "99")]
    assert [each.verdict for each in check.checks] == [Verdict.SAME, Verdict.CHANGED]


async def test_groups_are_named_by_what_they_are_grouped_by(flights, keep):
    recording = await keep("a", BY_CARRIER)
    await flights.query("delete from flights where id = 12", on="a", write=True)
    check = await checked(flights, recording)
    [(database, what, row, column, _, _)] = told(check)
    assert (database, what, row, column) == ("a", "value", "carrier = AA", "delay")


async def test_the_values_of_the_cell_are_sent_again(flights, keep):
    sql = "select id from flights where carrier = {carrier} and delay > {limit} order by id"
    recording = await keep("a b", sql, carrier="B6", limit=1.5)
    assert (await checked(flights, recording)).verdict is Verdict.SAME
    await flights.query("update flights set carrier = 'B6' where id = 3", on="a", write=True)
    await flights.query("update flights set delay = 0 where id = 4", on="a", write=True)
    check = await checked(flights, recording)
    assert check.what == "a: 1 row gone; 3 → 2 rows"


async def test_rows_that_the_server_gives_in_another_order(flights, keep):
    unordered = await keep("a", "select * from flights")
    ordered = await keep("a", "select * from flights order by carrier")
    # An updated row moves to the end of its table.
    await flights.query("update flights set delay = delay where id = 3", on="a", write=True)
    check = await checked(flights, unordered)
    assert check.verdict is Verdict.REORDERED
    assert check.what == "the same rows in another order"
    check = await checked(flights, ordered)
    assert check.verdict is Verdict.CHANGED
    assert check.what == "rows in another order"


async def test_columns_that_came_and_that_have_another_type(flights, keep):
    recording = await keep("a b", "select * from flights")
    await flights.query("alter table flights add late bool", on="a", write=True)
    await flights.query("alter table flights alter id type bigint", on="b", write=True)
    check = await checked(flights, recording)
    assert check.what == "a: late added; b: id: int4 → int8"
    assert told(check) == [
        ("a", "column added", None, "late", None, "bool"),
        ("b", "column retyped", None, "id", "int4", "int8"),
    ]


async def test_a_table_that_is_gone_is_a_change(flights, keep):
    recording = await keep("a b", "select id from flights")
    await flights.query("drop table flights", on="a", write=True)
    check = await checked(flights, recording)
    assert check.verdict is Verdict.CHANGED
    assert "a: the server refuses it now" in check.what
    assert 'relation "flights" does not exist' in check.what
    assert not check.checks[0].failed


async def test_every_result_of_a_cell_is_compared(flights, keep):
    recording = await keep("a --all", "select 1 as one; select max(id) from flights")
    await flights.query("insert into flights values (13, 'AA')", on="a", write=True)
    check = await checked(flights, recording)
    assert check.what == "statement 2: 1 row of 1 changed in max"
    assert told(check) == [("a", "statement 2: value", "row 0", "max", "12", "13")]


@pytest.mark.parametrize(
    ("line", "sql", "why"),
    [
        ("a --write", "insert into flights values (99, 'X') returning id", "it may write"),
        ("a --write", "select * from flights", "it may write"),
        ("a --session s", "select * from flights", "session s"),
        ("a --explain", "select * from flights", "plan"),
        ("a", "set local work_mem = '1MB'; select 1", "SET is not proven to only read"),
        ("a", "copy (select 1) to stdout", "COPY is not proven to only read"),
        ("a", "select no_such_column from flights", "it failed when it was recorded"),
    ],
)
async def test_what_is_not_asked_again_says_why(flights, keep, line, sql, why):
    recording = await keep(line, sql)
    before = await flights.query("select count(*) as n from flights", on="a")
    check = await checked(flights, recording)
    assert check.verdict is Verdict.NOT_VERIFIED
    assert why in check.what
    assert not any(each.failed for each in check.checks)
    after = await flights.query("select count(*) as n from flights", on="a")
    assert before.equals(after)
    if "session" in line:
        await flights.close_session("s")


async def test_a_function_that_writes_is_stopped_by_the_server(flights, keep):
    await flights.query("create function adds() returns int return 1", on="a", write=True)
    recording = await keep("a", "select adds()")
    await flights.query(
        "create or replace function adds() returns int language sql as "
        "'insert into flights values (77, ''X'') returning id'",
        on="a",
        write=True,
    )
    check = await checked(flights, recording)
    assert check.verdict is Verdict.NOT_VERIFIED
    assert "it may write" in check.what
    assert not check.checks[0].failed


async def test_rows_that_were_not_kept(flights, keep):
    recording = await keep("a", "select * from flights", room=Room(result=10))
    check = await checked(flights, recording)
    assert check.verdict is Verdict.NOT_VERIFIED
    assert "MB" in check.what
    assert not check.checks[0].failed


async def test_a_recording_that_is_damaged_fails(flights, keep, tmp_path):
    recording = await keep("a", "select * from flights")
    [rows] = tmp_path.glob("*.parquet")
    rows.write_bytes(b"nothing")
    check = await checked(flights, recording)
    assert check.checks[0].failed
    assert "not as it was recorded" in check.what


async def test_a_database_that_is_down_is_not_verified_and_the_other_is(flights, keep):
    recording = await keep("a b", "select id from flights")
    down = flights.databases.pop("b")
    flights.databases["b"] = flights.databases["down"]
    await flights.close("b")
    check = await checked(flights, recording)
    assert check.verdict is Verdict.NOT_VERIFIED
    assert check.what.startswith("b: ConnectFailed: ")
    assert [each.failed for each in check.checks] == [False, True]
    assert check.checks[0].verdict is Verdict.SAME
    await flights.add(down)


async def test_a_database_that_is_not_configured_is_named(flights, keep):
    recording = await keep("a b", "select id from flights")
    await flights.remove("b")
    check = await checked(flights, recording)
    assert check.what == "b: no database of this name is configured here"
    assert check.checks[1].failed


async def test_only_the_databases_that_are_asked_for(flights, keep):
    recording = await keep("a b", "select id from flights")
    check = await checked(flights, recording, on=["b"])
    assert [each.database for each in check.checks] == ["b"]
    with pytest.raises(UnknownDatabase):
        await checked(flights, recording, on=["nowhere"])


async def test_a_time_limit(flights, keep):
    await flights.query("create function slow() returns int return 1", on="a", write=True)
    recording = await keep("a", "select slow()")
    await flights.query(
        "create or replace function slow() returns int language sql as "
        "'select 1 from pg_sleep(30)'",
        on="a",
        write=True,
    )
    check = await checked(flights, recording, timeout=0.1)
    assert check.what.startswith("QueryTimeout: ")
    assert check.checks[0].failed


async def test_a_snapshot_that_is_held_is_what_is_compared_with(flights, keep):
    recording = await keep("a", "select id, delay from flights")
    async with flights.snapshot("a"):
        await write_beside(flights, "update flights set delay = 0 where id = 1")
        assert (await checked(flights, recording)).verdict is Verdict.SAME
    assert (await checked(flights, recording)).verdict is Verdict.CHANGED


async def write_beside(client, sql):
    """Change a held database, from a client of its own."""
    async with type(client)() as other:
        await other.add(client.databases["a"])
        await other.query(sql, on="a", write=True)
