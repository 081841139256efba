"""The Tab key in a real kernel."""

import time

from tests.kernels import wait_until

SETUP = """
create table if not exists flights (carrier text, dep_delay int);
create table if not exists airlines (carrier text primary key, name text);
"""


def ask(kernel, marked):
    """Press Tab at `|`; give what is offered by type, and what it would replace."""
    at = marked.index("|")
    code = marked[:at] + marked[at + 1 :]
    request = kernel.send("complete_request", {"code": code, "cursor_pos": at})
    content = kernel.reply(request)["content"]
    offered = content["metadata"].get("_jupyter_types_experimental", [])
    return {
        "texts": [one["text"] for one in offered],
        "types": {one["text"]: one["type"].replace("\N{NO-BREAK SPACE}", " ") for one in offered},
        "fragment": code[content["cursor_start"] : content["cursor_end"]],
    }


def ask_until(kernel, marked, expected):
    """Press Tab until the catalogue has been read."""
    wait_until(lambda: expected in ask(kernel, marked)["texts"])
    return ask(kernel, marked)


def test_options_and_databases(kernel):
    assert ask(kernel, "%%pg |\nselect 1")["texts"][:2] == ["a", "b"]
    assert ask(kernel, "%%pg a --time|\n")["texts"] == ["--timeout"]
    assert ask(kernel, "%pg_close --s|")["texts"] == ["--session"]
    assert ask(kernel, "%%pg a --as |\n")["texts"] == ["pandas", "arrow", "polars"]


def test_tables_and_columns_of_all_targets(own_kernel, own_activity):
    kernel = own_kernel
    kernel.run(f"%%pg a --write\n{SETUP}").ok()
    kernel.run("%%pg b --write\ncreate table flights (carrier text, dep_delay numeric)").ok()
    ask_until(kernel, "%%pg b\nselect f.| from flights f", "dep_delay")
    found = ask_until(kernel, "%%pg a b\nselect * from |", "airlines")
    assert found["types"]["airlines"] == "table · only a"
    found = ask(kernel, "%%pg a b\nselect f.dep| from flights f")
    assert found["fragment"] == "dep"
    assert found["types"] == {"dep_delay": "column · integer, column · numeric"}
    found = ask(kernel, "late = %pg a select f.| from flights f")
    assert found["texts"] == ["carrier", "dep_delay"]

    kernel.run("%%pg a --write\ncreate table airstrips (id int)").ok()
    ask_until(kernel, "%%pg a\nselect * from airs|", "airstrips")
    kernel.settle()
    assert own_activity.queries("idle in transaction%") == []


def test_variables_of_the_notebook(kernel):
    kernel.run("month, months = 1, [1, 2]\nimport math\ndef monthly(): pass").ok()
    found = ask(kernel, "%%pg a\nselect {mon|}")
    assert found["texts"] == ["month", "months"]
    assert found["types"]["months"] == "list"


def test_python_is_left_to_ipython(kernel):
    kernel.run("delays = [1]").ok()
    assert "delays" in ask(kernel, "dela|")["texts"]
    assert "%pg_close" in ask(kernel, "%pg_cl|")["texts"]


def test_nothing_else_reads_sql(kernel):
    """Where nothing fits, neither Python's names nor files are offered."""
    kernel.run("carrier = 1").ok()
    found = ask(kernel, "%%pg a\nselect 'carr| from x")
    assert set(found["texts"]) <= {found["fragment"]}


def test_it_never_waits_for_a_database(own_kernel):
    """Not even for one whose catalogue is locked: the answer is there, without tables."""
    kernel = own_kernel
    kernel.run("%pg a --session lock --write begin").ok()
    kernel.run("%pg a --session lock --write lock pg_constraint in access exclusive mode").ok()
    started = time.monotonic()
    assert "select" in ask(kernel, "%%pg a\nsel|")["texts"]
    assert ask(kernel, "%%pg a\nselect * from fl|")["texts"] == ["fl"]
    assert time.monotonic() - started < 5.0
    kernel.run("%pg a --session lock rollback").ok()
    kernel.settle()


def test_unloading_takes_it_out(own_kernel):
    kernel = own_kernel
    kernel.run("%unload_ext pgmagic").ok()
    assert kernel.value("get_ipython().Completer.custom_matchers") == []
    assert "--timeout" not in ask(kernel, "%%pg a --time|\n")["texts"]


def test_a_catalogue_that_cannot_be_read_is_no_news(own_kernel):
    kernel = own_kernel
    kernel.run("%pg_connect down --host 127.0.0.1 --port 1 --user nobody").failed("ConnectFailed")
    found = ask(kernel, "%%pg down a\nselect * from fl|")
    assert found["fragment"] == "fl"
    assert kernel.complaints() == []


def test_five_thousand_tables(own_kernel):
    kernel = own_kernel
    kernel.run(
        "%%pg a --write\ndo $$ begin for i in 1 .. 2500 loop execute format("
        "'create table t%s (id int, carrier int, name int)', i); end loop; end $$"
    ).ok()
    kernel.run(
        "%%pg a --write\ndo $$ begin for i in 2501 .. 5000 loop execute format("
        "'create table t%s (id int, carrier int, name int)', i); end loop; end $$"
    ).ok()
    ask_until(kernel, "%%pg a\nselect * from t499|", "t4999")
    code = "%%pg a\nselect x. from t4999 x join t17 y on true where y."
    kernel.run("ip = get_ipython()\nfrom IPython.core.completer import provisionalcompleter").ok()
    seconds = kernel.value(
        "min(__import__('timeit').repeat("
        f"lambda: ip.pgmagic.completions._match(__import__('types').SimpleNamespace("
        f"full_text={code!r}, cursor_line=1, cursor_position=9)), number=1, repeat=5))"
    )
    assert seconds < 0.5  # in truth a millisecond; a busy machine is slower
