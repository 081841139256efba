"""Saved queries in a notebook: kept by one cell, read by the next ones."""

import pytest

from tests.kernels import Activity, Kernel


@pytest.fixture
def saving(kernel: Kernel) -> Kernel:
    """A kernel that has saved nothing yet."""
    kernel.run(
        "saved = get_ipython().pgmagic.client.saved\nfor name in list(saved): saved.delete(name)"
    ).ok()
    return kernel


def test_cells_read_what_others_saved(saving: Kernel, activity: Activity) -> None:
    saving.run("limit = 2").ok()
    reply = saving.run(
        "%%pg --save numbers\nselect g as x from generate_series(1, {limit}) g, pg_sleep(60)"
    ).ok()
    assert reply.shown == ("numbers is saved",)
    assert (reply.result, activity.queries()) == ("", [])
    saving.run("%%pg --save numbers\nselect g as x from generate_series(1, {limit}) g").ok()
    reply = saving.run("%pg --save big select x * 10 as x from Numbers").ok()
    assert reply.shown == ("big is saved · reads numbers",)
    saving.run("limit = 100").ok()
    reply = saving.run("%%pg a b\nselect x from big order by 1").ok()
    assert reply.result.split() == "database x 0 a 10 1 a 20 2 b 10 3 b 20".split()
    reply = saving.run("%%pg --save numbers\nselect 7 as x").ok()
    assert reply.shown == ("numbers is replaced · read by big",)
    assert saving.run("x = %pg a select x from big\nx.x.tolist()").ok().result == "[70]"


def test_listing_showing_deleting(saving: Kernel) -> None:
    assert "Empty DataFrame" in saving.run("%pg_saved").ok().result
    saving.run("v = 1\n%pg --save one select {v} as x").ok()
    saving.run("%pg --save two select x + 1 as x from one").ok()
    frame = "get_ipython().run_line_magic('pg_saved', '')"
    assert saving.value(f"{frame}.values.tolist()") == [
        ["one", "", "{v}", "select {v} as x"],
        ["two", "one", "", "select x + 1 as x from one"],
    ]
    assert saving.value(f"list({frame})") == ["name", "reads", "values", "sql"]
    assert saving.run("%pg_saved one").ok().shown == ("one · read by two\nselect {v} as x",)
    assert saving.run("%pg_saved --delete one").ok().shown == (
        "one is deleted · still read by two",
    )
    assert "did you mean two" in saving.run("%pg_saved tow").failed("CellError").traceback
    saving.run("%pg_saved two one").failed("CellError")
    saving.run("%pg_saved two --delete two").failed("CellError")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%pg --save x --limit 3\nselect 1", "--save runs nothing: it takes no --limit"),
        ("%%pg --save x --into y\nselect 1", "it takes no --into"),
        ("%%pg --save x --background\nselect 1", "it takes no --background"),
        ("%%pg --save x\ny << select 1", "y << has nothing to take"),
        ("%%pg nosuch --save x\nselect 1", "no database nosuch"),
        ("%%pg --save x\ndelete from t", "this is DELETE"),
        ("%%pg --save user\nselect 1", "a word of SQL"),
    ],
)
def test_what_a_saving_cell_refuses(saving: Kernel, cell: str, said: str) -> None:
    assert (
        said
        in saving.run(cell).failed("UnknownDatabase" if "nosuch" in cell else "CellError").traceback
    )
    assert saving.value("len(get_ipython().pgmagic.client.saved)") == 0


def test_a_table_of_that_name_is_told(own_kernel: Kernel) -> None:
    own_kernel.run("%%pg a --write\ncreate table taken (x int)").ok()
    own_kernel.run(
        "pg = get_ipython().pgmagic\nawait pg.completions._catalogs.read(pg.client.pool('a'))"
    ).ok()
    note = "taken is the saved query, not the table public.taken of a"
    assert own_kernel.run("%pg --save taken select 5 as x").ok().shown == (
        f"taken is saved · {note}",
    )
    reply = own_kernel.run("%%pg a\nselect x from taken").ok()
    assert reply.result.split() == ["x", "0", "5"]
    assert note in "".join(reply.shown)
    reply = own_kernel.run("%%pg a\nselect count(*) from public.taken").ok()
    assert reply.result.split() == ["count", "0", "0"]
    assert "saved query" not in "".join(reply.shown)


def test_errors_and_completion_name_them(saving: Kernel) -> None:
    saving.run("%%pg --save wrong\nselect 1 as one,\n  nosuch").ok()
    reply = saving.run("%%pg a\nselect * from wrong").failed("QueryError")
    assert "in the saved query wrong:" in reply.traceback
    assert "  2 |   nosuch" in reply.traceback
    reply = saving.run("%%pg a\nselect * from wrongg").failed("QueryError")
    assert "did you mean the saved query wrong?" in reply.traceback
    code = "%%pg a\nselect * from wr"
    request = saving.send("complete_request", {"code": code, "cursor_pos": len(code)})
    assert "wrong" in saving.reply(request)["content"]["matches"]
