"""What a hostile database says is seen, and does nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Page, expect

# Were any of it markup, there would be an element of this name, a script that ran, or a request.
MARK = "evil-mark"
HOSTILE = (
    f"<{MARK}></{MARK}><img src=http://127.0.0.1:9/{MARK} onerror=window.evil=1>"
    "<script>window.evil=1;alert(1)</script>\x1b[31m\u202ejfk\u200b&lt;"
)
NAME = f"<{MARK}>\u202e<img/src=x onerror=alert(1)>"  # 63 bytes at most

LITERAL = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e").replace("\u200b", "\\u200b")
PREPARE = f"""%%pg a b --write --autocommit
create table "{NAME}" ("{NAME}" text default E'{LITERAL}', n int primary key);
insert into "{NAME}" (n) values (1);
create type mood as enum ('{NAME}', 'calm');
create function shout() returns int language plpgsql as $$ begin
raise exception using message = E'{LITERAL}', detail = E'{LITERAL}', hint = E'{LITERAL}';
end $$"""
NOTICE = f"""%%pg a --write
do $$ begin raise notice using message = E'{LITERAL}'; end $$"""
CELLS = (
    PREPARE,
    f'%%pg a b\nselect "{NAME}" as v, \'{NAME}\'::mood as mood, n as "{NAME}" from "{NAME}"',
    "%%pg a\nselect shout()",
    "%%pg a b\nselect shout()",
    NOTICE,
    f'%%pg a --explain\nselect * from "{NAME}" where "{NAME}" = \'{NAME}\'',
    "%pg_schema a",
    "%pg_diff a c",
    "%pg_pools",
    f"%%pg a\nselect pg_sleep(60) -- {NAME}",
)

SEEN = f"""() => ({{
    elements: document.querySelectorAll('{MARK}, img[onerror], img[src*="{MARK}"]').length,
    ran: window.evil !== undefined,
}})"""
CLEAN = {"elements": 0, "ran": False}


class Watch:
    """What a page did that only hostile text could have made it do."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.events: list[str] = []
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def _dialog(self, dialog: Any) -> None:
        self.events.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        # JupyterLab asks its own server what in an error may be the path of a file.
        own = request.url.startswith(("file:", "http://127.0.0.1:")) and ":9/" not in request.url
        if MARK in request.url and not own:
            self.events.append(f"request {request.url}")

    def seen(self) -> dict[str, Any]:
        return self.page.evaluate(SEEN)


@pytest.fixture
def hostile(many_databases, connected) -> Callable[..., Any]:
    [third] = many_databases(1)

    def open_hostile(*cells: str) -> Any:
        one = connected(*cells)
        one.quietly(f"import os; os.environ['TEST_DSN_C'] = {third.dsn!r}")
        one.quietly("get_ipython().run_line_magic('pg_connect', 'c --dsn-env TEST_DSN_C')")
        return one

    return open_hostile


def test_nothing_that_a_database_says_does_anything(hostile, chromium):
    one = hostile(*CELLS)
    watch = Watch(one.page)
    for index in range(len(CELLS) - 1):
        one.run(index)
    one.start(len(CELLS) - 1)
    expect(one.output(8)).to_contain_text("pg_sleep")
    expect(one.output(9).get_by_role("button", name="Cancel")).to_be_visible()
    assert (watch.seen(), watch.events) == (CLEAN, [])
    one.output(9).get_by_role("button", name="Cancel").click()
    expect(one.output(9)).to_contain_text("QueryCancelled")
    texts = [one.output(index).inner_text() for index in range(len(CELLS))]
    for index in (1, 2, 3, 4, 5, 6, 7):
        assert MARK in texts[index], f"{CELLS[index]} shows {texts[index]}"
    for index in (2, 3, 4, 5, 6, 7):  # a frame of data shows the data as they are
        assert "\\u202e" in texts[index], f"{CELLS[index]} shows {texts[index]}"
        assert not set(texts[index]) & set("\x1b\u202e\u200b"), CELLS[index]
    assert (watch.seen(), watch.events) == (CLEAN, [])

    page, _ = HTMLExporter().from_notebook_node(one.save())
    exported = one.path.with_suffix(".html")
    exported.write_text(page)
    reader = chromium.new_page()
    read = Watch(reader)
    reader.route(
        "**/*", lambda r: r.continue_() if r.request.url.startswith("file:") else r.abort()
    )
    reader.goto(exported.as_uri())
    assert MARK in reader.locator("body").inner_text()
    assert (read.seen(), read.events) == (CLEAN, [])
    reader.close()


def test_the_watch_would_notice(notebook):
    one = notebook(f"from IPython.display import HTML\nHTML({HOSTILE!r})")
    watch = Watch(one.page)
    one.run(0)
    one.page.wait_for_function("() => window.evil !== undefined")
    assert watch.seen()["elements"] >= 1
    assert any("request" in event for event in watch.events)


def test_completion_offers_no_name_that_hides_something(hostile):
    one = hostile(PREPARE, "%pg a select 1 as one")
    watch = Watch(one.page)
    one.run(0)
    one.run(1)
    one.quietly(
        "import asyncio\nfrom IPython.core.completer import provisionalcompleter\n"
        "ip = get_ipython()\n"
        "with provisionalcompleter():\n"
        "    found = [c.text for c in ip.Completer.completions('%%pg a\\nselect * from ', 21)]\n"
        "assert not any('\\u202e' in text or '\\x1b' in text for text in found), found"
    )
    assert (watch.seen(), watch.events) == (CLEAN, [])


def only_files(route: Any) -> None:
    route.continue_() if route.request.url.startswith("file:") else route.abort()
