"""A real ipykernel, driven over its own protocol, with databases of the test's own.

    def test_something(kernel):
        reply = kernel.run("%pg a select 1 as one")
        assert reply.result == ...

The kernel starts in a folder with a `pgmagic.toml` that names two databases, `a` and `b`.
"""

import asyncio
import os
import queue
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client import KernelManager
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.jsonutil import parse_date

from tests.servers import TestDatabase

__all__ = ["Kernel", "Reply"]

PATIENCE = 30.0  # seconds until a kernel that does not answer counts as hung


@dataclass(frozen=True, slots=True)
class Reply:
    """What one cell gave: its status, and all that it showed."""

    status: str
    ename: str = ""
    traceback: str = ""
    result: str = ""  # text/plain of what the cell returned
    html: str = ""
    shown: tuple[str, ...] = ()  # text/plain of what it displayed
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    def ok(self) -> "Reply":
        """Fail the test where the cell failed."""
        assert self.status == "ok", f"{self.ename}: {self.traceback or self.stderr}"
        return self

    def failed(self, ename: str) -> "Reply":
        """Fail the test where the cell did not fail so."""
        assert (self.status, self.ename) == ("error", ename), self
        return self


@dataclass(slots=True)
class Kernel:
    """A running kernel and a client of it."""

    manager: KernelManager
    client: BlockingKernelClient
    log: Path
    _messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def start(self, code: str, **options: Any) -> str:
        """Send a cell and return at once; `finish` waits for it."""
        return self.client.execute(code, store_history=True, allow_stdin=False, **options)

    def finish(self, request: str, timeout: float = PATIENCE) -> Reply:
        """Wait until a cell that was sent has ended and shown everything."""
        started = time.monotonic()
        deadline = started + timeout
        reply = self._reply(request, deadline)
        while not self._idle(request):
            self._collect(deadline)
        content = reply["content"]
        shown = self._messages.pop(request, [])
        streams = {"stdout": "", "stderr": ""}
        for message in shown:
            if message["msg_type"] == "stream":
                streams[message["content"]["name"]] += message["content"]["text"]
        results = [m["content"]["data"] for m in shown if m["msg_type"] == "execute_result"]
        displayed = [
            m["content"]["data"]
            for m in shown
            if m["msg_type"] in ("display_data", "update_display_data")
        ]
        return Reply(
            status=content["status"],
            ename=content.get("ename", ""),
            traceback=_plain("\n".join(content.get("traceback", []))),
            result=results[-1].get("text/plain", "") if results else "",
            html=results[-1].get("text/html", "") if results else "",
            shown=tuple(data.get("text/plain", "") for data in displayed),
            stdout=_plain(streams["stdout"]),
            stderr=_plain(streams["stderr"]),
            seconds=_seconds(reply),
        )

    def run(self, code: str, timeout: float = PATIENCE) -> Reply:
        """Run a cell to its end."""
        return self.finish(self.start(code), timeout)

    def value(self, expression: str) -> Any:
        """Evaluate a Python expression in the kernel and bring its value here by its repr."""
        import ast

        return ast.literal_eval(self.run(f"({expression})").ok().result)

    def interrupt(self) -> None:
        """Press stop."""
        self.manager.interrupt_kernel()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait for something outside the kernel."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def stderr(self) -> str:
        """What the kernel's process wrote to its own standard error."""
        return self.log.read_text()

    def shutdown(self, *, now: bool = False) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        self.manager.cleanup_resources()

    def _reply(self, request: str, deadline: float) -> dict[str, Any]:
        while True:
            try:
                message = self.client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail("the kernel gave no reply:\n" + self.stderr()[-3000:])
            if message["parent_header"].get("msg_id") == request:
                return message

    def _idle(self, request: str) -> bool:
        return any(
            message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            for message in self._messages.get(request, [])
        )

    def _collect(self, deadline: float) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            pytest.fail("the kernel did not become idle:\n" + self.stderr()[-3000:])
        parent = message["parent_header"].get("msg_id", "")
        self._messages.setdefault(parent, []).append(message)


def start_kernel(folder: Path, environment: dict[str, str], *arguments: str) -> Kernel:
    """Start a kernel in a folder; its IPython profile and history are its own."""
    log = folder / "kernel.log"
    manager = KernelManager(kernel_name="python3")
    with log.open("w") as stderr:
        manager.start_kernel(
            cwd=str(folder),
            env=os.environ | {"IPYTHONDIR": str(folder / "ipython")} | environment,
            extra_arguments=list(arguments),
            stderr=stderr,
        )
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)
    return Kernel(manager, client, log)


def configure(folder: Path, **databases: TestDatabase) -> dict[str, str]:
    """Write a `pgmagic.toml` that names these databases; give the variables with their DSNs."""
    lines = []
    for name in databases:
        lines += [f"[databases.{name}]", f'dsn_env = "TEST_DSN_{name.upper()}"', ""]
    (folder / "pgmagic.toml").write_text("\n".join(lines))
    return {f"TEST_DSN_{name.upper()}": database.dsn for name, database in databases.items()}


@pytest.fixture
def bare_kernel(
    tmp_path: Path, database: TestDatabase, second_database: TestDatabase
) -> Iterator[Kernel]:
    """A kernel that has not loaded pgmagic yet; databases `a` and `b` are configured."""
    kernel = start_kernel(tmp_path, configure(tmp_path, a=database, b=second_database))
    try:
        yield kernel
    finally:
        kernel.shutdown(now=not kernel.manager.is_alive())


@pytest.fixture
def kernel(bare_kernel: Kernel) -> Kernel:
    """A kernel with pgmagic loaded; databases `a` and `b` are configured."""
    bare_kernel.run("%load_ext pgmagic").ok()
    return bare_kernel


@dataclass(frozen=True, slots=True)
class Activity:
    """What the test's own connection sees of the backends of a database."""

    database: TestDatabase

    def __call__(self, state: str = "active") -> list[str]:
        """Give the queries of the kernel's backends in this state."""
        return asyncio.run(self._queries(state))

    async def _queries(self, state: str) -> list[str]:
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "select query from pg_stat_activity where datname = $1 and state like $2"
                " and application_name <> 'pgmagic tests'",
                self.database.name,
                state,
            )
        return [row["query"] for row in rows]


@pytest.fixture
def activity(database: TestDatabase) -> Activity:
    """What runs on database `a`."""
    return Activity(database)


@pytest.fixture
def second_activity(second_database: TestDatabase) -> Activity:
    """What runs on database `b`."""
    return Activity(second_database)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _seconds(reply: dict[str, Any]) -> float:
    started = reply["metadata"].get("started")
    return (reply["header"]["date"] - parse_date(started)).total_seconds() if started else 0.0
