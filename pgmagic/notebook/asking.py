"""Ask whoever sits at the notebook for a password."""

import asyncio
import getpass
import signal
import threading
from contextvars import ContextVar
from typing import Any

from pgmagic.errors import QueryCancelled
from pgmagic.notebook.front_end import FrontEnd, front_end

__all__ = ["PasswordPrompt", "leave_alone"]

MOMENT = 0.02  # seconds

_left_alone: ContextVar[bool] = ContextVar("pgmagic_left_alone", default=False)


def leave_alone() -> None:
    """Ask nothing in this task: it goes on when its cell has ended, and nobody can answer then."""
    _left_alone.set(True)


class PasswordPrompt:
    """Asks by the front end's own prompt, which shows no letter and keeps none in the notebook.

    The front end takes an answer only while a cell runs, and ipykernel waits for it on the main
    thread: the event loop stands still meanwhile.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    async def __call__(self, account: str) -> str | None:
        """Give what was typed, None where nobody can. Raises `QueryCancelled` for an interrupt."""
        if not self._somebody_is_there():
            return None
        # One who stopped the question before this one meant this one too: let that arrive.
        await asyncio.sleep(MOMENT)
        ask = getattr(getattr(self._shell, "kernel", None), "getpass", getpass.getpass)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return str(ask(f"Password for {account}: "))
        except (KeyboardInterrupt, EOFError):
            pass
        finally:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if callable(before) and before is not signal.default_int_handler:
            before(signal.SIGINT, None)  # whoever else waits for this cell is stopped as well
        raise QueryCancelled("no password was typed")

    def _somebody_is_there(self) -> bool:
        if _left_alone.get() or threading.current_thread() is not threading.main_thread():
            return False
        return front_end(self._shell) in (FrontEnd.LIVE, FrontEnd.TERMINAL)
