"""The parts below the notebook's loop, without a kernel."""

import ast
import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import pgmagic.notebook
from pgmagic.notebook import reentry
from pgmagic.notebook.interrupt import CellInterrupted, Interrupts
from pgmagic.notebook.reentry import ReentryError, make_reentrant


def press_stop() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def sigint() -> Iterator[list[int]]:
    """Take SIGINT away from pytest; the list has what reached the handler of before."""
    reached: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: reached.append(1))
    yield reached
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("installed", ["1.7.2", "1.6.0", "1.7.2rc1", "0.9"])
def test_an_old_nest_asyncio2_is_refused(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    monkeypatch.setattr(reentry, "version", lambda _: installed)
    loop = asyncio.new_event_loop()
    with pytest.raises(ReentryError, match=installed) as refused:
        make_reentrant(loop)
    loop.close()
    assert "pip install" in (refused.value.hint or "")
    assert not hasattr(asyncio, "_nest_patched")


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run on Windows")
def test_a_loop_that_is_not_asyncios_is_refused_before_anything_is_patched() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    with pytest.raises(ReentryError, match="uvloop"):
        make_reentrant(loop)
    loop.close()
    assert not hasattr(asyncio, "_nest_patched")


async def test_an_interrupt_reaches_all_that_wait(sigint: list[int]) -> None:
    interrupts = Interrupts(asyncio.get_running_loop())
    stopped: list[str] = []
    with interrupts.calling(lambda: stopped.append("a")):
        with interrupts.calling(lambda: stopped.append("b")):
            press_stop()
            await asyncio.sleep(0)
        press_stop()
        await asyncio.sleep(0)
    assert stopped == ["a", "b", "a"]
    press_stop()
    assert sigint == [1]


async def test_whoever_waits_longest_keeps_the_signal(sigint: list[int]) -> None:
    interrupts = Interrupts(asyncio.get_running_loop())
    stopped: list[str] = []
    first, second = ExitStack(), ExitStack()
    first.enter_context(interrupts.calling(lambda: stopped.append("first")))
    second.enter_context(interrupts.calling(lambda: stopped.append("second")))
    first.close()
    press_stop()
    await asyncio.sleep(0)
    second.close()
    press_stop()
    assert (stopped, sigint) == (["second"], [1])


async def test_a_handler_that_came_in_between_is_left_in_place(sigint: list[int]) -> None:
    interrupts = Interrupts(asyncio.get_running_loop())
    theirs: list[int] = []
    with interrupts.calling(lambda: None):
        signal.signal(signal.SIGINT, lambda *_: theirs.append(1))
    press_stop()
    assert (theirs, sigint) == ([1], [])


async def test_put_back_in_place_too_late_it_passes_the_signal_on(sigint: list[int]) -> None:
    interrupts = Interrupts(asyncio.get_running_loop())
    with interrupts.calling(lambda: None):
        ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGINT, ours)
    press_stop()
    assert sigint == [1]


async def test_in_another_thread_the_signal_stays_where_it_is(sigint: list[int]) -> None:
    interrupts = Interrupts(asyncio.get_running_loop())

    def wait() -> Callable[..., object] | int | None:
        with interrupts.calling(lambda: None):
            return signal.getsignal(signal.SIGINT)

    assert await asyncio.to_thread(wait) is signal.getsignal(signal.SIGINT)


def test_an_interrupted_cell_is_known_by_the_usual_name() -> None:
    error = CellInterrupted("cancelled")
    assert isinstance(error, KeyboardInterrupt)
    assert type(error).__name__ == "KeyboardInterrupt"


def test_no_coroutine_of_ours_waits_synchronously() -> None:
    """Nested loops end last in, first out: a coroutine that nests one holds all others up."""
    for path in Path(pgmagic.notebook.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.AsyncFunctionDef):
                calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
                for call in calls:
                    called = ast.unparse(call.func)
                    assert not called.endswith(("home.run", "run_until_complete")), path


# In a process of its own: asyncio stays patched.
IN_A_PASS = """
import asyncio
from pgmagic.notebook.loop import NotebookLoop

loop, found = asyncio.new_event_loop(), []
asyncio.set_event_loop(loop)
home = NotebookLoop(loop)

async def work(number):
    await asyncio.sleep(0)
    return number

def ask():
    found.extend(home.run(work(number)) for number in range(3))
    loop.call_later(0.01, loop.stop)  # not before: it would stop the nested run

def begin():  # these four are ready for the same pass
    loop.call_soon(ask)
    for _ in range(3):
        loop.call_soon(found.append, "queued")

loop.call_soon(begin)
loop.run_forever()
print(sorted(map(str, found)))
"""


def test_the_pass_that_is_under_way_does_not_miss_what_has_run_meanwhile() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_A_PASS], capture_output=True, text=True, check=False, timeout=50
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ast.literal_eval(ran.stdout) == ["0", "1", "2", "queued", "queued", "queued"]
