"""`python -m pgmagic verify`, as a shell runs it."""

import asyncio
import os
import subprocess
import sys

import nbformat
import pytest

from pgmagic import sandbox
from pgmagic.client import Client
from pgmagic.command_line import main
from pgmagic.playing import add_sandbox
from tests.kernels import configure
from tests.recorded import record


@pytest.fixture
def run(tmp_path, database, second_database):
    """Run a command beside a notebook, with databases `a` and `b` configured."""
    configured = configure(tmp_path, a=database, b=second_database)
    cells = ["%load_ext pgmagic", "frame = %pg a b select n from generate_series(1, 3) n"]
    cells.append("assert len(frame) == 6")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "flights.ipynb")

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pgmagic", *arguments,
            cwd=tmp_path, env=os.environ | configured, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    return run


@pytest.fixture
async def recorded(client, tmp_path):
    for name in ("a", "b"):
        await client.query(
            "create table flights as select n as id, n / 2.0 as delay from generate_series(1, 9) n",
            on=name,
            write=True,
        )
    folder = tmp_path / "flights.recordings"
    await record(client, folder, "a b", "select * from flights", number=2)
    await record(client, folder, "b", "select count(*) as n from flights", number=3)
    return client


async def test_same_then_changed(recorded, run):
    code, out, err = await run("verify", "flights.ipynb")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "cell                                   databases  verdict  what",
        "[2] select * from flights              a b        same",
        "[3] select count(*) as n from flights  b          same",
        "",
        "2 cells: 2 same",
    ]
    await recorded.query("update flights set delay = 99 where id = 7", on="b", write=True)
    code, out, err = await run("verify", "flights.ipynb")
    assert (code, err) == (1, "")
    assert "b: 1 row of 9 changed in delay" in out
    [line] = [line for line in out.splitlines() if "id = 7" in line]
    assert line.split() == (
        "[2] select * from flights b value id = 7 delay 3.5000000000000000 99".split()
    )
    assert out.endswith("\n2 cells: 1 same, 1 changed\n")


async def test_only_some_databases(recorded, run):
    await recorded.query("update flights set delay = 99 where id = 7", on="b", write=True)
    code, _, _ = await run("verify", "flights.ipynb", "a")
    assert code == 0
    code, _, err = await run("verify", "flights.ipynb", "nowhere")
    assert code == 2
    assert "nowhere" in err
    assert "Traceback" not in err


async def test_a_database_that_is_down(recorded, run, tmp_path):
    await record(recorded, tmp_path / "other", "a", "select 1 as one")
    code, out, _ = await run("verify", "flights.ipynb", "--recordings", "other")
    assert code == 0
    (tmp_path / "pgmagic.toml").write_text(
        '[databases.a]\nhost = "/nonexistent"\nuser = "nobody"\n'
    )
    code, out, _ = await run("verify", "flights.ipynb", "--recordings", "other")
    assert code == 2
    assert "not verified" in out
    assert "ConnectFailed" in out


async def test_nothing_that_could_be_verified_is_no_success(client, run, tmp_path):
    await record(client, tmp_path / "recordings", "a --write", "create table t (a int)")
    code, out, _ = await run("verify", "flights.ipynb")
    assert code == 2
    assert "it may write" in out


async def test_a_notebook_is_recorded_replayed_and_verified(run, tmp_path):
    before = (tmp_path / "flights.ipynb").read_bytes()
    code, out, err = await run("record", "flights.ipynb")
    assert (code, out) == (0, "flights.ipynb: recorded to its end\n"), err
    assert list((tmp_path / "flights.recordings").glob("*.parquet"))
    code, out, err = await run("verify", "flights.ipynb")
    assert (code, out.splitlines()[-1]) == (0, "1 cell: 1 same"), err
    (tmp_path / "pgmagic.toml").unlink()  # no database any more
    code, out, err = await run("replay", "flights.ipynb", "--output", "run.ipynb")
    assert (code, out) == (0, "flights.ipynb: replayed to its end\n"), err
    assert nbformat.read(tmp_path / "run.ipynb", as_version=4).cells[-1].execution_count == 3
    assert (tmp_path / "flights.ipynb").read_bytes() == before


@pytest.mark.timeout(120)
async def test_the_sandbox_is_started_where_it_is_asked_for(
    run, tmp_path, pg_binaries, monkeypatch
):
    monkeypatch.setenv("PGMAGIC_PG_BINDIR", str(pg_binaries.bindir))
    servers = await asyncio.to_thread(sandbox.start)
    try:
        async with Client() as client:
            await add_sandbox(client, servers)
            await record(
                client, tmp_path / "recordings", "@sandbox", "select count(*) from flights"
            )
    finally:
        await asyncio.to_thread(servers.stop)
    code, out, err = await run("verify", "flights.ipynb", "--sandbox", "ewr", "jfk")
    assert (code, out.splitlines()[-1]) == (0, "1 cell: 1 same"), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nowhere.ipynb"], "there is no notebook nowhere.ipynb"),
        (["verify", "flights.ipynb"], "there are no recordings in"),
        (["verify", "flights.ipynb", "--timeout", "soon"], "a number of seconds"),
        (["record", "nowhere.ipynb"], "can't be read"),
        (["replay", "notes.txt"], "is no notebook"),
        (["verify", "flights.ipynb", "--timeout", "1", "a", "--nothing"], "--nothing"),
        (["replay", "flights.ipynb", "a"], "unrecognized arguments: a"),
        (["verify"], "notebook"),
        ([], "COMMAND"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flights.ipynb").write_text("{}")
    (tmp_path / "notes.txt").write_text("no JSON")
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
