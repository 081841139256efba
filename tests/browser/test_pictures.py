"""The pictures of the documentation, light and dark, taken of a real JupyterLab.

With PGMAGIC_PICTURES=1 they replace those in docs/pictures.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser_cells import PANEL, PROGRESS

DOCS = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture
def pictures(tmp_path):
    """The folder for the pictures. They are looked at by people, and only they replace them."""
    return DOCS if os.environ.get("PGMAGIC_PICTURES") else tmp_path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_the_panel(notebook, pictures, theme):
    one = notebook(PANEL)
    one.use_theme(theme)
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    expect(panel.get_by_role("table").first).to_contain_text("billing")
    expect(panel.get_by_role("button")).to_have_count(3)
    panel.screenshot(path=pictures / f"panel-{theme}.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_a_running_cell(notebook, pictures, theme):
    one = notebook(PROGRESS)
    one.use_theme(theme)
    one.start(0)
    running = one.output(0).locator(".pgm-run")
    expect(running).to_contain_text("76,800 rows")
    expect(running).to_contain_text("9.2 MB")
    running.screenshot(path=pictures / f"progress-{theme}.png")
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
def test_pictures_of_a_caption_and_of_an_error(connected, pictures, theme):
    one = connected(*CELLS)
    one.use_theme(theme)
    one.run(0)
    expect(one.output(0)).to_contain_text("a 3 · b 3 rows")
    one.start(1)
    expect(one.output(1)).to_contain_text("hint")
    for index, name in enumerate(("caption", "error")):
        cell = one.page.locator(".jp-Notebook .jp-Cell").nth(index)
        cell.screenshot(path=pictures / f"{name}-{theme}.png")


ORDERS = """%%pg a b --write
create table customers (id int primary key, country text);
insert into customers select n, (array['DE', 'FR', 'NO'])[n % 3 + 1] from generate_series(1, 500) n;
create table orders (id int primary key, customer int references customers, amount numeric);
insert into orders select n, n % 500 + 1, n % 90 from generate_series(1, 40000) n;
analyze"""
PLAN = """%%pg a b --analyze
select c.country, sum(o.amount) from orders o join customers c on c.id = o.customer
where o.amount > 12 group by c.country order by 2 desc"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_a_plan(connected, pictures, theme):
    one = connected(ORDERS, PLAN)
    one.use_theme(theme)
    one.run(0)
    one.run(1)
    plan = one.output(1).locator(".pgm-plans")
    expect(plan).to_contain_text("Hash Join")
    plan.screenshot(path=pictures / f"plan-{theme}.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_a_panel_whose_kernel_is_gone(notebook, pictures, theme):
    one = notebook(PANEL)
    one.use_theme(theme)
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    expect(panel.get_by_role("button")).to_have_count(3)
    one.restart_kernel()
    expect(panel.get_by_text("kernel gone").first).to_be_visible()
    panel.screenshot(path=pictures / f"panel-gone-{theme}.png")
