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
        self.enter(*lines)
        mark = f"{next(self._numbers):03}"
        self.enter(f"print('<{mark[0]}' '{mark[1:]}>')")  # as typed it does not match
        self.child.expect_exact(f"<{mark}>")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.child.before)


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
