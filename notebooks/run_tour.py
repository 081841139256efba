"""Execute the tour and say what it found: `make demo`."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbconvert import HTMLExporter

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"


def main() -> int:
    """Run `tour.ipynb` in a fresh kernel; print the fan-out and the pools; write the HTML."""
    started = time.monotonic()
    notebook = nbformat.read(HERE / "tour.ipynb", as_version=4)
    print("Starting PostgreSQL and running notebooks/tour.ipynb …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        # Over sockets of its own: ipykernel warns of any other way.
        kernel = KernelManager(transport="ipc", connection_file=str(Path(folder) / "kernel.json"))
        resources = {"metadata": {"path": str(HERE)}}
        try:
            NotebookClient(notebook, km=kernel, timeout=300, resources=resources).execute()
        finally:
            kernel.shutdown_kernel()

    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.startswith(("%%pg ewr jfk lga --into", "%pg_")):
            print(f"\n{cell.source}\n")
            for output in cell.outputs:
                if text := plain_text(output):
                    print(text)

    BUILD.mkdir(exist_ok=True)
    html, _ = HTMLExporter().from_notebook_node(notebook)
    page = BUILD / "tour.html"
    page.write_text(html)
    print(f"\nThe executed notebook: {page}  ({time.monotonic() - started:.1f} s)")
    return 0


def plain_text(output: Any) -> str:
    """Give what an output says without a browser."""
    return str(output.get("data", {}).get("text/plain", ""))


if __name__ == "__main__":
    sys.exit(main())
