"""Everything that would reach a user beside the one error: log lines, stderr, warnings."""

import contextlib
import gc
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = ["listening"]

# What pgmagic tells its own log is documented, and shown to nobody who did not ask for it.
TOLD_ON_PURPOSE = "pgmagic.events"


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == TOLD_ON_PURPOSE:
            return
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            text += f" ({record.exc_info[1]!r})"
        self._heard.append(text)


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Collect all noise of the block, with what only comes to light when garbage is collected."""
    heard: list[str] = []
    listener, stderr = _Listener(heard), io.StringIO()

    def unraisable(found: Any) -> None:
        heard.append(f"{found.err_msg}: {found.exc_value!r}")

    before = sys.unraisablehook
    logging.getLogger().addHandler(listener)
    sys.unraisablehook = unraisable
    try:
        with contextlib.redirect_stderr(stderr), warnings.catch_warnings():
            warnings.simplefilter("error")  # one that nobody can raise is unraisable, and heard
            yield heard
            gc.collect()
    finally:
        sys.unraisablehook = before
        logging.getLogger().removeHandler(listener)
        heard += filter(None, stderr.getvalue().splitlines())
