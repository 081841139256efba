"""The memory that one cell may take, on all its databases together."""

import os
import subprocess
import sys
import textwrap

import pytest

from pgmagic.errors import FanOutError, ResultTooLarge

WIDE = "select n, repeat('x', 1000) as x from generate_series(1, {rows}) n"
OTHERS = (
    "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() "
    "and datname = current_database() and backend_type = 'client backend'"
)


async def test_a_result_that_is_too_large_is_stopped_on_the_server(client):
    client.max_result_bytes = 2_000_000
    with pytest.raises(ResultTooLarge, match=r"stopped after [\d,]+ rows") as caught:
        await client.query(WIDE, on="a", values={"rows": 10_000_000})
    assert caught.value.database == "a"
    assert (await client.query(OTHERS, on="a"))["count"].tolist() == [0]
    assert client.pool("a").statistics().in_use == 0


async def test_the_databases_of_a_cell_share_the_memory(client):
    client.max_result_bytes = 3_000_000
    alone = await client.query(WIDE, on="a", values={"rows": 2000})
    assert len(alone) == 2000
    with pytest.raises(FanOutError) as caught:
        await client.query(WIDE, on=["a", "b"], values={"rows": 2000})
    assert {type(failure.error) for failure in caught.value.failures} == {ResultTooLarge}


async def test_every_cell_begins_anew(client):
    client.max_result_bytes = 3_000_000
    for _ in range(3):
        assert len(await client.query(WIDE, on="a", values={"rows": 2000})) == 2000


async def test_statements_of_a_cell_count_together(client):
    client.max_result_bytes = 3_000_000
    with pytest.raises(ResultTooLarge):
        await client.query(f"{WIDE}; {WIDE}", on="a", values={"rows": 2000}, all=True)


async def test_what_is_held_counts_not_what_travels(client):
    client.max_result_bytes = 3_000_000
    # 600,000 booleans: five bytes each on the wire, an eighth of one in memory
    frame = await client.query("select n > 5 as b from generate_series(1, 600000) n", on="a")
    assert len(frame) == 600_000


async def test_rows_of_statements_before_the_last_are_not_held(client):
    client.max_result_bytes = 2_000_000
    frame = await client.query(f"{WIDE}; select 1 as one", on="a", values={"rows": 50_000})
    assert frame["one"].tolist() == [1]


async def test_rows_beyond_a_limit_are_not_held(client):
    client.max_result_bytes = 2_000_000
    frame = await client.query(WIDE, on="a", values={"rows": 1_000_000}, limit=100)
    assert len(frame) == 100


async def test_text_of_copy_counts_too(client):
    client.max_result_bytes = 1_000_000
    with pytest.raises(ResultTooLarge):
        await client.query(
            "copy (select repeat('x', 1000) from generate_series(1, 5000)) to stdout", on="a"
        )
    assert isinstance(await client.query("copy (select 1) to stdout", on="a"), str)


async def test_no_limit_where_it_is_zero_and_none_for_files(client, tmp_path):
    client.max_result_bytes = 0
    assert len(await client.query(WIDE, on="a", values={"rows": 5000})) == 5000
    client.max_result_bytes = 1
    await client.query(WIDE, on="a", values={"rows": 5000}, to=f"{tmp_path}/x.parquet")


MEASURED = """
    import asyncio, resource, sys
    import pgmagic

    SQL = "select n, md5(n::text) || repeat('x', 300) as x from generate_series(1, {rows}) n"

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    async def main(host, port, user, database, password, path):
        async with pgmagic.Client() as pg:
            await pg.add(pgmagic.DatabaseSettings(name="a", host=host, port=int(port), user=user,
                database=database, password=lambda: password))
            await pg.query(SQL, on="a", to=path, values=dict(rows=10))
            before = peak()
            frame = await pg.query(SQL, on="a", to=path, values=dict(rows=1_000_000))
            assert frame["rows"][0] == 1_000_000
            print(peak() - before)

    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_of_any_size_takes_little_memory(database, tmp_path, ending):
    """340 MB of rows pass through."""
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(MEASURED),
            database.host,
            str(database.port),
            database.user,
            database.name,
            database.password,
            f"{tmp_path}/x.{ending}",
        ],
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        text=True,
        check=True,
    )
    print(process.stdout)
    assert int(process.stdout) < 200_000_000
