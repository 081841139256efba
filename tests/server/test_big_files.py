"""Results that go to files: what is in them, and that nothing is left where they fail."""

import asyncio

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from pgmagic.errors import CellError, ExportError, FanOutError, QueryError

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
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
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


async def test_a_file_that_cannot_be_made(client, tmp_path):
    with pytest.raises(ExportError, match=r"x\.parquet can't be written"):
        await client.query("select 1", on="a", to=f"{tmp_path}/nosuch/x.parquet")
    assert (await client.query("select 1 as one", on="a"))["one"].tolist() == [1]


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
