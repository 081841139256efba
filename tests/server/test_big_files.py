"""Results that go to files: what is in them, and that nothing is left where they fail."""

import asyncio
import errno
import resource

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from pgmagic.errors import CellError, ExportError, FanOutError, QueryError
from pgmagic.export import files
from pgmagic.legible import legible

ROWS = "select n, 'row ' || n as name from generate_series(1, 1000) n"

EVERY_KIND = """
select true as b, 1::int2 as i2, 2::int4 as i4, 3::int8 as i8, 4::oid as o, 1.5::float4 as f4,
    2.5::float8 as f8, 12.34::numeric(6, 2) as n, 'x'::text as t, 'y'::char(3) as c,
    '\\x00ff'::bytea as y, date '2024-02-29' as d, time '12:34:56.789' as ti,
    timestamp '0044-03-15 BC' as ts, timestamptz '2024-01-01 12:00+02' as tz,
    interval '1 mon -3 days' as iv, '{"a": 1}'::jsonb as j, array[1, null, 3] as a,
    array['a,b', null, 'c"'] as ta, '10.0.0.1'::inet as ip, 'ok'::mood as e,
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u, int4range(1, 5) as r
"""
MOODS = "create type mood as enum ('sad', 'ok')"


def readers(path):
    match path.suffix:
        case ".parquet":
            return pq.read_table(path)
        case ".arrow":
            with pa.ipc.open_file(path) as file:
                return file.read_all()
        case ".feather":
            return pa.feather.read_table(path)
        case _:
            return pa.csv.read_csv(path)


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.feather", "x.csv"])
async def test_the_file_has_the_rows_and_the_cell_says_so(client, tmp_path, name):
    path = tmp_path / name
    frame = await client.query(ROWS, on="a", to=str(path))
    assert frame.to_dict("records") == [
        {"database": "a", "rows": 1000, "bytes": path.stat().st_size, "file": str(path)}
    ]
    table = readers(path)
    assert table.column_names == ["n", "name"]
    assert table["n"].to_pylist() == list(range(1, 1001))
    assert table["name"][999].as_py() == "row 1000"
    assert list(tmp_path.iterdir()) == [path]


async def test_several_databases_share_a_file_with_a_column_of_their_names(client, tmp_path):
    path = tmp_path / "x.parquet"
    frame = await client.query(ROWS, on=["b", "a"], to=str(path))
    assert frame["database"].tolist() == ["b", "a"]
    assert frame["rows"].tolist() == [1000, 1000]
    read = pd.read_parquet(path)
    assert list(read.columns) == ["database", "n", "name"]
    for name in ("a", "b"):
        assert read[read["database"] == name]["n"].tolist() == list(range(1, 1001))


async def test_a_folder_has_a_partition_of_each_database(client, tmp_path):
    await client.query(ROWS, on=["a", "b"], to=f"{tmp_path}/all/")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == ["all/database=a/rows.parquet", "all/database=b/rows.parquet"]
    read = pa.dataset.dataset(tmp_path / "all", partitioning="hive").to_table().to_pandas()
    assert read.groupby("database")["n"].sum().to_dict() == {"a": 500500, "b": 500500}


@pytest.mark.parametrize("numeric", ["float", "exact"])
async def test_every_kind_of_value(client, tmp_path, numeric):
    await client.query(MOODS, on="a", write=True)
    path = tmp_path / "x.parquet"
    await client.query(EVERY_KIND, on="a", to=str(path), numeric=numeric)
    frame = await client.query(EVERY_KIND, on="a", numeric=numeric, as_="arrow", json="text")
    table = pq.read_table(path)
    assert table.column_names == frame.column_names
    for name in table.column_names:
        expected = {"iv": pa.scalar("1 mon -3 days"), "e": pa.scalar("ok")}.get(name)
        assert table[name][0].equals((expected or frame[name][0]).cast(table[name].type)), name


async def test_csv_has_what_postgresql_would_read_again(client, tmp_path):
    await client.query(MOODS, on="a", write=True)
    path = tmp_path / "x.csv"
    await client.query(EVERY_KIND, on="a", to=str(path))
    read = pd.read_csv(path, dtype=str).iloc[0].to_dict()
    assert read["y"] == "\\x00ff"
    assert read["a"] == "{1,NULL,3}"
    assert read["ta"] == '{"a,b",NULL,"c\\""}'
    assert read["tz"] == "2024-01-01 10:00:00.000000Z"


async def test_csv_tells_null_from_empty_text(client, tmp_path):
    path = tmp_path / "x.csv"
    await client.query("select null::text as a, '' as b, 'say \"hi\"' as c", on="a", to=str(path))
    assert path.read_text() == '"a","b","c"\n,"","say ""hi"""\n'


