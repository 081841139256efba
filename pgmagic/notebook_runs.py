"""Run a whole notebook in a kernel of its own, recorded or replayed."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from pgmagic.errors import CellError

__all__ = ["Doing", "run_notebook"]

Doing: TypeAlias = Literal["record", "replay"]


def run_notebook(
    notebook: Path,
    mode: Doing,
    *,
    recordings: Path | None = None,
    output: Path | None = None,
) -> str | None:
    """Run a notebook as `jupyter nbconvert --execute` does, beside its file.

    Gives the error of the first cell that failed, as text, or None. The notebook is not changed;
    `output` takes it as it was run. `recordings` is where the recordings are, by itself beside
    the notebook. Raises `CellError` where it can't be run at all.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError:
        raise CellError(
            "running a notebook needs nbclient", hint="pip install pgmagic[notebooks]"
        ) from None
    try:
        content = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise CellError(f"{notebook} can't be read: {error.strerror}") from None
    except nbformat.reader.NotJSONError:
        raise CellError(f"{notebook} is no notebook") from None
    folder = notebook.absolute().parent
    client = NotebookClient(content, timeout=None, resources={"metadata": {"path": str(folder)}})
    failed = None
    try:
        client.execute(env=_environment(notebook, mode, recordings))
    except CellExecutionError as error:
        failed = str(error)
    if output is not None:
        nbformat.write(content, output)  # type: ignore[no-untyped-call]
    return failed


def _environment(notebook: Path, mode: str, recordings: Path | None) -> dict[str, str]:
    """Tell the kernel what Jupyter would, and the mode."""
    told = {"PGMAGIC_MODE": mode, "JPY_SESSION_NAME": str(notebook.absolute())}
    if recordings is not None:
        told["PGMAGIC_RECORDINGS"] = str(recordings.absolute())
    return os.environ | told
