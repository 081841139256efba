"""A kernel on uvloop, which cannot be entered again: cells work, lines say what to do."""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.kernels import Activity, Kernel

LATE = "%%pg --background a --into late\nselect 2 as two"


@pytest.fixture
def uvloop_kernel(start_own: Callable[..., Kernel], tmp_path: Path) -> Kernel:
    """A kernel whose loop is uvloop's."""
    if find_spec("uvloop") is None:
        if os.environ.get("CI") and sys.platform != "win32":
            pytest.fail("uvloop is not installed")
        pytest.skip("uvloop is not installed")
    # Python imports it before anything else, and so before ipykernel makes its loop.
    (tmp_path / "sitecustomize.py").write_text(
        "import asyncio, uvloop\nasyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\n"
    )
    kernel = start_own(environment={"PYTHONPATH": str(tmp_path)})
    kernel.run("%load_ext pgmagic").ok()
    assert kernel.value("type(get_ipython().pgmagic.home.loop).__module__") == "uvloop"
    return kernel


def test_cells_work_and_lines_say_what_to_do(uvloop_kernel: Kernel, own_activity: Activity) -> None:
    kernel = uvloop_kernel
    frame = kernel.run("%%pg a b\nselect 1 as one").ok()
    assert frame.result.split() == ["database", "one", "0", "a", "1", "1", "b", "1"]
    for cell in ("x = %pg a select 1", "def f():\n    %pg a select 1\nf()", "%pg_close a"):
        reply = kernel.run(cell).failed("ReentryError")
        assert "uvloop" in reply.traceback
        assert "--background" in reply.traceback
    kernel.run(LATE).ok()
    assert kernel.run("(await late).two.tolist()").ok().result == "[2]"
    kernel.run(
        "import asyncio, _asyncio\n"
        "assert asyncio.Task is _asyncio.Task and not hasattr(asyncio, '_nest_patched')"
    ).ok()
    running = kernel.start("%%pg a b\nselect pg_sleep(30)")
    own_activity.until(2)
    kernel.interrupt()
    assert kernel.finish(running).failed("KeyboardInterrupt").seconds < 5.0
    assert own_activity.queries() == []
    kernel.run("%%pg a --background\nselect pg_sleep(30)").ok()
    own_activity.until(1)
    kernel.run("%unload_ext pgmagic").ok()
    own_activity.until_gone()
    kernel.run("%load_ext pgmagic").ok()
    kernel.run("%%pg a\nselect 1").ok()
    kernel.settle()
    assert kernel.complaints() == []


def test_shutting_down_leaves_nothing(uvloop_kernel: Kernel, own_activity: Activity) -> None:
    uvloop_kernel.run("%%pg a\nselect 1").ok()
    uvloop_kernel.run("%%pg b --background\nselect pg_sleep(30)").ok()
    own_activity.until(1)
    uvloop_kernel.shutdown()
    own_activity.until_gone()
    assert uvloop_kernel.complaints() == []
