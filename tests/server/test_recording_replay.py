"""What was recorded from real servers is replayed to the last bit, and nobody is asked."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from pgmagic.client import Client
from pgmagic.errors import (
    CellError,
    FanOutError,
    NotRecorded,
    PgMagicError,
    QueryError,
    RecordingError,
    UnknownDatabase,
)
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.recording import Recordings, Room
from tests.server.test_columns_values import literals, ordinary

ROOT = Path(__file__).parents[2]

# One value, and an odd one, of each type that is read in a way of its own.
VALUES = {
    "int2": "1",
    "int8": "9223372036854775807",
    "oid": "4294967295",
    "float4": "-Infinity",
    "float8": "0.1",
    "numeric": "1.10",
    "bool": "t",
    "text": "grüße 😀\n",
    '"char"': "x",
    "bytea": "\\xdeadbeef",
    "date": "2024-02-29",
    "timestamp": "1969-12-31 23:59:59.999999",
    "timestamptz": "2024-06-01 12:00:00+02",
    "time": "12:34:56.000001",
    "timetz": "12:34:56+02",
    "interval": "1 day 02:03:04.5",
    "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "inet": "10.0.0.1/8",
    "cidr": "10.0.0.0/8",
    "int4range": "[1,5)",
    "point": "(1,2.5)",
    "json": '{"a": [1, 2.5, null]}',
    "jsonb": '[1, "x"]',
    "int4[]": "{1,NULL,3}",
    "int8[][]": "{{1,2},{3,NULL}}",
    "jsonb[]": '{"{\\"a\\": 1}",NULL}',
    "mood": "ok",
    "mood[]": "{ok,NULL,sad}",
    "pair": "(1,x)",
    "positive": "7",
}
ODD = {
    "date": "infinity",
    "timestamp": "294276-12-31 23:59:59",
    "timestamptz": "-infinity",
    "interval": "1 year 2 mons",
    "time": "24:00:00",
    "numeric": "123456789012345678901234567890.5",
    "float8": "NaN",
    "float4": "-0",
}
OWN_TYPES = """
create type mood as enum ('sad', 'ok');
create type pair as (n int, t text);
create domain positive as int check (value > 0);
"""


def selects(values: dict[str, str]) -> str:
    columns = [f"'{value}'::{kind} as c{n}" for n, (kind, value) in enumerate(values.items())]
    empty = [f"null::{kind}" for kind in values]
    return f"select {', '.join(columns)} union all select {', '.join(empty)}"


async def ask(client: Client, sql: str, on=("a", "b"), **options):
    """Give what a cell gives: its value and its notes, or its error."""
    values = options.pop("values", {})
    plan = client.plan(Cell(sql=sql, targets=tuple(on), options=Options(**options)), values)
    try:
        answers = await client.run(plan)
    except (QueryError, FanOutError) as error:
        return type(error), error.report(), getattr(error, "partial", None)
    return "answered", answers.notes, answers.value


def assert_same(one, other) -> None:
    assert one[:2] == other[:2]
    assert_equal(one[2], other[2])


def assert_equal(one, other) -> None:
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for here, there in zip(one, other, strict=True):
            assert_equal(here, there)
    elif hasattr(one, "equals"):
        assert one.equals(other)
    else:
        assert one == other or repr(one) == repr(other)


def replayed(folder: Path) -> Client:
    client = Client()
    client.replay(folder)
    return client


CELLS = [
    (selects(VALUES), {}),
    (selects(ODD), {}),
    (selects(VALUES) + " limit 0", {}),
    (selects(VALUES), {"as_": "arrow", "numeric": "exact", "json": "text"}),
    (selects(ODD), {"as_": "polars"}),
    (selects(VALUES), {"split": True, "tz": "Europe/Berlin"}),
    ('select 1 as a, 2 as a, 3 as "A b"', {}),
    ("select from generate_series(1, 3)", {}),
    ("select generate_series(1, 10) as n", {"limit": 4, "tag": "where"}),
    ("select 1 as n; create temp table t (n int); select 2 as m", {"all": True, "write": True}),
    ("copy (select 'a', 1) to stdout", {"on": ("a",)}),
    ("show server_version_num", {}),
    ("select 1 as one", {"explain": True, "on": ("a",)}),
    ("select {n} + 1 as n, {texts}::text[] as t", {"values": {"n": 4, "texts": {"x", "y"}}}),
    ("do $$ begin raise notice 'hm'; end $$", {"on": ("a",), "write": True}),
    ("select oops", {}),
    ("select 1 / (current_database() = {name})::int as n", {}),
    ("select set_config('application_name', 'x', true)", {"session": "s", "on": ("a",)}),
    ("select relname from pg_class order by relname limit 5", {}),
]


async def test_every_kind_of_cell_is_replayed_as_it_was(client, database, tmp_path):
    for name in ("a", "b"):
        await client.query(OWN_TYPES, on=name, write=True)
    client.record(tmp_path)
    live = []
    for sql, options in CELLS:
        options = {"values": {"name": database.name}} | options
        live.append(await ask(client, sql, **options))
    kinds = [kind for kind, _, _ in live]
    assert kinds.count("answered") == len(CELLS) - 2, [
        each for each in live if each[0] != "answered"
    ]
    await client.close()
    async with replayed(tmp_path) as pg:
        for (sql, options), expected in zip(CELLS, live, strict=True):
            options = {"values": {"name": database.name}} | options
            assert_same(await ask(pg, sql, **options), expected)
        assert pg.tape.used == {each.name for each in Recordings(tmp_path)}


async def test_every_type_is_replayed_as_it_was(client, database, tmp_path):
    async with database.connection() as connection:
        types = await ordinary(connection)
    client.record(tmp_path)
    cells = [
        f"select v from (values {literals(values, type_)}, (-1, null)) t(n, v) order by n"
        for type_, (values, _, _) in types.items()
    ]
    live = [await ask(client, sql) for sql in cells]
    async with replayed(tmp_path) as pg:
        for sql, expected in zip(cells, live, strict=True):
            assert expected[0] == "answered", expected
            assert_same(await ask(pg, sql), expected)


async def test_no_socket_is_opened_and_no_file_of_settings_is_needed(client, tmp_path):
    client.record(tmp_path / "recordings")
    await client.query("select 1 as one", on=["a", "b"])
    script = """