async def test_numerics_without_digits_are_text_where_exact(client, tmp_path):
    path = tmp_path / "x.parquet"
    sql = "select v, array[v] as a from (values (1.10::numeric), (12345678901234567890)) t(v)"
    await client.query(sql, on="a", to=str(path), numeric="exact")
    table = pq.read_table(path)
    assert table["v"].to_pylist() == ["1.10", "12345678901234567890"]
    assert table["a"].to_pylist() == ["{1.10}", "{12345678901234567890}"]


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("date 'infinity'", "infinity is no date", "v::text"),
        ("time '24:00'", "24:00:00 is no time of day", "v::text"),
        ("9007199254740993::numeric", "a float would round", "--numeric exact"),
        ("array[[1,2],[3,4]]", "can't be written as list", "v::text"),
    ],
)
async def test_a_value_without_a_place_stops_the_file(client, tmp_path, value, message, hint):
    with pytest.raises(ExportError, match=message) as caught:
        await client.query(f"select {value} as v", on="a", to=f"{tmp_path}/x.parquet")
    assert hint in caught.value.hint
    assert list(tmp_path.iterdir()) == []


async def test_no_rows_are_a_file_with_columns(client, tmp_path):
    path = tmp_path / "x.parquet"
    await client.query(f"{ROWS} limit 0", on=["a", "b"], to=path)
    table = pq.read_table(path)
    assert (table.column_names, len(table)) == (["database", "n", "name"], 0)


async def test_duplicate_names_are_numbered(client, tmp_path):
    path = tmp_path / "x.parquet"
    await client.query("select 1 as a, 2 as a", on="a", to=str(path))
    assert pq.read_table(path).to_pylist() == [{"a": 1, "a_1": 2}]


async def test_an_old_file_stays_until_the_new_one_is_complete(client, tmp_path):
    path = tmp_path / "x.parquet"
    await client.query("select 1 as one", on="a", to=str(path))
    before = path.read_bytes()
    fails_late = "select 1 / (100000 - n) as one from generate_series(1, 200000) n"
    with pytest.raises(QueryError):
        await client.query(fails_late, on="a", to=str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    await client.query("select 2 as one", on="a", to=str(path))
    assert pq.read_table(path).to_pylist() == [{"one": 2}]


async def test_all_or_nothing_where_one_database_fails(client, tmp_path):
    await client.query("create table only_a as select 1 as n", on="a", write=True)
    with pytest.raises(FanOutError) as caught:
        await client.query("select n from only_a", on=["a", "b"], to=f"{tmp_path}/x/")
    assert caught.value.partial is None
    assert caught.value.report()[-1] == (
        "a answered, but no file was written: all databases write theirs or none; "
        ".retry_failed() asks all again"
    )
    assert list(tmp_path.iterdir()) == []
    await client.query("create table only_a as select 2 as n", on="b", write=True)
    frame = await caught.value.retry_failed()
    assert frame["rows"].tolist() == [1, 1]


async def test_nothing_is_left_after_a_cancel(client, tmp_path):
    endless = "select md5(n::text) as x from generate_series(1, 9999) n, generate_series(1, 9999)"
    task = asyncio.create_task(client.query(endless, on=["a", "b"], to=f"{tmp_path}/x.csv"))
    while not any(path.stat().st_size > 100_000 for path in tmp_path.iterdir()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []
    assert (await client.query("select 1 as one", on=["a", "b"]))["one"].tolist() == [1, 1]


LONG = "n" * 300


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("nosuch/x.parquet", "there is no folder nosuch"),
        ("nosuch/x/", "there is no folder nosuch"),
        ("f/x.parquet", "f is no folder"),
        ("f/x/x.parquet", "Not a directory"),
        ("f/", "it is no folder"),
        ("f/x/", "f is no folder"),
        ("/dev/full/x.parquet", "/dev/full is no folder"),
        ("d.parquet", "it is a folder"),
        ("device.csv", "it is no regular file"),
        ("loop.csv", "Too many levels of symbolic links"),
        ("astray.csv", "there is no folder"),
        (f"{LONG}.parquet", "File name too long"),
        (f"{LONG}/", "File name too long"),
        ("a\0b.parquet", "embedded null"),
    ],
)
async def test_a_file_that_cannot_be_made_is_no_fault_of_the_database(
    client, tmp_path, monkeypatch, to, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("x")
    (tmp_path / "d.parquet").mkdir()
    (tmp_path / "device.csv").symlink_to("/dev/null")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "astray.csv").symlink_to("nosuch/x.csv")
    before = sorted(tmp_path.rglob("*"))
    for on in ("a", ["a", "b"]) * 3:  # as often as would open the circuit
        with pytest.raises((ExportError, FanOutError)) as caught:
            await client.query("select 1 as one", on=on, to=to)
        where = "" if on == "a" else " in a, b"
        lines = "\n".join(caught.value.report())
        assert lines.startswith(
            f"ExportError{where}: {legible(to.removesuffix('/'))} can't be written: "
        )
        assert reason in lines
        assert ".part" not in lines
    assert [client.pool(name).breaker.failures for name in "ab"] == [0, 0]
    assert sorted(tmp_path.rglob("*")) == before
    assert (await client.query("select 1 as one", on="a"))["one"].tolist() == [1]


