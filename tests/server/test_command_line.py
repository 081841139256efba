"""`python -m pgmagic verify`, as a shell runs it."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.kernels import configure
from tests.recorded import record


@pytest.fixture
def run(tmp_path, database, second_database):
    """Run a command beside a notebook, with databases `a` and `b` configured."""
    environment = os.environ | configure(tmp_path, a=database, b=second_database)
    (tmp_path / "flights.ipynb").write_text("{}")

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pgmagic", *arguments,
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nowhere.ipynb"], "there is no notebook nowhere.ipynb"),
        (["verify", "flights.ipynb"], "there are no recordings in"),
        (["verify", "flights.ipynb", "--timeout", "soon"], "a number of seconds"),
        (["verify"], "notebook"),
        ([], "COMMAND"),
    ],
)
async def test_mistakes(run, arguments, message):
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
