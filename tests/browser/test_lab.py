"""pgmagic as a user of JupyterLab sees it, on real servers."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

PATIENCE = 10.0


@pytest.fixture
def until_active(database, second_database):
    """Wait until so many queries run on the database `a`, and on `b`."""

    async def count(one):
        async with one.connection() as connection:
            return await connection.fetchval(
                "select count(*) from pg_stat_activity where datname = $1"
                " and state = 'active' and pid <> pg_backend_pid()"
                " and backend_type = 'client backend'",
                one.name,
            )

    # In a thread: Playwright occupies the loop of this one.
    with ThreadPoolExecutor(1) as thread:

        def active(one):
            return thread.submit(asyncio.run, count(one)).result()

        def wait(a, b):
            deadline = time.monotonic() + PATIENCE
            while (active(database), active(second_database)) != (a, b):
                assert time.monotonic() < deadline, "waited in vain"
                time.sleep(0.05)

        yield wait


def mimetypes(outputs):
    return {kind for output in outputs for kind in output.get("data", {})}


def row_of(panel, database):
    """The database's line among the pools: what runs there has a table of its own."""
    pools = panel.get_by_role("region", name="PostgreSQL connection pools")
    return pools.get_by_role("rowheader", name=database, exact=True)


def test_a_short_cell_leaves_a_caption_and_a_frame_and_no_widget(connected):
    one = connected("%%pg a b\nselect 1 as one")
    one.run(0)
    expect(one.output(0)).to_contain_text("a 1 · b 1 rows")
    expect(one.output(0).locator("table.dataframe")).to_be_visible()
    assert mimetypes(one.model(0)) == {"text/html", "text/plain"}


def test_the_button_of_a_running_cell_cancels_on_every_server(connected, until_active):
    one = connected(
        "%%pg a b\nselect repeat('x', 5000), pg_sleep(case when n > 20 then 60 end)\n"
        "from generate_series(1, 100) n",
        "%pg a select 2 as two",
    )
    one.start(0)
    until_active(1, 1)
    for database in ("a", "b"):
        line = re.compile(rf"running {database} \d+ rows \d+ kB \d+ rows.s")
        expect(one.output(0).get_by_role("row", name=line)).to_be_visible()
    one.output(0).get_by_role("button", name="Cancel").click()
    expect(one.output(0)).to_contain_text("QueryCancelled")
    until_active(0, 0)
    assert not any("widget" in kind for kind in mimetypes(one.model(0)))
    one.run(1)
    expect(one.output(1).locator("table.dataframe")).to_contain_text("2")


def test_the_panel_follows_a_fan_out_and_cancels_one_of_its_queries(connected, until_active):
    one = connected("%pg_pools", "%%pg a b\nselect pg_sleep(60)")
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    expect(panel).to_contain_text("No pool is open yet")
    one.start(1)
    for name in ("a", "b"):
        meter = panel.get_by_role("meter", name=f"{name}: connections in use")
        expect(meter).to_have_attribute("aria-valuenow", "1")
        expect(panel.get_by_role("button", name=f"Cancel {name}")).to_be_visible()
    panel.get_by_role("button", name="Cancel a").click()
    until_active(0, 1)
    expect(panel.get_by_role("button", name="Cancel a")).to_have_count(0)
    panel.get_by_role("button", name="Cancel b").click()
    expect(one.output(1)).to_contain_text("QueryCancelled in a, b")
    expect(panel.get_by_role("button")).to_have_count(0)


def test_the_panel_says_so_when_the_kernel_is_gone(connected):
    one = connected("%pg a select 1", "%pg_pools")
    one.run(0)
    one.run(1)
    panel = one.output(1).locator(".pgm-frame")
    gone = panel.get_by_text("kernel gone").first
    expect(row_of(panel, "a")).to_be_visible()
    expect(gone).to_be_hidden()
    one.kill_kernel()
    expect(gone).to_be_visible()
    expect(row_of(panel, "a")).to_be_visible()


def test_the_panel_says_so_when_the_kernel_is_restarted(connected, until_active):
    one = connected("%pg_pools", "%%pg a\nselect pg_sleep(60)")
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    one.start(1)
    running = one.output(1).locator(".pgm-run")
    expect(panel.get_by_role("button", name="Cancel a")).to_be_visible()
    expect(running.get_by_role("button", name="Cancel")).to_be_visible()
    one.restart_kernel()
    for drawing in (panel, running):
        expect(drawing.get_by_text("kernel gone").first).to_be_visible()
        expect(drawing.get_by_text("no update").first).to_be_hidden()
        expect(drawing.get_by_role("button")).to_have_count(0)
    expect(panel.get_by_text("every second")).to_be_hidden()
    until_active(0, 0)


def test_the_panel_says_so_when_the_kernel_is_busy(connected):
    one = connected("%pg_pools", "import time; time.sleep(6)")
    one.run(0)
    panel = one.output(0).locator(".pgm-frame")
    expect(panel).to_contain_text("every second")
    one.start(1)
    expect(panel.get_by_text("kernel busy or gone").first).to_be_visible()
    expect(panel.get_by_text("kernel gone").first).to_be_hidden()
    expect(panel.get_by_text("kernel busy or gone").first).to_be_hidden()


def test_a_panel_that_was_saved_alive_still_reads_when_exported(connected, chromium):
    one = connected("%pg a select 1", "%pg_pools")
    one.run(0)
    one.run(1)
    expect(one.output(1).locator(".pgm-frame")).to_be_visible()
    page, _ = HTMLExporter().from_notebook_node(one.save())
    exported = one.path.with_suffix(".html")
    exported.write_text(page)
    reader = chromium.new_page()
    reader.route("**/*", lambda route: route.continue_() if _local(route) else route.abort())
    reader.goto(exported.as_uri())
    panel = reader.locator(".pgm-frame")
    expect(panel.get_by_role("columnheader", name="in use")).to_be_visible()
    expect(row_of(panel, "a")).to_be_visible()
    reader.close()


def test_unloading_leaves_a_picture_where_the_panel_was(connected):
    one = connected("%pg a select 1", "%pg_pools", "%unload_ext pgmagic")
    for index in range(3):
        one.run(index)
    expect(one.output(1)).to_contain_text("as it was at")
    assert mimetypes(one.model(1)) == {"text/html", "text/plain"}


def test_a_kernel_that_is_shut_down_leaves_a_picture_of_the_panel(connected):
    one = connected("%pg a select 1", "%pg_pools")
    one.run(0)
    one.run(1)
    expect(one.output(1)).to_contain_text("every second")
    one.shut_down_kernel()
    expect(one.output(1)).to_contain_text("as it was at")


def _local(route) -> bool:
    return route.request.url.startswith("file:")
