"""Notebooks that are run by a program: nbclient, nbconvert, papermill."""

import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.kernels import Activity, configure
from tests.servers import TestDatabase

STACKED = (
    "%load_ext pgmagic",
    "%%pg a b\nselect 1 as one",
    "x = %pg a select 2 as two",
    "%%time\n%%pg a b --into third\nselect 3 as three",
    "late = %pg --background b select 4 as four",
    "print(int(x.two[0]), third.three.tolist(), int((await late).four[0]))",
)


@pytest.fixture
def folder(
    tmp_path: Path,
    database: TestDatabase,
    second_database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with a `pgmagic.toml`; the environment has the DSNs."""
    for name, dsn in configure(tmp_path, a=database, b=second_database).items():
        monkeypatch.setenv(name, dsn)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    return tmp_path


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "P"}},
    )


def outputs(cell: nbformat.NotebookNode, kind: str) -> list[nbformat.NotebookNode]:
    return [output for output in cell.outputs if output.output_type == kind]


def assert_answered(executed: nbformat.NotebookNode) -> None:
    [frame] = outputs(executed.cells[1], "execute_result")
    assert frame.data["text/plain"].split() == ["database", "one", "0", "a", "1", "1", "b", "1"]
    assert "<table" in frame.data["text/html"]
    [printed] = outputs(executed.cells[-1], "stream")
    assert printed.text == "2 [3, 3] 4\n"
    # Nothing that only a running kernel could draw is left in the file.
    assert "widget-view" not in nbformat.writes(executed)


def test_nbclient(folder: Path, own_activity: Activity) -> None:
    stacked = notebook(*STACKED)
    NotebookClient(stacked, timeout=30, resources={"metadata": {"path": str(folder)}}).execute()
    assert_answered(stacked)
    own_activity.until_gone()


def test_nbclient_stops_a_cell_that_takes_too_long(folder: Path, own_activity: Activity) -> None:
    slow = notebook("%load_ext pgmagic", "%%pg a\nselect pg_sleep(60)", "%%pg a\nselect 5 as five")
    began = time.monotonic()
    NotebookClient(
        slow,
        timeout=4,
        interrupt_on_timeout=True,
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    assert time.monotonic() - began < 25
    [error] = outputs(slow.cells[1], "error")
    assert error.ename == "KeyboardInterrupt"
    assert outputs(slow.cells[2], "execute_result")[0].data["text/plain"].split()[-1] == "5"
    own_activity.until_gone()


def test_nbclient_stops_at_an_error(folder: Path, own_activity: Activity) -> None:
    failing = notebook("%load_ext pgmagic", "%%pg a b\nselect oops", "1")
    with pytest.raises(CellExecutionError, match="oops"):
        NotebookClient(failing, timeout=30, resources={"metadata": {"path": str(folder)}}).execute()
    assert failing.cells[2].outputs == []
    own_activity.until_gone()


@pytest.mark.parametrize(
    "command",
    [
        ["nbconvert", "--to", "notebook", "--execute", "in.ipynb", "--output", "out.ipynb"],
        ["papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"],
    ],
    ids=["nbconvert", "papermill"],
)
def test_commands(folder: Path, own_activity: Activity, command: list[str]) -> None:
    if command[0] == "papermill":
        pytest.importorskip("papermill")
    nbformat.write(notebook(*STACKED), folder / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_answered(nbformat.read(folder / "out.ipynb", as_version=4))
    own_activity.until_gone()
