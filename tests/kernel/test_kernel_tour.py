"""The tour runs from top to bottom, and shows what its text says."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def tour(pg_binaries):
    notebook = nbformat.read(NOTEBOOKS / "tour.ipynb", as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook


def output(notebook, beginning: str, kind: str = "execute_result"):
    (cell,) = [c for c in notebook.cells if c.source.startswith(beginning)]
    (found,) = [o for o in cell.outputs if o.output_type == kind]
    return found


@pytest.mark.timeout(180)
def test_fan_out_is_one_frame_of_all_flights_of_the_month(tour):
    frame = output(tour, "%%pg ewr jfk lga --into")["data"]["text/plain"]
    assert frame.split()[:4] == ["database", "carrier", "flights", "delay"]
    totals = output(tour, "delays.groupby")["data"]["text/plain"].split()
    assert totals[1:7] == ["ewr", "10475", "jfk", "10023", "lga", "8927"]


def test_mistake_is_shown_once_with_all_names(tour):
    error = output(tour, "%%pg ewr jfk lga\nselect carrier, avg(dep_dellay)", "error")
    text = "\n".join(error["traceback"])
    assert text.count("dep_dellay") == 2  # in the message, and in the line under which it stands
    assert "SQL error in ewr, jfk, lga" in text
    assert "pgmagic/" not in text


def test_nothing_else_failed_and_no_widget_was_saved(tour):
    failed = [
        c.source for c in tour.cells if any(o.output_type == "error" for o in c.get("outputs", ()))
    ]
    assert len(failed) == 2
    assert "widgets" not in tour.metadata
