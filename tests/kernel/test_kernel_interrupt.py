"""The stop button: the cell ends at once, the servers stop, the next cell works."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kernels import Activity, Kernel, Reply

MANY_ROWS = "select generate_series(1, 300000)"  # their frame is built in a thread
PROMPT = 2.0  # seconds within which an interrupted cell must have ended

CELLS = {
    "awaited": "%%pg a\nselect pg_sleep(30)",
    "awaited on two": "%%pg a b\nselect pg_sleep(30)",
    "line": "x = %pg a select pg_sleep(30)",
    "timed": "%%time\n%%pg a b\nselect pg_sleep(30)",
    "in a function": "def f():\n    %pg a select pg_sleep(30)\nf()",
    "several statements": "%%pg a\nselect 1;\nselect pg_sleep(30);\nselect 2",
    "in a transaction": "%%pg a --write\ncreate temp table t (x int);\nselect pg_sleep(30)",
}
# A KeyboardInterrupt in these would leave a task of the user's own, and end the kernel.
IN_TASKS = {
    "line": "async def f():\n    %pg a select pg_sleep(30)\nawait asyncio.create_task(f())",
    "background": "first = %pg --background a select pg_sleep(30)\nawait asyncio.gather(first)",
}


def interrupted(kernel: Kernel, request: str, ename: str = "KeyboardInterrupt") -> Reply:
    """Press stop; the cell must end soon, and the servers with it."""
    pressed = kernel.interrupt()
    reply = kernel.finish(request).failed(ename)
    assert time.monotonic() - pressed < PROMPT
    return reply


def assert_works(kernel: Kernel) -> None:
    assert kernel.run("%%pg a b\nselect 1 as one").ok().result.count("1") == 3
    assert kernel.run("%pg a select 2 as two").ok().result.split() == ["two", "0", "2"]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a backend in its tracks: it does not even hear that it is cancelled."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_it_stops_the_cell_and_the_servers(kernel: Kernel, activity: Activity, cell: str) -> None:
    running = kernel.start(cell)
    activity.until(2 if " a b" in cell else 1)
    reply = interrupted(kernel, running)
    assert activity.queries() == []
    assert reply.traceback == "KeyboardInterrupt: cancelled on the server"
    kernel.settle()
    assert_works(kernel)


@pytest.mark.parametrize("cell", [CELLS["awaited"], CELLS["line"]], ids=["awaited", "line"])
def test_again_and_again_it_leaves_no_connection_behind(
    kernel: Kernel, activity: Activity, cell: str
) -> None:
    sizes = []
    for _ in range(3):
        running = kernel.start(cell)
        activity.until(1)
        interrupted(kernel, running)
        kernel.settle()
        sizes.append(kernel.state()[0][0][1])
    assert sizes[0] == sizes[-1]


def test_python_gets_its_own_handler_back(kernel: Kernel, activity: Activity) -> None:
    handler = "(lambda signal: signal.getsignal(2) is signal.default_int_handler)"
    handler += "(__import__('signal'))"
    assert kernel.value(handler)
    for cell in (CELLS["awaited"], CELLS["line"]):
        running = kernel.start(cell)
        activity.until(1)
        interrupted(kernel, running)
        assert kernel.value(handler)
    sleeping = kernel.start("print('asleep')\nimport time; time.sleep(30)")
    kernel.wait_for_output(sleeping, "asleep")
    interrupted(kernel, sleeping)


def test_cells_that_wait_in_the_queue_run_or_are_aborted(
    kernel: Kernel, activity: Activity
) -> None:
    for stop_on_error, expected in ((True, "aborted"), (False, "ok")):
        running = kernel.start(CELLS["awaited"], stop_on_error=stop_on_error)
        queued = [kernel.start("%%pg a\nselect 1 as one"), kernel.start("%pg a select 1")]
        activity.until(1)
        interrupted(kernel, running)
        assert [kernel.reply(each)["content"]["status"] for each in queued] == [expected] * 2
    assert_works(kernel)


@pytest.mark.parametrize("cell", ["%%pg a b\n", "x = %pg a "], ids=["awaited", "line"])
def test_in_the_middle_of_a_large_result(kernel: Kernel, activity: Activity, cell: str) -> None:
    rows = "select generate_series(1, 100000000) as number, repeat('x', 200) as text"
    running = kernel.start(cell + rows)
    activity.until_streaming()
    interrupted(kernel, running)
    assert activity.queries() == []
    kernel.settle()
    assert_works(kernel)


@pytest.mark.parametrize(
    "cell", [f"%%pg a\n{MANY_ROWS}", f"x = %pg a {MANY_ROWS}"], ids=["awaited", "line"]
)
def test_while_the_frame_is_built(own_kernel: Kernel, cell: str) -> None:
    own_kernel.run(
        "import threading, pgmagic.client\n"
        "building, go_on = threading.Event(), threading.Event()\n"
        "def assemble(*_, **__):\n"
        "    building.set()\n"
        "    go_on.wait(30)\n"
        "    return None, ()\n"
        "assembled = pgmagic.client.assemble\n"
        "pgmagic.client.assemble = assemble\n"
        "def tell():\n"
        "    building.wait(30)\n"
        "    print('building')\n"
        "threading.Thread(target=tell).start()"
    ).ok()
    running = own_kernel.start(cell)
    own_kernel.wait_for_output(None, "building")
    interrupted(own_kernel, running)
    own_kernel.run("go_on.set(); pgmagic.client.assemble = assembled").ok()
    own_kernel.settle()
    assert_works(own_kernel)
    assert own_kernel.complaints() == []


def test_a_server_that_does_not_answer_is_left_after_a_while(
    kernel: Kernel, activity: Activity
) -> None:
    running = kernel.start(CELLS["awaited"])
    activity.until(1)
    with stopped(activity.pids()[0]):
        pressed = kernel.interrupt()
        kernel.finish(running).failed("KeyboardInterrupt")
        assert time.monotonic() - pressed < PROMPT + 1.5
        assert_works(kernel)
    activity.until(0)


@pytest.mark.parametrize("cell", [CELLS["awaited"], CELLS["line"]], ids=["awaited", "line"])
def test_a_second_press_does_not_wait_for_the_server(
    kernel: Kernel, activity: Activity, cell: str
) -> None:
    running = kernel.start(cell)
    activity.until(1)
    with stopped(activity.pids()[0]):
        first = kernel.interrupt()
        kernel.interrupt()
        reply = kernel.finish(running).failed("KeyboardInterrupt")
        assert time.monotonic() - first < PROMPT
        assert "stopped waiting" in reply.traceback
        assert_works(kernel)
    activity.until(0)


@pytest.mark.parametrize("cell", IN_TASKS.values(), ids=IN_TASKS)
def test_in_a_task_of_the_users_own(kernel: Kernel, activity: Activity, cell: str) -> None:
    running = kernel.start(f"import asyncio\n{cell}")
    activity.until(1)
    interrupted(kernel, running, "CancelledError")
    assert_works(kernel)
    if "background" in cell:
        assert len(activity.queries()) == 1
        kernel.run("first.cancel()").ok()
    activity.until(0)


@pytest.mark.parametrize(
    "cell", ["print('asleep')\nimport time; time.sleep(30)", "%%pg b\nselect pg_sleep(30)"]
)
def test_what_runs_in_the_background_goes_on(kernel: Kernel, activity: Activity, cell: str) -> None:
    kernel.run("late = %pg --background a select 1 as x, pg_sleep(2)").ok()
    running = kernel.start(cell)
    if "asleep" in cell:
        kernel.wait_for_output(running, "asleep")
    else:
        activity.until(2)
    interrupted(kernel, running)
    assert kernel.run("(await late).x.tolist()").ok().result == "[1]"


def test_awaiting_the_background_is_what_ends(kernel: Kernel, activity: Activity) -> None:
    kernel.run("late = %pg --background a select 1 as x, pg_sleep(2)").ok()
    running = kernel.start("await late")
    activity.until(1)
    interrupted(kernel, running)
    assert len(activity.queries()) == 1
    assert kernel.run("(await late).x.tolist()").ok().result == "[1]"
