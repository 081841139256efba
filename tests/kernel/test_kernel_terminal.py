"""IPython in a terminal: its loop does not run while a magic does."""

import itertools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import Activity, configure
from tests.servers import TestDatabase

pexpect = pytest.importorskip("pexpect")

CONTROL_C, CONTROL_D = "\x03", "\x04"


class Terminal:
    """IPython at a pseudo-terminal."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--no-banner", "--no-confirm-exit"],
            cwd=str(folder),
            env=os.environ | environment,
            encoding="utf-8",
            dimensions=(50, 200),
            timeout=30,
        )
        self._numbers = itertools.count(1)
        self.child.expect("In ")

    def enter(self, *lines: str) -> None:
        """Type lines and press return after each; a cell of several ends with empty ones."""
        for line in lines if len(lines) == 1 else (*lines, "", ""):
            self.child.send(line + "\r")

    def run(self, *lines: str) -> str:
        """Type a cell and wait for its end; give all that appeared."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw(*lines))

    def raw(self, *lines: str) -> str:
        """Run a cell; give all that the terminal got, with what moves its cursor."""
        self.enter(*lines)
        return self.end()

    def end(self) -> str:
        """Wait until what was typed has run."""
        mark = f"{next(self._numbers):03}"
        self.enter(f"print('<{mark[0]}' '{mark[1:]}>')")  # as typed it does not match
        self.child.expect_exact(f"<{mark}>")
        return self.child.before


def screens(raw: str) -> Iterator[list[str]]:
    """Give what a terminal shows, each time before its cursor moves up, and at the end.

    Only what pgmagic uses is understood: lines, the cursor up, and clearing what is below.
    """
    shown, row = [""], 0
    for part in re.split(r"(\r?\n|\x1b\[[0-9]*[AJ])", raw):
        if part.endswith("A") and part.startswith("\x1b"):
            yield list(shown)
            row = max(0, row - int(part[2:-1] or 1))
        elif part.startswith("\x1b"):
            del shown[row + 1 :]
            shown[row] = ""
        elif part.endswith("\n"):
            row += 1
            shown += [""] * (row + 1 - len(shown))
        elif text := part.replace("\r", ""):
            shown[row] = text
    yield shown


@pytest.fixture
def terminal(
    tmp_path: Path, database: TestDatabase, second_database: TestDatabase
) -> Iterator[Terminal]:
    environment = configure(tmp_path, a=database, b=second_database) | {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "TERM": "xterm",
    }
    started = Terminal(tmp_path, environment)
    yield started
    started.child.close(force=True)


def test_a_session_in_a_terminal(terminal: Terminal, own_activity: Activity) -> None:
    terminal.run("%load_ext pgmagic")
    # The cell is not sent before its empty lines.
    assert "42" in terminal.run("%%pg a b", "select 40 + 2 as answer")
    terminal.run("x = %pg a select 42 * 42 as answer")
    assert "1764" in terminal.run("x")
    assert "77" in terminal.run("%pg a select 70 + 7 as x")
    terminal.run("late = %pg --background a select 50 + 5 as x")
    assert "[55]" in terminal.run("(await late).x.tolist()")
    assert "UnknownDatabase" in terminal.run("%pg nosuch select 1")
    assert "_asyncio" in terminal.run("import asyncio; asyncio.Task.__module__")

    for cell in (("%pg a select pg_sleep(60)",), ("%%pg a", "select pg_sleep(60)")):
        terminal.enter(*cell)
        own_activity.until(1)
        terminal.child.send(CONTROL_C)
        terminal.child.expect("KeyboardInterrupt: cancelled on the server")
        assert own_activity.queries() == []
    assert "654" in terminal.run("%pg a select 600 + 54 as x")

    elsewhere = "asyncio.run(get_ipython().pgmagic.client.query('select 1', on='a'))"
    assert "another event loop" in terminal.run(elsewhere)
    assert "81" in terminal.run("%pg a select 9 * 9 as x")

    # At the prompt the loop stands still, unless IPython is told to run it.
    terminal.run("%gui asyncio")
    terminal.run("late = %pg --background a select pg_sleep(0.5), 6 * 11 as x")
    own_activity.until(1)
    own_activity.until(0)
    assert "[66]" in terminal.run("(await late).x.tolist()")

    terminal.run("late = %pg --background a select pg_sleep(60)")
    own_activity.until(1)
    terminal.child.send(CONTROL_D)
    terminal.child.expect(pexpect.EOF)
    for complaint in ("Traceback", "never awaited", "was destroyed"):
        assert complaint not in terminal.child.before
    own_activity.until_gone()


def test_the_progress_of_a_cell_is_written_in_place(
    terminal: Terminal, own_activity: Activity
) -> None:
    terminal.run("%load_ext pgmagic")
    sql = "select n, pg_sleep(0.02), repeat('x', 4000) as x from generate_series(1, 60) n"
    raw = terminal.raw("%%pg a b", f"late << {sql}")
    *running, left = screens(raw[re.search(r"[▸◷] a\b", raw).start() :])
    drawn = [[line for line in screen if re.match(r"[▸◷✓] [ab]\b", line)] for screen in running]
    assert len(drawn) >= 3
    assert all([line[2] for line in lines] == ["a", "b"] for lines in drawn)
    counts = [int(n) for lines in drawn for n in re.findall(r"a +(\d+) rows", lines[0])]
    assert counts == sorted(counts)
    assert len(set(counts)) > 1
    assert any(re.search(r"a +\d+ rows  \d+ kB +\d+ rows/s", line) for line in drawn[-1])
    # At the end the caption stands in its place.
    assert not any(re.match(r"[▸◷✓] [ab]\b", line) for line in left)
    assert any(line.startswith("a 60 · b 60 rows") for line in left)

    assert "▸" not in terminal.raw("%pg a select 1 as one")  # as fast as this one shows nothing

    terminal.enter("%%pg a b", "select pg_sleep(60)")
    own_activity.until(2)
    terminal.child.expect("▸ a.*▸ b")
    terminal.child.expect_exact("\x1b[2A")
    terminal.child.send(CONTROL_C)
    rest = terminal.end()
    assert "cancelled on the server" in rest
    # Until the error itself: the line of a database that was quicker says "cancelled" as well.
    *_, left = screens(rest[: rest.index("cancelled on the server")])
    assert not any(re.match(r"[▸◷] [ab]\b", line) for line in left)