import asyncio, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        raise AssertionError(event)

import pgmagic
from pgmagic.client import Client

async def main():
    sys.addaudithook(refuse)
    async with Client.from_config() as pg:
        print((await pg.query("select 1 as one", on="@both")).one.tolist())
        for ask in (
            pg.check("a"),
            pg.query("select 1 as one", on="@both", dask=True),
            pg.hold_snapshot("a"),
            pg.retry("a"),
        ):
            try:
                await ask
            except pgmagic.PgMagicError as error:
                print(type(error).__name__)

asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PGMAGIC_MODE": "replay", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.splitlines()
    assert first == "[1, 1]"
    assert len(others) == 4


async def test_the_first_time_has_the_first_answer_and_the_second_the_second(client, tmp_path):
    await client.query("create table t (n int)", on="a", write=True)
    client.record(tmp_path)
    for n in range(3):
        await client.query(f"insert into t values ({n})", on="a", write=True)
        assert (await client.query("select count(*) as n from t", on="a")).n[0] == n + 1
    async with replayed(tmp_path) as pg:
        counts = [await ask(pg, "select count(*) as n from t", on=["a"]) for _ in range(4)]
        assert [value.n[0] for _, _, value in counts] == [1, 2, 3, 3]
        assert counts[2][1] == ()
        assert counts[3][1] == ("asked 4 times, recorded 3: the last answer again",)


async def test_an_outage_is_replayed(client, tmp_path):
    client.record(tmp_path)
    for on in (["a"], ["a", "down"], ["down"]):
        with suppress(PgMagicError):
            await client.query("select 1 as one", on=on)
    partial = await client.query("select 2 as two", on=["a", "down"], partial=True)
    async with replayed(tmp_path) as pg:
        with pytest.raises(FanOutError) as caught:
            await pg.query("select 1 as one", on=["a", "down"])
        assert caught.value.failures[0].database == "down"
        assert caught.value.partial.one.tolist() == [1]
        again = await pg.query("select 2 as two", on=["a", "down"], partial=True)
        pd.testing.assert_frame_equal(again, partial)


