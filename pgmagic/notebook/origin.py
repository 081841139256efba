"""Which cell is running."""

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from pgmagic.receipts import Origin

__all__ = ["cell_of"]


def cell_of(shell: InteractiveShell) -> Origin:
    """Give the number of the cell that runs, and its id where the front end tells it."""
    # ipykernel's shell keeps the message that it answers; a terminal's has none.
    asked: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}
    # Not `execution_count`: of which cell it is while one runs differs between IPython's versions.
    number = len(shell.history_manager.input_hist_raw) - 1
    return Origin(number=number, id=asked.get("metadata", {}).get("cellId"))
