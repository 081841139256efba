"""The Tab key in a real JupyterLab."""

from playwright.sync_api import expect

TABLES = """
%load_ext pgmagic
from pgmagic.database.settings import DatabaseSettings
from pgmagic.language.inventory import Attribute, Inventory, Relation
magics = get_ipython().pgmagic
columns = (Attribute("carrier", "text"), Attribute("dep_delay", "integer"))
for name, tables in {"ewr": ["flights", "fleet"], "jfk": ["flights"]}.items():
    settings = DatabaseSettings(name=name, host="/nonexistent", user="nobody", database="none")
    magics.client.databases[name] = settings
    entry = magics.completions._catalogs._entry(settings)
    entry.inventory = Inventory(
        tuple(Relation(schema="public", name=table, columns=columns) for table in tables)
    )
    entry.due = float("inf")
"""


def offered(one, text):
    """Type into the second cell and press Tab; give the list that appears."""
    cell = one.page.locator(".jp-Notebook .jp-Cell").nth(1)
    one.page.keyboard.press("Escape")
    cell.locator(".cm-content").click()
    one.page.keyboard.press("Control+a")
    one.page.keyboard.press("Delete")
    one.page.keyboard.insert_text(text)
    one.page.keyboard.press("Tab")
    return one.page.locator(".jp-Completer-item")


def test_tab_completes_options_tables_and_columns(notebook):
    one = notebook(TABLES, "x")
    one.run(0)
    items = offered(one, "%%pg --t")
    expect(items.filter(has_text="--timeout")).to_be_visible()
    expect(items.filter(has_text="--tag")).to_be_visible()
    items = offered(one, "%%pg ewr jfk\nselect * from fl")
    expect(items.filter(has_text="flights")).to_be_visible()
    expect(items.filter(has_text="fleet")).to_contain_text("only ewr")
    items = offered(one, "%%pg jfk\nselect 1 from flights f where f.")
    expect(items).to_have_count(2)
    expect(items.filter(has_text="dep_delay")).to_contain_text("integer")
    one.page.keyboard.press("ArrowDown")
    one.page.keyboard.press("Enter")
    editor = one.page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".cm-content")
    expect(editor).to_contain_text("where f.dep_delay")
    assert one.errors == []