@pytest.mark.parametrize(
    ("sql", "options", "said"),
    [
        ("select {month} as n", {"on": ["a"], "values": {"month": 7}}, "databases: recorded a, b"),
        ("select {month} as n", {"values": {"month": 8}}, "value of {month}"),
        ("select {month} as m", {"values": {"month": 7}}, "SQL, line 1, asked:    select $1 as m"),
        ("select {month} as n", {"values": {"month": 7}, "limit": 3}, "--limit: recorded without"),
    ],
)
async def test_what_was_not_recorded_names_the_nearest(client, tmp_path, sql, options, said):
    client.record(tmp_path)
    await client.query("select {month} as n", on=["a", "b"], values={"month": 7})
    async with replayed(tmp_path) as pg:
        with pytest.raises(NotRecorded) as caught:
            await pg.query(sql, **{"on": ["a", "b"]} | options)
        assert said in str(caught.value)
        assert "a-b-select-n-" in str(caught.value)
        assert "8" not in "".join(caught.value.differences)
        assert [share.error for share in pg.receipts[-1].shares] == ["NotRecorded"] * len(
            pg.receipts[-1].shares
        )
        with pytest.raises(NotRecorded, match="nor anything like it"):
            await pg.query("vacuum", on=["a"], write=True)
        with pytest.raises(UnknownDatabase):
            await pg.query("select 1", on=["nobody"])


async def test_the_snapshot_of_the_receipt_is_the_one_that_was_read(client, database, tmp_path):
    recorder = client.record(tmp_path)
    sql = (
        "select current_setting('transaction_isolation') as level,"
        " txid_current_snapshot()::text as state"
    )
    both = await client.query(sql + "; " + sql, on=["a", "b"], all=True)
    alone = await client.query(sql, on="a")
    for recording in recorder.recordings:
        for outcome in recording.outcomes():
            for result in outcome.results:
                level, snapshot = result.table.arrow.to_pylist()[0].values()
                assert (level, snapshot) == ("repeatable read", outcome.position.snapshot)
    assert len(both) == 2
    assert alone.level.tolist() == ["repeatable read"]
    await client.query("create table t (n int)", on="a", write=True)
    client.stop_recording()
    assert (await client.query(sql, on="a")).level.tolist() == ["read committed"]


async def test_what_is_too_large_is_said_in_the_caption_and_is_an_error_later(client, tmp_path):
    client.record(tmp_path, Room(result=100))
    _, notes, value = await ask(client, "select generate_series(1, 1000) as n")
    assert len(value) == 2000
    assert notes[0].startswith("a: recorded without its rows: ")
    async with replayed(tmp_path) as pg:
        with pytest.raises(RecordingError, match="were not recorded"):
            await pg.query("select generate_series(1, 1000) as n", on=["a", "b"])


async def test_a_folder_that_cannot_be_written_costs_no_answer(client, tmp_path):
    (tmp_path / "file").write_text("")
    client.record(tmp_path / "file" / "recordings")
    kind, notes, value = await ask(client, "select 1 as one")
    assert (kind, value.one.tolist()) == ("answered", [1, 1])
    assert "not recorded: " in notes[0]


async def test_rows_that_went_to_a_file_are_not_replayed(client, tmp_path):
    client.record(tmp_path / "recordings")
    path = tmp_path / "rows.parquet"
    file = str(path)
    await client.query("select 1 as one", on="a", to=file)
    path.unlink()
    async with replayed(tmp_path / "recordings") as pg:
        with pytest.raises(RecordingError, match="--to"):
            await pg.query("select 1 as one", on="a", to=file)
    assert not path.exists()


async def test_parallel_and_failed_parts(client, tmp_path):
    await client.query("create table t as select generate_series(1, 5000) as n", on="a", write=True)
    client.record(tmp_path)
    live = await client.query("select n from t", on="a", parallel=2)
    async with replayed(tmp_path) as pg:
        pd.testing.assert_frame_equal(await pg.query("select n from t", on="a", parallel=2), live)


