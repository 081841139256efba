import asyncio
import io
from types import SimpleNamespace

import pytest

from pgmagic.errors import CircuitOpen, QueryCancelled
from pgmagic.notebook import progress as progress_module
from pgmagic.notebook.caption import Drawn
from pgmagic.notebook.front_end import FrontEnd, clicks_arrive, front_end
from pgmagic.notebook.progress import CellProgress
from pgmagic.notebook.progress_lines import MOST, Speed, lines, lines_html, lines_text
from pgmagic.outcome import Answer, Failure

FULL_SPEED = 1e-3  # seconds


def watch(**databases):
    """What can be seen of a cell: by database, a number of rows, a state or an outcome."""
    seen = SimpleNamespace(progress={}, outcomes={}, state={})
    for name, what in databases.items():
        if isinstance(what, int):
            seen.progress[name] = SimpleNamespace(rows=what, bytes=100 * what)
        elif isinstance(what, str):
            seen.state[name] = what
        else:
            seen.outcomes[name] = what
    return seen


def answer(database="a"):
    return Answer(database=database, results=(), elapsed=0.4)


def failure(error):
    return Failure(database="a", error=error, elapsed=2.0)


def looked_at(seen, *names, elapsed=4.0):
    return lines(seen, names, elapsed, {name: Speed() for name in names})


@pytest.mark.parametrize(
    ("what", "look", "said"),
    [
        (0, "running", "running"),
        (412_000, "running", "412,000 rows"),
        ("waiting for a connection", "waiting", "waiting for a connection"),
        ("connecting", "waiting", "connecting"),
        (answer(), "done", "0 rows"),
        (failure(CircuitOpen("down")), "failed", "failed"),
        (failure(QueryCancelled("stopped")), "failed", "cancelled"),
    ],
)
def test_every_database_says_how_far_it_is(what, look, said):
    (line,) = looked_at(watch(a=what), "a")
    assert (line.look, line.said) == (look, said)


def test_bytes_are_told_where_there_are_some():
    seen = watch(small=5, large=582_043, stopped=7_000, waiting="connecting")
    seen.outcomes["stopped"] = failure(QueryCancelled("stopped"))
    drawn = looked_at(seen, "small", "large", "stopped", "waiting")
    assert [line.weight for line in drawn] == ["", "58 MB", "", ""]
    text = lines_text(drawn)
    assert text[1].endswith("582,043 rows  58 MB  146 k rows/s · 4.0 s")
    assert text[0].endswith("      5 rows         1 rows/s · 4.0 s")
    assert ">58 MB</td>" in lines_html(drawn, 4.0)


def test_speed_is_of_late_and_not_of_the_whole_time():
    speed = Speed(looks=3)
    for second in range(10):
        speed.look(second, 0)
    speed.look(10, 500)
    assert speed.look(11, 1000) == 500


def test_speed_before_any_time_has_passed():
    assert Speed().look(0.0, 0) == 0


def test_speed_of_rows_that_are_sent_again_is_not_negative():
    speed = Speed()
    assert speed.look(1, 1000) == 1000
    assert speed.look(2, 0) == 0
    assert speed.look(3, 500) == 500


def test_lines_fit_into_a_terminal():
    seen = watch(**{"a" * 60: "waiting for a connection", "東京" * 20: 5})
    drawn = lines_text(looked_at(seen, "a" * 60, "東京" * 20), columns=40)
    assert all(len(line) < 40 for line in drawn)


def test_of_many_databases_those_that_still_run_are_shown():
    names = [f"shard_{n}" for n in range(50)]
    seen = watch(**{name: answer(name) for name in names[:45]})
    drawn = lines_text(looked_at(seen, *names))
    assert len(drawn) == MOST + 1
    assert all(any(name in line for line in drawn) for name in names[45:])
    assert drawn[-1].strip() == "and 34 more, 34 of them done"


