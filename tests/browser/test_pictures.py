"""The pictures of the documentation, light and dark, taken of a real JupyterLab."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser_cells import PANEL, PROGRESS

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_the_panel(notebook, theme):
    one = notebook(PANEL)
    one.use_theme(theme)
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    expect(panel.get_by_role("table").first).to_contain_text("billing")
    expect(panel.get_by_role("button")).to_have_count(3)
    panel.screenshot(path=PICTURES / f"panel-{theme}.png")


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


CELLS = (
    """%%pg a b
select n as id, 'order ' || n as title, n * 19.9 as amount from generate_series(1, 3) n""",
    """%%pg a
select id,
       amout
from (select 1 as id, 2.5 as amount) as orders""",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_of_a_caption_and_of_an_error(connected, theme):
    one = connected(*CELLS)
    one.use_theme(theme)
    one.run(0)
    expect(one.output(0)).to_contain_text("a 3 · b 3 rows")
    one.start(1)
    expect(one.output(1)).to_contain_text("hint")
    for index, name in enumerate(("caption", "error")):
        cell = one.page.locator(".jp-Notebook .jp-Cell").nth(index)
        cell.screenshot(path=PICTURES / f"{name}-{theme}.png")
