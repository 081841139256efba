"""A `%%pg` cell of its own waits without blocking the loop, and leaves asyncio as it was."""

from collections.abc import Callable

import pytest

from tests.kernels import Activity, Kernel
from tests.servers import TestDatabase

UNPATCHED = """
import asyncio, _asyncio
assert asyncio.Task is _asyncio.Task and not hasattr(asyncio, "_nest_patched")
"""


def test_asyncio_stays_unpatched(own_kernel: Kernel) -> None:
    reply = own_kernel.run("%%pg a b\nselect 1 as one").ok()
    assert reply.result.split() == ["database", "one", "0", "a", "1", "1", "b", "1"]
    own_kernel.run("%%pg --background a\nselect 2 as two").ok()
    own_kernel.run("await _").ok()
    own_kernel.run(UNPATCHED).ok()
    own_kernel.run("%pg a select 3 as three").ok()  # from here on it must be patched
    own_kernel.run(UNPATCHED).failed("AssertionError")
    own_kernel.settle()
    assert own_kernel.complaints() == []


@pytest.mark.parametrize(
    ("cell", "awaited"),
    [
        ("%%pg a\nselect 1", True),
        ("\n\n%%pg a\nselect 1", True),
        ("%%pg a  \r\nselect 1;\r\n", True),
        ("%%pg ?\nselect 1", True),
        ("%%pg\nselect '%s \\' $x {{y}}'", True),
        ("%%pg?", False),
        ("%%pg_other a\nselect 1", False),
        ("%%time\n%%pg a\nselect 1", False),
        ("x = %pg a select 1", False),
        ("# %%pg\n1", False),
    ],
)
def test_only_cells_are_rewritten(kernel: Kernel, cell: str, awaited: bool) -> None:
    # In a callback of the loop no cell is on the stack, as when a front end's cell arrives.
    kernel.run(
        "import asyncio\n"
        "rewritten = asyncio.get_running_loop().create_future()\n"
        f"def rewrite(): rewritten.set_result(get_ipython().transform_cell({cell!r}))\n"
        "asyncio.get_running_loop().call_soon(rewrite)"
    ).ok()
    rewritten = kernel.value("await rewritten")
    assert rewritten.startswith("await get_ipython().pgmagic.cell(") == awaited


def test_the_body_arrives_byte_for_byte(kernel: Kernel) -> None:
    text = """it''s \\ \\n $HOME %s %% "" '''' é\t;--x"""
    reply = kernel.run(f"%%pg a\nselect '{text}' as text;\nselect 1 as last;").ok()
    assert reply.result.split() == ["last", "0", "1"]
    kernel.run(f"%%pg a\nkept << select '{text}' as text").ok()
    assert kernel.value("kept.text[0]") == text.replace("''", "'")


def test_without_autoawait_it_is_asked_synchronously(kernel: Kernel) -> None:
    kernel.run("%autoawait off").ok()
    try:
        assert kernel.run("%%pg a\nselect 41 as x").ok().result.split() == ["x", "0", "41"]
    finally:
        kernel.run("%autoawait on").ok()
    assert kernel.run("%%pg a\nselect 42 as x").ok().result.split() == ["x", "0", "42"]


@pytest.mark.parametrize("before", ["1/0", "", "def (", "%%pg a\nselect nothing", "%%nosuch\n1"])
def test_after_a_cell_that_failed(kernel: Kernel, before: str) -> None:
    kernel.run(before)
    assert kernel.run("%%pg a\nselect 1 as x").ok().result.split() == ["x", "0", "1"]
    assert "await get_ipython().pgmagic" in kernel.value("In[-2]")


def test_an_answer_is_a_frame_and_is_shown_once(kernel: Kernel) -> None:
    reply = kernel.run("%%pg a\nselect 7 as seven").ok()
    assert reply.html.count("<table") == 1
    assert len(reply.shown) == 1  # the caption
    assert "a 1" in reply.shown[0]
    assert kernel.value("(type(_).__module__.split('.')[0], _.shape)") == ("pandas", (1, 1))


def test_into_stores_and_shows_while_an_arrow_only_stores(kernel: Kernel) -> None:
    assert kernel.run("%%pg a --into first\nselect 1 as x").ok().result
    assert not kernel.run("%%pg a\nsecond << select 2 as x").ok().result
    assert kernel.value("(int(first.x[0]), int(second.x[0]))") == (1, 2)


