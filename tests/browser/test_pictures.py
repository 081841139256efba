"""The pictures of the documentation, light and dark, taken of a real JupyterLab."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"

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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_the_panel(notebook, theme):
    one = notebook(PANEL)
    one.use_theme(theme)
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    expect(panel.get_by_role("table").first).to_contain_text("billing")
    expect(panel.get_by_role("button")).to_have_count(3)
    panel.screenshot(path=PICTURES / f"panel-{theme}.png")


PROGRESS = """
from types import SimpleNamespace
from pgmagic.notebook.caption import caption
from pgmagic.notebook.progress import CellProgress
from pgmagic.outcome import Answer
import asyncio

watch = SimpleNamespace(
    progress={"ewr": SimpleNamespace(rows=0), "jfk": SimpleNamespace(rows=18_220)},
    outcomes={"jfk": Answer(database="jfk", results=(), elapsed=0.4)},
    state={"lga": "waiting for a connection"},
)

async def stream():
    for _ in range(8):
        await asyncio.sleep(0.1)
        watch.progress["ewr"].rows += 9_600
    await asyncio.Event().wait()

async with CellProgress(watch, ["ewr", "jfk", "lga"], awaited=True):
    await stream()
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_a_running_cell(notebook, theme):
    one = notebook(PROGRESS)
    one.use_theme(theme)
    one.start(0)
    running = one.output(0).locator(".pgm-run")
    expect(running).to_contain_text("76,800 rows")
    running.screenshot(path=PICTURES / f"progress-{theme}.png")
    running.get_by_role("button", name="Cancel").click()
    expect(one.output(0)).to_contain_text("cancelled on ewr, jfk, lga")