async def test_no_secret_is_written(client, database, tmp_path):
    client.record(tmp_path)
    await client.query("select 1 as one", on=["a", "b"])
    with pytest.raises(FanOutError):
        await client.query("select 1 as one", on=["a", "down"])
    assert database.password
    written = [path.read_bytes() for path in tmp_path.iterdir()]
    assert len(written) >= 5
    assert not any(database.password.encode() in each for each in written)
    assert not any(database.host.encode() in each for each in written)


async def test_several_cells_at_once(client, tmp_path):
    client.record(tmp_path)
    await asyncio.gather(*(client.query(f"select {n} as n", on=["a", "b"]) for n in range(6)))
    async with replayed(tmp_path) as pg:
        frames = await asyncio.gather(
            *(pg.query(f"select {n} as n", on=["a", "b"]) for n in range(6))
        )
    assert [frame.n[0] for frame in frames] == list(range(6))


async def test_a_replay_needs_recordings(tmp_path):
    with pytest.raises(RecordingError, match="nothing to replay"):
        Client().replay(tmp_path)


async def test_a_replay_records_nothing(client, tmp_path):
    client.record(tmp_path)
    await client.query("select 1", on="a")
    async with replayed(tmp_path) as pg:
        with pytest.raises(RecordingError, match="replay"):
            pg.record(tmp_path / "other")
        with pytest.raises((RecordingError, CellError)):
            await pg.write(pd.DataFrame({"n": [1]}), "a", table="t")


async def test_columns_that_differ_and_those_who_try_again(client, tmp_path):
    await client.query("create table t (n int)", on="a", write=True)
    await client.query("create table t (n text)", on="b", write=True)
    client.record(tmp_path)
    differs = await ask(client, "select n from t")
    assert "int4" in "\n".join(differs[1])
    sql = "select count(*) as n from u"
    with pytest.raises(FanOutError) as failed:
        await client.query(sql, on=["a", "b"])
    await client.query("create table u (n int)", on=["a", "b"], write=True)
    frame = await failed.value.retry_failed()
    async with replayed(tmp_path) as pg:
        assert_same(await ask(pg, "select n from t"), differs)
        with pytest.raises(FanOutError) as failed:
            await pg.query(sql, on=["a", "b"])
        await pg.query("create table u (n int)", on=["a", "b"], write=True)
        pd.testing.assert_frame_equal(await failed.value.retry_failed(), frame)


async def test_a_snapshot_that_is_held_is_what_the_receipt_tells(client, tmp_path):
    recorder = client.record(tmp_path)
    async with client.snapshot("a") as [held]:
        await client.query("select 1 as one", on="a")
    [recording] = recorder.recordings
    [answer] = recording.outcomes()
    assert answer.position == held.position


async def test_what_a_session_does_is_replayed(client, tmp_path):
    client.record(tmp_path)
    cells = ["create temp table s (n int)", "begin; insert into s values (1)", "select n from s"]
    live = [await ask(client, sql, on=["a"], session="mine", write=True) for sql in cells]
    assert live[-1][2].n.tolist() == [1]
    async with replayed(tmp_path) as pg:
        for sql, expected in zip(cells, live, strict=True):
            assert_same(await ask(pg, sql, on=["a"], session="mine", write=True), expected)
        with pytest.raises(NotRecorded, match="--session"):
            await pg.query("select n from s", on="a", write=True)


async def test_the_file_of_settings_says_what_is_done(client, database, tmp_path, monkeypatch):
    monkeypatch.setenv("PASSWORD_OF_A", database.password)
    monkeypatch.delenv("PGMAGIC_MODE", raising=False)
    settings = f"""
[databases.a]
host = "{database.host}"
port = {database.port}
user = "{database.user}"
database = "{database.name}"
password_env = "PASSWORD_OF_A"
"""
    file = tmp_path / "pgmagic.toml"
    file.write_text('mode = "record"\nrecordings = "kept"\n' + settings)
    async with Client.from_config(tmp_path) as pg:
        live = await pg.query("select 1 as one")
    assert (tmp_path / "kept" / "index.json").is_file()
    file.write_text('mode = "replay"\nrecordings = "kept"\n')
    async with Client.from_config(tmp_path) as pg:
        pd.testing.assert_frame_equal(await pg.query("select 1 as one"), live)
        assert pg.replaying