def test_names_are_escaped_in_html():
    assert "<img" not in lines_html(looked_at(watch(), "<img src=x>"), 1.0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal that remembers what was written to it; time passes quickly there."""
    monkeypatch.setattr(progress_module, "DELAY", FULL_SPEED)
    monkeypatch.setattr(progress_module, "INTERVAL", FULL_SPEED)
    return Terminal()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(FULL_SPEED)


async def test_a_short_cell_shows_its_caption_and_nothing_else(terminal, monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "DELAY", 60)
    async with CellProgress(watch(a=1), ["a"], awaited=True, stream=terminal) as progress:
        progress.conclude(Drawn("a 1 row", "<b>a</b> 1 row"))
    assert terminal.getvalue() == ""
    assert "a 1 row" in capsys.readouterr().out


async def test_a_terminal_is_rewritten_and_wiped_at_the_end(terminal, capsys):
    seen = watch(a=1, b="connecting")
    async with CellProgress(seen, ["a", "b"], awaited=True, stream=terminal) as progress:
        await until(lambda: "1 row" in terminal.getvalue())
        seen.progress["a"].rows = 77
        await until(lambda: "77 rows" in terminal.getvalue())
        progress.conclude(Drawn("a 77 · b 0 rows", ""))
    assert "\x1b[2A" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2A\x1b[J")
    assert "a 77 · b 0 rows" in capsys.readouterr().out


async def test_what_remains_of_a_cell_that_failed_says_how_far_it_came(terminal, capsys):
    seen = watch(a=412)

    async def cell():
        async with CellProgress(seen, ["a"], awaited=True, stream=terminal):
            await until(lambda: "412 rows" in terminal.getvalue())
            seen.outcomes["a"] = failure(CircuitOpen("down"))
            raise CircuitOpen("down")

    with pytest.raises(CircuitOpen):
        await cell()
    assert "a failed after 412 rows" in capsys.readouterr().out


async def test_nothing_is_shown_when_it_is_off(terminal):
    async with CellProgress(watch(a=1), ["a"], awaited=True, mode="off", stream=terminal):
        for _ in range(20):
            await asyncio.sleep(FULL_SPEED)
    assert terminal.getvalue() == ""


async def test_cancel_ends_the_block_with_an_error_of_one_line():
    async def cell():
        async with CellProgress(watch(), ["a", "b"], awaited=True) as progress:
            await asyncio.to_thread(progress.cancel)  # as where clicks have their own thread
            await asyncio.Event().wait()

    task = asyncio.create_task(cell())
    with pytest.raises(QueryCancelled, match="a, b") as caught:
        await task
    assert len(caught.value.report()) == 1
    assert task.cancelling() == 0


async def test_a_cancellation_from_elsewhere_stays_one():
    entered = asyncio.Event()

    async def cell():
        async with CellProgress(watch(), ["a"], awaited=True):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(cell())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancel_after_the_end_does_nothing():
    async with CellProgress(watch(), ["a"], awaited=True) as progress:
        pass
    progress.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Shell:
    """A shell in a kernel, and the request that started its cell."""

    kernel = object()

    def __init__(self, content=(), header=()):
        self._parent = {"content": dict(content), "header": dict(header)}

    def get_parent(self):
        return self._parent


def test_where_somebody_looks_there_is_a_live_front_end():
    assert front_end(Shell({"allow_stdin": True})) is FrontEnd.LIVE
    assert front_end(Shell({"allow_stdin": False})) is FrontEnd.STATIC
    assert front_end(Shell()) is FrontEnd.STATIC
    assert front_end(None, io.StringIO()) is FrontEnd.NONE


@pytest.mark.parametrize(
    ("installed", "header", "awaited", "arrive"),
    [
        ("7.4.0", {}, True, True),
        ("7.10.1", {}, True, True),
        ("7.4.0", {"subshell_id": None}, False, False),
        ("7.3.0", {"subshell_id": None}, False, True),
        ("7.0.1", {}, True, False),
        ("6.31.0", {"subshell_id": None}, True, False),
    ],
)
def test_clicks_arrive_by_the_rules_of_ipykernel(monkeypatch, installed, header, awaited, arrive):
    monkeypatch.setattr("pgmagic.notebook.front_end.version", lambda _: installed)
    assert clicks_arrive(Shell(header=header), awaited=awaited) is arrive
