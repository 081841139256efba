"""The faults of a real kernel, with a canary for the password of both servers."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tests import kernels
from tests.faults import catalogue, of_kernels
from tests.faults.catalogue import Fault, Record
from tests.faults.world import World
from tests.kernels import PATIENCE, Kernel
from tests.secrets.canary import CANARY, leaks_in_files
from tests.secrets.cells import BEGIN, REMAINS
from tests.secrets.sources import put
from tests.secrets.trials import Search
from tests.servers import TestDatabase

__all__ = ["run_in_kernel_under"]

STOPS = 3  # presses of the button in one kernel
ASKED = """
from dataclasses import replace
from pathlib import Path
def give():
    return Path({path!r}).read_text()
async def give_later():
    return give()
for name in ("far", "near"):
    await client.add(replace(client.databases[name], password={callable}))
"""
CALLABLES = {"callable": "give", "async callable": "give_later"}


def run_in_kernel_under(
    fault: Fault, world: World, source: str, seed: int, mode: str
) -> tuple[Record, Search]:
    """Let a fault happen to a kernel whose passwords come from one place.

    Searched are all messages of the kernel, and all files that it leaves: IPython's history, the
    log at DEBUG, standard error, a recording, pickles, what is served. `mode` is that of %xmode.
    """
    search = Search()
    with ExitStack() as stack:
        outside = Path(stack.enter_context(TemporaryDirectory()))

        def configure(folder: Path, **databases: TestDatabase) -> dict[str, str]:
            return _configure(source, folder, outside, databases)

        def start(folder: Path, environment: dict[str, str]) -> Kernel:
            kernel = kernels.start_kernel(folder, environment)
            return _prepared(kernel, folder, source, outside, mode, search)

        stack.enter_context(patch.object(of_kernels, "STOPS", STOPS))
        stack.enter_context(patch.object(of_kernels, "configure", configure))
        stack.enter_context(patch.object(of_kernels, "start_kernel", start))
        record = catalogue.run(fault, world, seed)
    search.look("violation", [record.violation])
    return record, search


def _configure(
    source: str, folder: Path, outside: Path, databases: dict[str, TestDatabase]
) -> dict[str, str]:
    environment = {"PGPASSFILE": str(outside / "none"), "HOME": str(outside)}
    if source == ".pgpass":
        environment["PGPASSFILE"] = ""
    environment["PYTHONPATH"] = os.pathsep.join([str(outside), os.environ.get("PYTHONPATH", "")])
    lines = []
    for name, where in databases.items():
        settings = {
            "host": "127.0.0.1",
            "port": where.port,
            "user": where.user,
            "database": where.name,
            "sslmode": "disable",
        } | put(source, CANARY, outside, environment.__setitem__, name)
        lines += [f"[databases.{name}]", *(f"{k} = {json.dumps(v)}" for k, v in settings.items())]
    (folder / "pgmagic.toml").write_text("\n".join(lines))
    (outside / "secret").write_text(CANARY)
    return environment


def _prepared(
    kernel: Kernel, folder: Path, source: str, outside: Path, mode: str, search: Search
) -> Kernel:
    heard = _listening(kernel)
    kernel.run(BEGIN).ok()
    kernel.run(f"%xmode {mode}\n%pg_record kept").ok()
    if source in CALLABLES:
        path = str(outside / "secret")
        kernel.run(ASKED.format(path=path, callable=CALLABLES[source])).ok()
    if source == "prompt":
        _type_password(kernel)
    shut_down = kernel.shutdown

    def shutdown(*, now: bool = False) -> None:
        try:
            if not now:  # else it has been killed
                kernel.run("%pg_serve").ok()
                kernel.run(REMAINS).ok()
        finally:
            shut_down(now=now)
        (folder / "messages.json").write_text(json.dumps(heard, default=repr, ensure_ascii=False))
        search.found += leaks_in_files(folder)
        search.searched += sum(path.is_file() for path in folder.rglob("*")) + len(heard)

    # The class has slots: only by one of its own can a method be another.
    kernel.__class__ = type("CanaryKernel", (Kernel,), {"__slots__": ()})
    type(kernel).shutdown = staticmethod(shutdown)  # type: ignore[method-assign]
    return kernel


def _listening(kernel: Kernel) -> list[Any]:
    """Collect all messages that the kernel sends from here on."""
    heard: list[Any] = []

    def kept(get: Callable[..., Any]) -> Callable[..., Any]:
        def listen(*arguments: Any, **options: Any) -> Any:
            heard.append(get(*arguments, **options))
            return heard[-1]

        return listen

    client: Any = kernel.client
    client.get_iopub_msg = kept(client.get_iopub_msg)
    client.get_shell_msg = kept(client.get_shell_msg)
    return heard


def _type_password(kernel: Kernel) -> None:
    """Type the password of both databases where the kernel asks for it."""
    content = {"code": "%%pg far near\nselect 1", "silent": False, "store_history": True}
    content |= {"allow_stdin": True, "stop_on_error": True, "user_expressions": {}}
    request = kernel.send("execute_request", content)
    for _ in range(2):
        kernel.client.get_stdin_msg(timeout=PATIENCE)
        kernel.client.input(CANARY)
    kernel.finish(request).ok()
