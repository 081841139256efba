"""What magics do in a replay that are about databases themselves: they say so, and do nothing."""

from collections.abc import Callable
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell

from pgmagic.notebook.display import show_text

__all__ = ["IDLE", "make_idle"]

IDLE: Final = (
    "pg_connect",
    "pg_close",
    "pg_pools",
    "pg_sandbox",
    "pg_serve",
    "pg_snapshot",
    "pg_write",
)


def make_idle(shell: InteractiveShell) -> None:
    """Put something harmless in the place of every magic that would reach for a database."""
    for name in IDLE:
        known = shell.find_line_magic(name)
        if known is not None:
            shell.register_magic_function(_idle(name, known.__doc__), "line", name)


def _idle(name: str, about: str | None) -> Callable[[str], None]:
    def magic(_line: str) -> Any:
        show_text(f"%{name} does nothing in a replay: answers come from recordings")

    magic.__doc__ = about
    return magic
