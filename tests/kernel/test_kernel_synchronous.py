"""`%pg` in the middle of Python: the loop is entered again, and everything waits for the answer."""

import json

import pytest

from tests.kernels import Kernel, wait_until

ONE = ["one", "0", "1"]


@pytest.mark.parametrize(
    "cell",
    [
        "%pg a select 1 as one",
        "x = %pg a select 1 as one\nx",
        "x = %pg a select 1 as one;\nx",
        "%time %pg a select 1 as one",
        "%%time\n%%pg a\nselect 1 as one",
        "%%time\n%pg a select 1 as one",
        "def f():\n    x = %pg a select 1 as one\n    return x\nf()",
        "async def f():\n    x = %pg a select 1 as one\n    return x\nawait f()",
        (
            "import asyncio\nasync def f():\n    x = %pg a select 1 as one\n    return x\n"
            "(await asyncio.gather(f(), f()))[1]"
        ),
        "get_ipython().run_line_magic('pg', 'a select 1 as one')",
        "get_ipython().run_cell_magic('pg', 'a', 'select 1 as one')",
    ],
)
def test_wherever_it_stands_it_gives_a_frame(kernel: Kernel, cell: str) -> None:
    assert kernel.run(cell).ok().result.split() == ONE


def test_in_a_loop(kernel: Kernel) -> None:
    kernel.run(
        "found = []\n"
        "for number in range(3):\n"
        "    x = %pg a select {number} * 10 as ten\n"
        "    found.append(int(x.ten[0]))"
    ).ok()
    assert kernel.value("found") == [0, 10, 20]


def test_a_function_gives_its_own_variables(kernel: Kernel) -> None:
    kernel.run("value = 'of the notebook'").ok()
    kernel.run(
        "def f(value, targets):\n"
        "    inner = {'key': [value]}\n"
        "    x = %pg {targets} --into stored select {value} as a, {inner['key'][0]} as b\n"
        "    return x"
    ).ok()
    kernel.run("x = f('of the function', ['a'])").ok()
    assert kernel.value("x.values.tolist()") == [["of the function"] * 2]
    assert kernel.value("stored.values.tolist()") == [["of the function"] * 2]
    assert kernel.value("value") == "of the notebook"


def test_capture_really_captures(kernel: Kernel) -> None:
    reply = kernel.run("%%capture captured\n%%pg a b\nselect 1 as one").ok()
    assert (reply.result, reply.shown) == ("", ())
    shown = kernel.value("[output.data['text/plain'] for output in captured.outputs]")
    assert shown[-1].split() == ["database", "one", "0", "a", "1", "1", "b", "1"]
    assert len(shown) == 2


def test_timeit_waits_for_every_answer(kernel: Kernel) -> None:
    reply = kernel.run(
        "timed = %timeit -o -q -n2 -r2 get_ipython().run_line_magic("
        "'pg', 'a select pg_sleep(0.05)')"
    ).ok()
    assert reply.stderr == ""
    assert kernel.value("timed.best") >= 0.05
    assert "per loop" in kernel.run("%%timeit -n1 -r1\n%pg a select 1").ok().stdout
    assert "per loop" in kernel.run("%timeit -n1 -r1 %pg a select 1").ok().stdout


def test_in_files_that_are_run(kernel: Kernel) -> None:
    files = {
        "cells.ipy": "from_ipy = get_ipython().run_line_magic('pg', 'a select 1 as one')\n"
        "also = %pg a select 2 as two\n",
        "plain.py": "from IPython import get_ipython\n"
        "from_py = get_ipython().run_line_magic('pg', 'a select 3 as three')\n",
    }
    for name, text in files.items():
        kernel.run(f"from pathlib import Path; _ = Path({name!r}).write_text({text!r})").ok()
        kernel.run(f"%run -i {name}").ok()
    values = "[int(frame.iloc[0, 0]) for frame in (from_ipy, also, from_py)]"
    assert kernel.value(values) == [1, 2, 3]


def test_in_a_notebook_that_is_run(kernel: Kernel) -> None:
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "one",
        "metadata": {},
        "outputs": [],
        "source": "%%pg a --into from_notebook\nselect 5 as five",
    }
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    kernel.run(
        "from pathlib import Path\n"
        f"_ = Path('other.ipynb').write_text({json.dumps(notebook)!r})\n"
        "%run other.ipynb"
    ).ok()
    assert kernel.value("int(from_notebook.five[0])") == 5


def test_tasks_of_the_user_go_on_meanwhile(bare_kernel: Kernel) -> None:
    # Made before anything is patched, by the C implementation.
    bare_kernel.run(
        "import asyncio\n"
        "ticks = []\n"
        "async def tick():\n"
        "    while True:\n"
        "        ticks.append(1)\n"
        "        await asyncio.sleep(0.05)\n"
        "ticking = asyncio.create_task(tick())"
    ).ok()
    bare_kernel.run("%load_ext pgmagic").ok()
    during = "\n".join(
        [
            "before = len(ticks)",
            "%pg a select pg_sleep(0.6)",
            "during = len(ticks) - before",
            "_ = ticking.cancel()",
        ]
    )
    bare_kernel.run(during).ok()
    assert bare_kernel.value("during") >= 4
    assert bare_kernel.complaints() == []


def test_an_error_in_a_function_points_into_the_line(kernel: Kernel) -> None:
    kernel.run("def f():\n    return get_ipython().run_line_magic('pg', 'a select oops')").ok()
    reply = kernel.run("f()").failed("QueryError")
    assert "oops" in reply.traceback
    assert "site-packages" not in reply.traceback
    kernel.run(
        "import pgmagic\ntry:\n    f()\nexcept pgmagic.QueryError as e:\n    code = e.sqlstate"
    )
    assert kernel.value("code") == "42703"


def test_the_first_line_among_other_callbacks_leaves_the_loop_whole(own_kernel: Kernel) -> None:
    own_kernel.run(
        "import asyncio\n"
        "loop, found = asyncio.get_running_loop(), []\n"
        "def ask(): found.append(get_ipython().run_line_magic('pg', 'a select 1 as one'))\n"
        "def begin():\n"
        "    loop.call_soon(ask)\n"
        "    for _ in range(20): loop.call_soon(found.append, 'queued')\n"
        "loop.call_soon(begin)"
    ).ok()
    wait_until(lambda: own_kernel.value("len(found)") == 21)  # perhaps it asks while ours waits
    assert own_kernel.run("%pg a select 1 as one").ok().result.split() == ONE
    assert own_kernel.complaints() == []
