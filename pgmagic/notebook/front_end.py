"""Who looks at this notebook, and whether a click of theirs can reach us."""

import sys
from collections.abc import Mapping
from enum import Enum
from importlib.metadata import version
from typing import Any, TextIO

__all__ = ["FrontEnd", "clicks_arrive", "front_end"]


class FrontEnd(Enum):
    """Where output goes."""

    LIVE = "a notebook that somebody looks at"
    STATIC = "a notebook that is run by a program"
    TERMINAL = "a terminal"
    NONE = "a file or a pipe"


def front_end(shell: Any, stream: TextIO | None = None) -> FrontEnd:
    """Say where output goes; `stream`, without a kernel, is what progress is written to.

    Programs that run notebooks (nbclient, nbconvert, papermill) can't answer a prompt and say so
    in every request. Widgets are of no use there, and would stay in the notebook as dead weight.
    """
    if getattr(shell, "kernel", None) is None:
        stream = sys.stderr if stream is None else stream
        return FrontEnd.TERMINAL if stream.isatty() else FrontEnd.NONE
    content = _request(shell).get("content", {})
    return FrontEnd.LIVE if content.get("allow_stdin", False) else FrontEnd.STATIC


def clicks_arrive(shell: Any, *, awaited: bool) -> bool:
    """Say whether a click on a widget reaches the kernel while a cell runs.

    `awaited` is a cell that waits without blocking the loop. ipykernel handles clicks in between
    from 7.4 on. 7.0 to 7.3 do it in another thread, blocked or not, where the front end sends
    clicks through a subshell: one that can has the key `subshell_id` in its requests.
    """
    installed = tuple(int(part) for part in version("ipykernel").split(".")[:2])
    if installed >= (7, 4):
        return awaited
    return installed >= (7, 0) and "subshell_id" in _request(shell).get("header", {})


def _request(shell: Any) -> Mapping[str, Any]:
    """Give the message that started the cell."""
    parent: Mapping[str, Any] | None = shell.get_parent()
    return parent or {}
