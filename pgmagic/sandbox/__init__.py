"""Real PostgreSQL servers for trying things out, from a wheel and without administration.

import pgmagic.sandbox

with pgmagic.sandbox.start() as sandbox:
    print(sandbox.databases["jfk"].dsn)
"""

import sys
from typing import TYPE_CHECKING

from pgmagic.errors import SandboxError

if TYPE_CHECKING:
    from pgmagic.sandbox.databases import Sandbox
    from pgmagic.sandbox.loading import Progress

__all__ = ["Sandbox", "start"]


def start(progress: "Progress | None" = None, *, reset: bool = False) -> "Sandbox":
    """Start the databases `ewr`, `jfk` and `lga`: flights that left New York City in 2013.

    They run on two servers, listen on private Unix sockets alone, and belong to the role
    `pgmagic`, who may do everything in them. The first start makes and fills them (some
    seconds, 220 MB of disk); what is done in them is kept, until `reset` makes them anew. The
    data lie in PGMAGIC_SANDBOX_DIR or in the user's data directory, which must be on a local
    disk. Several processes share the same servers.

    `progress` is called, in any thread, with a stage, what is done of it and what there is of
    it in all. It blocks: an event loop calls it by `asyncio.to_thread`. Raises SandboxError.
    """
    if sys.platform == "win32":
        raise SandboxError(
            "the sandbox runs on Linux and macOS only",
            hint="on Windows use it within WSL",
        )
    # Not before it is used: its parts need POSIX, and a driver.
    from pgmagic.sandbox.databases import start_sandbox

    return start_sandbox(progress, reset=reset)


def __getattr__(name: str) -> object:
    if name == "Sandbox":
        from pgmagic.sandbox.databases import Sandbox

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
