"""The process that asks holds none of the rows: its memory does not grow with them."""

import asyncio
import subprocess
import sys
import textwrap

import asyncpg
import pytest

MEASURED = """
    import sys
    import pgmagic.dask
    from distributed import Client

    def peak():
        # On Linux ru_maxrss would be the parent's, where that is larger.
        with open("/proc/self/status") as status:
            [kilobytes] = [line.split()[1] for line in status if line.startswith("VmHWM")]
        return int(kilobytes) * 1024

    if __name__ == "__main__":
        with Client(sys.argv[1]):
            for table in ("little", "little", "large"):
                frame = pgmagic.dask.read(f"select * from {table}", on="north", partitions=10)
                groups = frame.groupby("k").agg({"n": "sum", "text": "max"}).compute()
                assert len(groups) == 7
                print(int(groups["n"].sum()), peak())
        pgmagic.dask.close()
"""
ROWS = 30_000  # of 330 bytes: 10 MB


@pytest.fixture
def tables(addresses):
    """One table of 10 MB and one of ten times that."""

    async def work(sql):
        connection = await asyncpg.connect(addresses["north"])
        await connection.execute(sql)
        await connection.close()

    made = "".join(
        f"create unlogged table {name} as select n, n % 7 as k, md5(n::text) || repeat('x', 290) "
        f"as text from generate_series(1, {rows}) n;"
        for name, rows in (("little", ROWS), ("large", 10 * ROWS))
    )
    asyncio.run(work(f"{made} analyze little, large"))
    yield
    asyncio.run(work("drop table little, large"))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's to tell")
def test_ten_times_the_data_takes_no_more_memory(cluster, tables, tmp_path):
    script = tmp_path / "measured.py"
    script.write_text(textwrap.dedent(MEASURED))
    done = subprocess.run(
        [sys.executable, str(script), cluster.scheduler.address],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=50,
    )
    sums, peaks = zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert sums == tuple(rows * (rows + 1) // 2 for rows in (ROWS, ROWS, 10 * ROWS))
    assert peaks[2] - peaks[1] < 10_000_000, peaks
