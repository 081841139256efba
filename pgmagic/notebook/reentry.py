"""Re-enter a running event loop: the only use of nest-asyncio in pgmagic.

nest-asyncio itself is archived and, on ipykernel 7.1 and later, drops every message that arrives
while the loop is nested: the cells that Run All has queued would never run. nest-asyncio2 from
1.7.3 on defers them.
"""

import asyncio
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from pgmagic.errors import PgMagicError

__all__ = ["ReentryError", "make_reentrant", "within_a_pass"]

OLDEST = (1, 7, 3)


class ReentryError(PgMagicError):
    """The running event loop cannot be entered a second time."""


def make_reentrant(loop: asyncio.AbstractEventLoop) -> None:
    """Let `loop.run_until_complete` be called while the loop runs.

    Patches asyncio for the whole process, so it is done at the first synchronous use and not
    before. Raises `ReentryError` for a loop that is not asyncio's own, such as uvloop's.
    """
    if not isinstance(loop, asyncio.BaseEventLoop):  # asked first: apply() half-patches asyncio
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        raise ReentryError(
            f"%pg was called synchronously, and the notebook's loop, a {kind}, can't be re-entered",
            hint="a %%pg cell of its own works, and so does %%pg --background with await",
        )
    installed = version("nest-asyncio2")
    if tuple(int(digits) for digits in re.findall(r"\d+", installed)[:3]) < OLDEST:
        raise ReentryError(
            f"nest-asyncio2 {installed} loses the cells that Run All has queued",
            hint="pip install -U 'nest-asyncio2>=1.7.3', then restart the kernel",
        )
    import nest_asyncio2

    patched = type(loop)
    if hasattr(patched, "_nest_patched") and not hasattr(patched, "_nest_asyncio2"):
        del patched._nest_patched  # nest-asyncio was first; without its mark the successor patches
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nest_asyncio2.apply(loop)


@contextmanager
def within_a_pass(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let the block run a loop of which a pass is under way.

    Before a pass asyncio counts the callbacks that are ready, and then takes as many, although the
    block has run some of them by then: it would find none, raise, and end the kernel's loop.
    """
    ready = getattr(loop, "_ready", ())
    counted = len(ready)
    try:
        yield
    finally:
        for _ in range(counted - len(ready)):
            loop.call_soon(_nothing)


def _nothing() -> None:
    """Stand for a callback that has been run already."""
