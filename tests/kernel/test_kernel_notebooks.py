"""The notebooks run from top to bottom, live and from their recordings, and show what they say."""

import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
from nbformat import NotebookNode

from notebooks.refresh import HERE, NAMES, execute
from pgmagic.sandbox.watchdog import remove

MEGABYTE = 1_000_000
# What says in a replay that there is nothing to do, or how long it took.
LIVE_ONLY = (
    *("%pg_verify", "%pg_record", "%pg_pools", "%pg_snapshot", "%pg_sandbox", "%pg_connect"),
    "%pg_close",
)
KEEP = """
import pandas, pickle, os
with open(os.environ["TEST_FRAMES"], "wb") as file:
    frames = {n: v for n, v in globals().items() if isinstance(v, pandas.DataFrame) and n[0] != "_"}
    pickle.dump(frames, file)
"""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def sandbox(pg_binaries) -> Iterator[dict[str, str]]:
    """Variables for a sandbox of these tests alone: a notebook stops one of its servers."""
    folder = Path(tempfile.mkdtemp(prefix="pgmagic-test-"))
    folder.chmod(0o711)
    yield {
        "PGMAGIC_SANDBOX_DIR": str(folder / "sandbox"),
        "PGMAGIC_PG_BINDIR": str(pg_binaries.bindir),
    }
    remove(folder)


def read(name: str) -> NotebookNode:
    return nbformat.read(HERE / f"{name}.ipynb", as_version=4)


def replaying(recordings: Path) -> dict[str, str]:
    """Variables under which nothing but the recordings can answer."""
    return {
        "PGMAGIC_MODE": "replay",
        "PGMAGIC_RECORDINGS": str(recordings),
        "PGMAGIC_SANDBOX_DIR": "/nonexistent",
        "PGMAGIC_PG_BINDIR": "/nonexistent",
    }


def shown(notebook: NotebookNode, *kinds: str, but: str = "--none") -> list[list[dict[str, str]]]:
    """Give what each cell shows that is the same each time, or only these kinds of it.

    `but` leaves out cells that hold this.
    """
    return [
        [everything(output, *kinds) for output in in_one_piece(cell.outputs)]
        for cell in notebook.cells
        if cell.cell_type == "code" and not any(magic in cell.source for magic in (*LIVE_ONLY, but))
    ]


