"""Run All: cells and requests that arrive while a cell waits are all answered, in order."""

import pytest

from tests.kernels import Activity, Kernel

SLOW = {
    "awaited": "%%pg a\nselect pg_sleep(0.8)",
    "synchronous": "slow = %pg a select pg_sleep(0.8)",
}
REENTER = "%pg a select 1"


def run_all(kernel: Kernel, activity: Activity, slow: str) -> None:
    """Send cells and requests into a slow cell, and expect every answer."""
    kernel.run("ran = []").ok()
    requests = [kernel.start(slow)]
    activity.until(1)
    requests += [
        kernel.start("ran.append(1)"),
        kernel.start("%%pg b --into second\nselect 2 as two"),
        kernel.start("third = %pg a select 3 as three\nran.append(int(third.three[0]))"),
        kernel.send("complete_request", {"code": "ra", "cursor_pos": 2}),
        kernel.send("kernel_info_request", {}),
        kernel.start("ran.append(4)"),
    ]
    for request in requests:
        assert kernel.reply(request)["content"]["status"] == "ok"
    cells = [request for request in requests if request not in requests[4:6]]
    assert [request for request in kernel.order if request in cells] == cells
    assert kernel.value("ran") == [1, 3, 4]


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_everything_is_answered_in_order(kernel: Kernel, activity: Activity, slow: str) -> None:
    run_all(kernel, activity, slow)


@pytest.mark.parametrize("first", ["nest_asyncio", "pgmagic"])
def test_also_where_the_archived_nest_asyncio_is_applied(
    bare_kernel: Kernel, own_activity: Activity, first: str
) -> None:
    pytest.importorskip("nest_asyncio")
    apply = "import nest_asyncio; nest_asyncio.apply()"
    steps = [apply, "%load_ext pgmagic", REENTER]
    for step in steps if first == "nest_asyncio" else [*steps[1:], apply]:
        bare_kernel.run(step).ok()
    for slow in SLOW.values():
        run_all(bare_kernel, own_activity, slow)
    bare_kernel.settle()
    assert bare_kernel.complaints() == []
