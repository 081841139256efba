"""Run the notebooks on the sandbox, record them, and save them as they are read: `make notebooks`.

Names of notebooks, without their ending, refresh only these.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
NAMES = ("tour", "fan_out", "outage", "reproducible")

# What is another each time, and tells a reader nothing.
CLOCK = re.compile(r"\b\d\d:\d\d:\d\d\b")
DATE = re.compile(r"\b20(?!13)\d\d-\d\d-\d\d ")  # the flights are of 2013


def main() -> int:
    """Refresh the notebooks that are named, or all."""
    for name in sys.argv[1:] or NAMES:
        started = time.monotonic()
        notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
        recordings = HERE / f"{name}.recordings"
        shutil.rmtree(recordings, ignore_errors=True)
        execute(notebook, PGMAGIC_MODE="record", PGMAGIC_RECORDINGS=str(recordings))
        clean(notebook)
        nbformat.write(notebook, HERE / f"{name}.ipynb")
        kept = sum(path.stat().st_size for path in recordings.rglob("*") if path.is_file())
        size = (HERE / f"{name}.ipynb").stat().st_size
        print(f"{name}: {time.monotonic() - started:.1f} s, {size:,} bytes, {kept:,} recorded")
    return 0


def execute(notebook: nbformat.NotebookNode, **environment: str) -> None:
    """Run a notebook from top to bottom in a fresh kernel."""
    with tempfile.TemporaryDirectory() as folder:
        # Over sockets of its own: ipykernel warns of any other way.
        kernel = KernelManager(transport="ipc", connection_file=str(Path(folder) / "kernel.json"))
        kernel.start_kernel(cwd=str(HERE), env=os.environ | environment)
        client = NotebookClient(notebook, km=kernel, timeout=300, record_timing=False)
        try:
            client.execute(cleanup_kc=True)
        finally:
            kernel.shutdown_kernel(now=True)  # where it did not end by itself
            kernel.cleanup_resources()


def clean(notebook: nbformat.NotebookNode) -> None:
    """Leave what a reader wants: no widgets, no clock, and no HTML that needs a style sheet."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "display_data" and "text/plain" in output.data:
                _clean_display(output.data)


def _clean_display(data: Any) -> None:
    if "<style" in data.get("text/html", ""):
        del data["text/html"]
    for kind in ("text/plain", "text/html"):
        if kind in data:
            data[kind] = DATE.sub("", CLOCK.sub("12:00:00", data[kind]))


if __name__ == "__main__":
    sys.exit(main())
