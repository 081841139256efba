"""Cells that draw pools and a running cell which don't exist, for the tests in a browser."""

PANEL = """
import asyncio, time
from pgmagic.notebook.panel import PoolPanel
from tests.fake_pools import a_bad_day, a_minute
panel = PoolPanel(
    a_bad_day,
    history=lambda name: a_minute(name, time.monotonic()),
    cancel=print,
    retry=print,
    loop=asyncio.get_running_loop(),
)
panel.show()
"""

PROGRESS = """
from types import SimpleNamespace
from pgmagic.notebook.caption import caption
from pgmagic.notebook.progress import CellProgress
from pgmagic.outcome import Answer
import asyncio

watch = SimpleNamespace(
    progress={
        "ewr": SimpleNamespace(rows=0, bytes=0),
        "jfk": SimpleNamespace(rows=18_220, bytes=2_186_400),
    },
    outcomes={"jfk": Answer(database="jfk", results=(), elapsed=0.4)},
    state={"lga": "waiting for a connection"},
)

async def stream():
    for _ in range(8):
        await asyncio.sleep(0.1)
        watch.progress["ewr"].rows += 9_600
        watch.progress["ewr"].bytes += 1_152_000
    await asyncio.Event().wait()

async with CellProgress(watch, ["ewr", "jfk", "lga"], awaited=True):
    await stream()
"""
