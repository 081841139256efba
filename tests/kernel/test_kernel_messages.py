"""Clicks of widgets, subshells and threads, while a cell waits."""

import time
from uuid import uuid4

import pytest

from tests.kernels import IPYKERNEL, Activity, Kernel

subshells = pytest.mark.skipif(IPYKERNEL < (7, 0), reason="subshells came with ipykernel 7")

CANCEL_ALL = """
for pool in get_ipython().pgmagic.client.statistics():
    for query in pool.running:
        get_ipython().pgmagic.client.cancel(pool.database, query.id)
"""
LISTEN = f"""
clicks = []
def opened(comm, _):
    @comm.on_msg
    def clicked(_):
        clicks.append(1)
        {CANCEL_ALL.strip().replace(chr(10), chr(10) + " " * 8)}
get_ipython().kernel.comm_manager.register_target("cancel", opened)
"""
TALK = """
import asyncio
from comm import create_comm
comm = create_comm(target_name="progress")
async def talk():
    while True:
        comm.send({"tick": True})
        await asyncio.sleep(0.1)
talking = asyncio.create_task(talk())
"""


def click(kernel: Kernel) -> None:
    """Open a comm and send a message over it, as the button of a widget does."""
    comm = uuid4().hex
    kernel.send("comm_open", {"comm_id": comm, "target_name": "cancel", "data": {}})
    kernel.send("comm_msg", {"comm_id": comm, "data": {"event": "click"}})


def test_a_click_ends_a_cell_or_comes_after_it(kernel: Kernel, activity: Activity) -> None:
    kernel.run(LISTEN).ok()
    running = kernel.start("%%pg a\nselect pg_sleep(2)")
    activity.until(1)
    click(kernel)
    reply = kernel.finish(running)
    if IPYKERNEL >= (7, 4):
        reply.failed("QueryCancelled")
        assert reply.seconds < 1.5
    else:
        reply.ok()
    assert kernel.value("clicks") == [1]


def test_a_click_during_a_synchronous_query_is_not_lost(kernel: Kernel, activity: Activity) -> None:
    kernel.run(LISTEN).ok()
    running = kernel.start("x = %pg a select pg_sleep(1)")
    activity.until(1)
    click(kernel)
    kernel.finish(running).ok()
    assert kernel.value("clicks") == [1]


@pytest.mark.parametrize(
    "cell", ["%%pg a\nselect pg_sleep(1)", "x = %pg a select pg_sleep(1)"], ids=["awaited", "line"]
)
def test_messages_reach_the_front_end_meanwhile(
    kernel: Kernel, activity: Activity, cell: str
) -> None:
    kernel.run(TALK).ok()
    running = kernel.start(cell)
    activity.until(1)
    kernel.wait_for_messages("comm_msg", count=3)
    assert activity.queries()
    kernel.finish(running).ok()
    kernel.run("talking.cancel(); comm.close()").ok()


@subshells
@pytest.mark.parametrize(
    "cell", ["%%pg a\nselect pg_sleep(9)", "x = %pg a select pg_sleep(9)"], ids=["awaited", "line"]
)
def test_a_subshell_cancels(kernel: Kernel, activity: Activity, cell: str) -> None:
    subshell = kernel.new_subshell()
    running = kernel.start(cell)
    activity.until(1)
    began = time.monotonic()
    kernel.finish(kernel.start(CANCEL_ALL, subshell=subshell)).ok()
    kernel.finish(running).failed("QueryCancelled")
    assert time.monotonic() - began < 2.0


@subshells
@pytest.mark.parametrize("busy", ["", "%%pg a\nselect pg_sleep(1)", "x = %pg a select pg_sleep(1)"])
def test_a_subshell_asks(kernel: Kernel, activity: Activity, busy: str) -> None:
    subshell = kernel.new_subshell()
    running = kernel.start(busy)
    activity.until(1 if busy else 0)
    for cell in ("%pg b select 1 as one", "%%pg b\nselect 1 as one"):
        reply = kernel.finish(kernel.start(cell, subshell=subshell)).ok()
        assert reply.result.split() == ["one", "0", "1"]
    cells = ("later = %pg --background b select 2 as two", "(await later).two.tolist()")
    replies = [kernel.finish(kernel.start(cell, subshell=subshell)).ok() for cell in cells]
    assert replies[1].result == "[2]"
    if busy:
        assert activity.queries()
    kernel.finish(running).ok()


@subshells
def test_an_error_in_a_subshell_is_its_own(kernel: Kernel) -> None:
    subshell = kernel.new_subshell()
    reply = kernel.finish(kernel.start("%pg b select oops", subshell=subshell))
    assert "oops" in reply.failed("QueryError").traceback
    assert kernel.run("%pg b select 1 as one").ok().result.split() == ["one", "0", "1"]


def test_a_thread_asks(kernel: Kernel) -> None:
    kernel.run(
        "import asyncio\n"
        "ask = get_ipython().run_line_magic\n"
        "x = await asyncio.to_thread(ask, 'pg', 'a select 1 as one')"
    ).ok()
    assert kernel.value("x.one.tolist()") == [1]


def test_a_thread_that_is_waited_for_synchronously_is_told(kernel: Kernel) -> None:
    kernel.run("import pgmagic.notebook.loop; pgmagic.notebook.loop.FORWARD_GRACE = 0.5").ok()
    try:
        reply = kernel.run(
            "from concurrent.futures import ThreadPoolExecutor\n"
            "ask = get_ipython().run_line_magic\n"
            "with ThreadPoolExecutor() as threads:\n"
            "    threads.submit(ask, 'pg', 'a select 1').result()"
        )
    finally:
        kernel.run("pgmagic.notebook.loop.FORWARD_GRACE = 5.0").ok()
    assert "does not answer" in reply.failed("LoopBlocked").traceback