class Failing:
    """A writer, or its file, on which one step fails."""

    def __init__(self, monkeypatch, step, error):
        def fail(*_):
            raise error

        begin = files.new_writer

        def new_writer(*given):
            self.writer = begin(*given)
            return self

        if step == "begin":
            new_writer = fail
        elif step == "rename":
            monkeypatch.setattr(files.Path, "replace", fail)
        self.write_batch = fail if step == "write" else lambda batch: self.writer.write_batch(batch)
        self.close = fail if step == "close" else lambda: self.writer.close()
        monkeypatch.setattr(files, "new_writer", new_writer)


@pytest.mark.parametrize("step", ["begin", "write", "close", "rename"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "Error writing bytes to file '/.pgmagic.0.part'"),
        PermissionError(errno.EACCES, "no"),
        IsADirectoryError(errno.EISDIR, "no"),
        ConnectionError("the share is gone"),
        TimeoutError(errno.ETIMEDOUT, "no"),
        pa.ArrowInvalid("no"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("on", ["a", ["a", "b"]], ids=["one", "two"])
async def test_whatever_fails_of_a_file_is_an_export_error(
    client, tmp_path, monkeypatch, step, error, on
):
    with monkeypatch.context() as patched:
        Failing(patched, step, error)
        with pytest.raises((ExportError, FanOutError)) as caught:
            await client.query(ROWS, on=on, to=f"{tmp_path}/x.parquet")
    failures = getattr(caught.value, "failures", None)
    errors = [caught.value] if failures is None else [failure.error for failure in failures]
    assert {type(each) for each in errors} == {ExportError}
    assert all(".part" not in str(each) for each in errors)
    assert [client.pool(name).breaker.failures for name in "ab"] == [0, 0]
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_without_room(client, tmp_path, limited_file_size):
    with pytest.raises(ExportError, match=r"x\.csv can't be written: File too large"):
        await client.query(
            "select repeat('x', 1000) from generate_series(1, 10000)",
            on="a",
            to=f"{tmp_path}/x.csv",
        )
    assert list(tmp_path.iterdir()) == []
    assert client.pool("a").breaker.failures == 0


@pytest.fixture
def limited_file_size():
    """Let no file of this process grow above a megabyte: the system refuses as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_the_longest_name_that_a_file_may_have(client, tmp_path):
    path = tmp_path / f"{'n' * 251}.csv"
    await client.query("select 1 as one", on="a", to=path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to where none is yet"])
async def test_a_link_stays_and_what_it_points_to_is_written(client, tmp_path, there):
    (tmp_path / "store").mkdir()
    link, target = tmp_path / "x.csv", tmp_path / "store" / "y.csv"
    if there:
        target.write_text("old")
    link.symlink_to("store/y.csv")
    frame = await client.query("select 1 as one", on="a", to=link)
    assert link.is_symlink()
    assert target.read_text() == '"one"\n1\n'
    assert frame["file"].tolist() == [str(link)]
    assert frame["bytes"].tolist() == [target.stat().st_size]
    assert sorted(tmp_path.rglob("*")) == [target.parent, target, link]


async def test_a_link_to_a_folder(client, tmp_path):
    (tmp_path / "link").symlink_to("store")
    await client.query("select 1 as one", on="a", to=f"{tmp_path}/link/")
    assert (tmp_path / "store" / "database=a" / "rows.parquet").is_file()
    assert (tmp_path / "link").is_symlink()


async def test_several_files_of_which_one_cannot_take_its_name(client, tmp_path, monkeypatch):
    replace, done = files.Path.replace, []

    def once(self, target):
        if done:
            raise PermissionError(errno.EACCES, "no")
        done.append(target)
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(files.Path, "replace", once)
        with pytest.raises(ExportError, match="Permission denied") as caught:
            await client.query("select 1 as one", on=["a", "b"], to=f"{tmp_path}/x/")
    assert caught.value.hint == f"complete and in its place: {done[0]}"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == done


@pytest.mark.parametrize(
    ("sql", "options"),
    [
        ("select 1", {"to": "x.xlsx"}),
        ("select 1", {"to": "x.csv", "split": True}),
        ("select 1", {"to": "x.csv", "partial": True}),
        ("create table t ()", {"to": "x.csv", "write": True}),
    ],
)
async def test_what_cannot_go_to_a_file_is_refused_before_anything_is_sent(client, sql, options):
    with pytest.raises(CellError, match="--to"):
        await client.query(sql, on="down", **options)


async def test_a_result_without_columns_has_no_place_in_a_file(client, tmp_path):
    with pytest.raises(CellError, match="no columns"):
        await client.query("select from generate_series(1, 3)", on="a", to=f"{tmp_path}/x.csv")


async def test_a_write_that_returns_rows(client, tmp_path):
    await client.query("create table t (n int)", on="a", write=True)
    path = tmp_path / "x.csv"
    sql = "insert into t values (1), (2) returning n"
    await client.query(sql, on="a", to=str(path), write=True)
    assert path.read_text() == '"n"\n1\n2\n'
