"""A cell of 20 rows in a real kernel: `%%pg` beside JupySQL's `%%sql`, both with pandas."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jupyter_client import KernelManager
from jupyter_client.blocking import BlockingKernelClient
from overhead import run

__all__ = ["measure_cells", "start_kernel"]

WARM_UP = 10  # cells of each kind that are not counted
SETTINGS = '[databases.one]\ndsn_env = "BENCH_DSN"\n'
CELLS = {
    "pgmagic": (("%load_ext pgmagic",), "%%pg one\n"),
    "JupySQL": (
        (
            "%load_ext sql",
            "%config SqlMagic.autopandas = True",
            "%config SqlMagic.feedback = 0",
        ),
        "%%sql\n",
    ),
}


def measure_cells(dsn: str, query: str, cells: int) -> dict[str, list[float] | str]:
    """Run cells of each kind in turn; give the seconds of each, or why there are none."""
    measured: dict[str, list[float] | str] = {}
    with ExitStack() as stack:
        kernels = {}
        for name, (before, magic) in CELLS.items():
            try:
                kernels[name] = stack.enter_context(start_kernel(dsn, before))
                for _ in range(WARM_UP):
                    run(kernels[name], magic + query)
            except Exception as error:  # whatever it is that is not there
                kernels.pop(name, None)
                measured[name] = str(error).strip().splitlines()[-1]
        times: dict[str, list[float]] = {name: [] for name in kernels}
        for _ in range(cells):
            for name, kernel in kernels.items():
                times[name].append(run(kernel, CELLS[name][1] + query) / 1000)
    return measured | times


@contextmanager
def start_kernel(dsn: str, cells: Sequence[str]) -> Iterator[BlockingKernelClient]:
    """Start a kernel in a folder with settings, and run cells in it."""
    environment = os.environ | {
        "BENCH_DSN": dsn,
        "DATABASE_URL": dsn.replace("postgresql://", "postgresql+psycopg2://"),
        "PLOOMBER_STATS_ENABLED": "false",
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pgmagic.toml").write_text(SETTINGS)
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            for cell in cells:
                run(client, cell)
            yield client
        finally:
            client.stop_channels()
            manager.shutdown_kernel()