def test_a_cell_without_rows_shows_its_tag_and_returns_nothing(kernel: Kernel) -> None:
    reply = kernel.run("%%pg a --write\ncreate temporary table t (x int)").ok()
    assert reply.result == ""


def test_a_line_shows_the_tag_of_what_gives_no_rows_and_nothing_else(kernel: Kernel) -> None:
    reply = kernel.run("%pg a --write create temporary table t (i int)").ok()
    assert reply.result == ""
    [shown] = reply.shown
    assert shown.startswith("a CREATE TABLE · ")
    assert kernel.run("x = %pg a select 1 as one").ok().shown == ()


def test_a_database_that_is_known_is_tried_by_its_name_alone(kernel: Kernel) -> None:
    before = kernel.value("repr(get_ipython().pgmagic.client.databases['a'])")
    [shown] = kernel.run("%pg_connect a").ok().shown
    assert shown.startswith("a: PostgreSQL ")
    assert kernel.value("repr(get_ipython().pgmagic.client.databases['a'])") == before


def test_ten_targets_are_asked_at_once(
    many_databases: Callable[[int], list[TestDatabase]], start_own: Callable[..., Kernel]
) -> None:
    ten = many_databases(10)
    kernel = start_own(**{f"t{number}": database for number, database in enumerate(ten)})
    kernel.run("%load_ext pgmagic").ok()
    kernel.run("%%pg t*\nselect 1").ok()  # the connections are open from here on
    running = kernel.start("%%pg t*\nselect pg_sleep(0.5)")
    Activity(tuple(ten)).until(10)
    reply = kernel.finish(running).ok()
    assert 0.5 <= reply.seconds < 2.0
    kernel.settle()


def test_errors_are_one_screen_without_our_frames(kernel: Kernel) -> None:
    one = kernel.run("%%pg a\nselect\n  missing_column\nfrom pg_class").failed("QueryError")
    assert "missing_column" in one.traceback
    assert "^" in one.traceback
    both = kernel.run("%%pg a b\nselect 1/0").failed("FanOutError")
    assert both.traceback.count("division by zero") == 1
    missing = kernel.run("%%pg a\nselect {nothing_of_that_name}").failed("MissingVariable")
    for reply in (one, both, missing):
        assert len(reply.traceback.splitlines()) < 15
        for frame in ("Traceback", "pgmagic/", "asyncpg", "ExceptionGroup", "site-packages"):
            assert frame not in reply.traceback


ERROR_IN_A = "1 / (case when current_database() = {a} then random() * 0 else 1 end)::int"


def test_two_different_errors_are_both_told(kernel: Kernel, activity: Activity) -> None:
    kernel.run(f"a = {activity.databases[0].name!r}").ok()
    reply = kernel.run(f"%%pg a b\nselect {ERROR_IN_A}, sqrt(-1 - random())").failed("FanOutError")
    assert "division by zero" in reply.traceback
    assert "square root of a negative number" in reply.traceback


def test_what_answered_is_kept_and_the_rest_is_asked_again(
    kernel: Kernel, activity: Activity
) -> None:
    kernel.run(f"a = {activity.databases[0].name!r}").ok()
    locked = "exists (select from pg_locks where locktype = 'advisory' and objid = 4711)"
    cell = f"%%pg a b\nselect case when {locked} then 5 else {ERROR_IN_A} end as x"
    reply = kernel.run(cell).failed("FanOutError")
    assert "division by zero" in reply.traceback
    assert any(shown.split() == ["database", "x", "0", "b", "1"] for shown in reply.shown)
    kernel.run("import sys; error = sys.last_value").ok()
    assert kernel.value("error.partial.values.tolist()") == [["b", 1]]
    kernel.run("error.retry_failed()").failed("FanOutError")
    kernel.run("%pg a --session one select pg_advisory_lock(4711)").ok()
    try:
        kernel.run("again = error.retry_failed()").ok()
    finally:
        kernel.run("%pg_close --session one").ok()
    assert kernel.value("again.values.tolist()") == [["a", 5], ["b", 1]]


def test_what_failed_is_one_line_beside_the_rows_of_the_others(
    kernel: Kernel, activity: Activity
) -> None:
    kernel.run(f"a = {activity.databases[0].name!r}").ok()
    [shown] = kernel.run(f"%%pg a b --partial\nselect {ERROR_IN_A} as x").ok().shown
    _, note = shown.splitlines()
    assert note == "note: SQL error in a: division by zero (22012 division_by_zero)"
