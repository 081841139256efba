"""SQL colours in a real JupyterLab."""

import pytest
from playwright.sync_api import expect

SQL = "%%pg ewr\nselect count(*) from flights where month = 1"
PYTHON = "from math import pi  # and so on"
TYPE = """([index, source]) => {
    window.pgmagic_test.panel.content.model.cells.get(index).sharedModel.setSource(source);
}"""


def colours(one, index):
    """Give each coloured piece of a cell's text with its colour."""
    spans = one.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".cm-line span")
    return dict(
        spans.evaluate_all(
            "spans => spans.map(span => [span.textContent.trim(), getComputedStyle(span).color])"
        )
    )


def until_coloured(one, index, word):
    """Wait until a word of a cell stands in a piece of its own."""
    cell = one.page.locator(".jp-Notebook .jp-Cell").nth(index)
    expect(cell.locator(".cm-line span").get_by_text(word, exact=True).first).to_be_visible()
    return colours(one, index)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_pg_cell_has_the_colours_of_sql(notebook, theme):
    one = notebook(SQL, PYTHON)
    one.use_theme(theme)
    sql = until_coloured(one, 0, "where")
    python = until_coloured(one, 1, "import")
    assert sql["select"] == sql["from"] == sql["where"] == python["import"]
    assert sql["1"] != sql["select"]
    assert one.errors == []


def test_the_magic_line_has_one_colour(notebook):
    one = notebook("%%time\n%%pg ewr --limit 3\nselect 1", PYTHON)
    until_coloured(one, 0, "select")
    lines = one.page.locator(".jp-Notebook .jp-Cell").first.locator(".pgmagic-magic-line")
    expect(lines).to_have_text(["%%time", "%%pg ewr --limit 3"])


def test_colours_follow_what_is_typed(notebook):
    one = notebook("where = 1")
    cell = one.page.locator(".jp-Notebook .jp-Cell").first
    expect(cell.locator(".pgmagic-magic-line")).to_have_count(0)
    one.page.evaluate(TYPE, [0, SQL])
    until_coloured(one, 0, "where")
    expect(cell.locator(".pgmagic-magic-line")).to_have_count(1)
    one.page.evaluate(TYPE, [0, "import math"])
    until_coloured(one, 0, "import")
    expect(cell.locator(".pgmagic-magic-line")).to_have_count(0)


def test_other_magics_keep_their_colours(notebook):
    one = notebook("%%pgx\nselect 1", "x = 1  # %%pg")
    expect(one.page.locator(".pgmagic-magic-line")).to_have_count(0)
