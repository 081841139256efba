"""What a screen reader and weak eyes are given, by the rules of axe-core."""

import pytest
from playwright.sync_api import expect

from tests.browser_cells import PANEL, PROGRESS

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="not installed")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_panel_and_a_running_cell_break_no_rule(notebook, theme):
    one = notebook(PANEL, PROGRESS)
    one.use_theme(theme)
    one.run(0)
    one.start(1)
    expect(one.output(0).locator(".pgm-frame")).to_contain_text("billing")
    expect(one.output(1).locator(".pgm-run")).to_contain_text("rows")
    for drawing in (".pgm-frame", ".pgm-run"):
        found = axe.Axe().run(one.page, context=drawing)
        assert found.violations_count == 0, found.generate_report()
