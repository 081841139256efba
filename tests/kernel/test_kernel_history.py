"""`%pg_history`, and what a frame says of itself."""

import re


def test_every_query_of_the_kernel_is_listed(kernel):
    kernel.run("%%pg a b\nselect generate_series(1, 3) as x").ok()
    number = kernel.value("len(In) - 1") - 1  # of the cell before this one
    kernel.run("%pg a select 1/0")
    kernel.run("h = %pg_history --last 2").ok()
    assert kernel.value("h.database.tolist()") == ["a", "b", "a"]
    assert kernel.value("h.cell.tolist()") == [number, number, number + 2]
    assert kernel.value("h.outcome.tolist()") == ["answered", "answered", "failed"]
    assert kernel.value("h.rows.tolist()[:2]") == [3, 3]
    assert kernel.value("h.sqlstate.tolist()[2]") == "22012"
    assert kernel.value("h.sql[0]") == "select generate_series(1, 3) as x"
    assert re.fullmatch(r"\d+:\d+:[\d,]*", kernel.value("h.snapshot[0]"))
    assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", kernel.value("h.wal[1]"))
    assert kernel.value("str(h.started.dt.tz)") == "UTC"


def test_history_is_of_the_databases_that_are_named(kernel):
    kernel.run("%%pg a b\nselect 1").ok()
    kernel.run("h = %pg_history b").ok()
    assert kernel.value("set(h.database)") == {"b"}
    assert "there is no database nobody" in kernel.run("%pg_history nobody").traceback


def test_a_cancelled_query_is_in_the_history(kernel):
    kernel.run("q = %pg --background a select pg_sleep(30)").ok()
    kernel.run(
        "import asyncio\n"
        "while not get_ipython().pgmagic.client.statistics()[0].running:\n"
        "    await asyncio.sleep(0.01)"
    ).ok()
    kernel.run("q.cancel()\nawait q").failed("QueryCancelled")
    kernel.run("h = %pg_history --last 1").ok()
    assert kernel.value("h.outcome.tolist()") == ["cancelled"]


def test_a_frame_says_where_it_came_from_but_not_what_was_asked(kernel):
    kernel.run("f = %pg a select 'canary' as x").ok()
    kernel.run("kept = f.attrs['pgmagic']").ok()
    assert kernel.value("list(kept['databases'])") == ["a"]
    assert kernel.value("kept['databases']['a']['rows']") == 1
    assert "canary" not in kernel.value("__import__('json').dumps(f.attrs)")
    kernel.run("h = %pg_history --last 1").ok()
    assert kernel.value("kept['fingerprint'] == h.fingerprint[0]")


def test_each_frame_of_a_split_says_its_own_database(kernel):
    kernel.run("s = %pg --split a b select 1 as x").ok()
    assert kernel.value("[list(f.attrs['pgmagic']['databases']) for f in s.values()]") == [
        ["a"],
        ["b"],
    ]