def in_one_piece(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Put together what was printed in a row: a busy kernel sends it in pieces."""
    pieces: list[NotebookNode] = []
    for output in outputs:
        if is_caption(output):
            continue
        before = pieces[-1] if pieces else {}
        if output.output_type == "stream" and output.name == before.get("name"):
            pieces[-1] = before | {"text": before["text"] + output.text}
        else:
            pieces.append(output)
    return pieces


def everything(output: NotebookNode, *kinds: str) -> dict[str, str]:
    """Give what an output has, by its kind: "text" is what was printed."""
    data = {**output.get("data", {}), "text": output.get("text", "")}
    return {kind: text for kind, text in data.items() if not kinds or kind in kinds}


def is_caption(output: NotebookNode) -> bool:
    """Whether it says how long something took."""
    text = output.get("data", {}).get("text/plain", "text")
    return output.output_type == "display_data" and " s" in text and " · " in text


def run(name: str, frames: Path, environment: dict[str, str]) -> tuple[NotebookNode, dict]:
    """Run a notebook; give it and all frames that it leaves."""
    notebook = read(name)
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP))
    execute(notebook, **environment, TEST_FRAMES=str(frames))
    notebook.cells.pop()
    with frames.open("rb") as file:
        return notebook, pickle.load(file)


@pytest.mark.parametrize("name", NAMES)
def test_replay_gives_what_was_recorded(name, sandbox, tmp_path):
    recordings = tmp_path / "recordings"
    record = {"PGMAGIC_MODE": "record", "PGMAGIC_RECORDINGS": str(recordings)}
    live, frames = run(name, tmp_path / "live", sandbox | record)
    again, same = run(name, tmp_path / "again", replaying(recordings))
    assert shown(again) == shown(live)
    assert frames.keys() == same.keys()
    assert frames
    for key, frame in frames.items():
        pd.testing.assert_frame_equal(same[key], frame)
        assert (same[key].dtypes == frame.dtypes).all()
        assert same[key].columns.equals(frame.columns)
    # The planner's estimates come from a sample, which is another in every sandbox.
    committed = shown(read(name), "text/plain", "text", but="--explain")
    assert shown(live, "text/plain", "text", but="--explain") == committed


@pytest.mark.parametrize("name", NAMES)
def test_committed_recordings_give_the_committed_outputs(name, tmp_path):
    notebook = read(name)
    execute(notebook, **replaying(HERE / f"{name}.recordings"))
    assert shown(notebook, "text/plain", "text") == shown(read(name), "text/plain", "text")


def by_papermill(source: Path, result: Path, environment: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        papermill.execute_notebook(source, result, progress_bar=False, cwd=str(HERE))


def by_nbconvert(source: Path, result: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute"]
    finished = subprocess.run(
        [*command, "--output", str(result), str(source)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("by", [by_papermill, by_nbconvert])
@pytest.mark.parametrize("name", NAMES)
def test_other_programs_run_it(name, by: Callable, sandbox, tmp_path):
    record = {"PGMAGIC_MODE": "record", "PGMAGIC_RECORDINGS": str(tmp_path / "recordings")}
    for number, environment in enumerate((sandbox | record, replaying(tmp_path / "recordings"))):
        result = tmp_path / f"{number}.ipynb"
        by(HERE / f"{name}.ipynb", result, environment)
        executed = nbformat.read(result, as_version=4)
        executed.cells = [c for c in executed.cells if "injected" not in str(c.metadata)]
        committed = shown(read(name), "text/plain", "text", but="--explain")
        assert shown(executed, "text/plain", "text", but="--explain") == committed


# -- as they are read


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebook_is_clean(name):
    text = (HERE / f"{name}.ipynb").read_text()
    assert len(text) < MEGABYTE / 4
    notebook = read(name)
    assert not re.findall(r"/(?:tmp|root|home|dev|var|usr|work)/|pgmagic-socket", text)
    assert not re.findall(r"20(?!13)\d\d-\d\d-\d\d", text)
    assert set(re.findall(r"\b\d\d:\d\d:\d\d\b", text)) <= {"12:00:00"}
    assert "widgets" not in notebook.metadata
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


def test_recordings_beside_them_are_small_and_tell_nothing_of_this_machine():
    files = [path for name in NAMES for path in (HERE / f"{name}.recordings").rglob("*.*")]
    assert sum(path.stat().st_size for path in files) < MEGABYTE
    told = "".join(path.read_text() for path in files if path.suffix == ".json")
    assert not re.findall(r"/(?:tmp|root|home|dev|var|usr|work)/|pgmagic-socket|password", told)


def output(name: str, beginning: str, kind: str = "execute_result") -> str:
    (cell,) = [c for c in read(name).cells if c.source.startswith(beginning)]
    (found,) = [o for o in cell.outputs if o.output_type == kind]
    return found.get("text") or found.data["text/plain"]


def test_the_tour_shows_all_flights_of_the_month():
    frame = output("tour", "%%pg ewr jfk lga --into").split()
    assert frame[:4] == ["database", "carrier", "flights", "delay"]
    totals = output("tour", "delays.groupby").split()
    assert totals[1:7] == ["ewr", "10475", "jfk", "10023", "lga", "8927"]
    error = output("tour", "import pgmagic", "stream")
    assert error.count("dep_dellay") == 2  # in the message, and in the line under which it stands
    assert error.startswith("SQL error in ewr, jfk, lga")


def test_the_outage_is_seen_and_ends():
    whole = [
        o.data["text/plain"]
        for c in read("outage").cells
        if c.source.startswith("%%pg ewr jfk lga\n")
        for o in c.outputs
        if o.output_type == "execute_result"
    ]
    assert len(whole) == 2
    assert whole[0] == whole[1] == output("outage", "outage.retry_failed()")
    assert output("outage", "outage.partial").split()[:6] == [
        *("database", "flights", "worst", "0", "jfk", "111279")
    ]
    assert "CircuitOpen" in output("outage", "for attempt", "stream")
    assert "open, next try in" in output("outage", "%pg_pools", "display_data")


def test_verify_names_the_cell_the_database_and_the_row():
    (cell,) = [c for c in read("reproducible").cells if "%pg_verify jfk" in c.source]
    said = "".join(str(o.data.get("text/plain")) for o in cell.outputs)
    for what in (
        "select carrier, name from airlines",
        "jfk",
        "carrier = B6",
        "JetBlue Airways",
        "JetBlue",
    ):
        assert what in said
