"""Notebooks that a program runs: nobody looks, and nothing may be left that can't be shown."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import MarkdownExporter


@pytest.fixture
def execute(tmp_path, database, monkeypatch):
    """Run cells as nbclient, nbconvert and papermill do; `a` is a database."""
    monkeypatch.setenv("TEST_DSN_A", database.dsn)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "pgmagic.toml").write_text('[databases.a]\ndsn_env = "TEST_DSN_A"\n')

    def run(*cells):
        content = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in ("%load_ext pgmagic", *cells)]
        )
        metadata = {"metadata": {"path": str(tmp_path)}}
        return NotebookClient(content, kernel_name="python3", resources=metadata).execute()

    return run


def kinds(cell):
    return [sorted(output.get("data", {})) for output in cell.outputs]


def test_a_slow_cell_shows_its_caption_and_no_progress(execute):
    notebook = execute("%%pg a\nselect pg_sleep(0.8)")
    caption, frame = notebook.cells[1].outputs
    assert caption.data["text/plain"].startswith("a 1 row · 0.")
    assert frame.output_type == "execute_result"
    assert "widgets" not in notebook.metadata


def test_progress_that_is_switched_on_is_gone_at_the_end(execute):
    notebook = execute("%config PgMagics.progress = 'on'", "%%pg a\nselect pg_sleep(0.8)")
    assert kinds(notebook.cells[2])[0] == ["text/html", "text/plain"]
    assert notebook.cells[2].outputs[0].data["text/plain"].startswith("a 1 row · ")


def test_the_panel_is_a_picture_that_reads_without_a_browser(execute):
    notebook = execute("%pg a select 1", "%pg_pools")
    assert kinds(notebook.cells[2]) == [["text/html", "text/plain"]]
    assert "widgets" not in notebook.metadata
    assert "PostgreSQL pools at" in notebook.cells[2].outputs[0].data["text/plain"]
    exported, _ = MarkdownExporter().from_notebook_node(notebook)
    assert '<th scope="row" title="a">' in exported
