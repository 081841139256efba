"""A real ipykernel, driven over its own protocol.

    def test_something(kernel):
        reply = kernel.run("%pg a select 1 as one").ok()
        assert reply.result == ...

The fixtures stand in tests/kernel/conftest.py.
"""

import ast
import asyncio
import os
import queue
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeAlias

import pytest
from jupyter_client import KernelManager
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.jsonutil import parse_date

from tests.servers import TestDatabase

__all__ = ["IPYKERNEL", "Activity", "Kernel", "Reply", "configure", "start_kernel", "wait_until"]

IPYKERNEL = tuple(int(digits) for digits in re.findall(r"\d+", version("ipykernel"))[:2])
PATIENCE = 30.0  # seconds until a kernel that does not answer counts as hung
SIGNAL_SPACING = 0.6  # seconds between two interrupts
SETTLED = 5.0  # seconds for what a cell leaves behind to be cleared away
# Written by every ipykernel that is reached over TCP.
EXPECTED_COMPLAINT = "running over TCP without encryption"

STATE = """(
    [(s.database, s.size, s.idle, s.in_use, s.waiting, len(s.running))
     for s in get_ipython().pgmagic.client.statistics()],
    len(get_ipython().pgmagic.home.tasks),
)"""


def wait_until(condition: Callable[[], Any], *, within: float = 10.0, what: str = "it") -> Any:
    """Wait for something outside this process; give it once it is true."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {within:g} s in vain for {what}"
        time.sleep(0.01)
    return found


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
    """A running kernel and a client of it.

    `order` holds the requests in the order in which they were answered.
    """

    manager: KernelManager
    client: BlockingKernelClient
    log: TextIO
    order: list[str] = field(default_factory=list)
    _replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    _messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _interrupted_at: float = 0.0

    # Cells

    def start(self, code: str, *, subshell: str | None = None, stop_on_error: bool = True) -> str:
        """Send a cell and return at once; `finish` waits for it."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        return self.send("execute_request", content, subshell=subshell)

    def finish(self, request: str, timeout: float = PATIENCE) -> Reply:
        """Wait until a cell that was sent has ended and shown everything."""
        reply = self.reply(request, timeout)
        deadline = time.monotonic() + timeout
        while not self._has_been("idle", request):
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
        printed = self.run(f"print(repr({expression}))").ok().stdout
        return ast.literal_eval(printed)

    def interrupt(self) -> float:
        """Press stop; give the time at which it was pressed."""
        # Some ipykernels lose a reply, or hang, where two signals come at once.
        time.sleep(max(0.0, self._interrupted_at + SIGNAL_SPACING - time.monotonic()))
        self._interrupted_at = time.monotonic()
        self.manager.interrupt_kernel()
        return self._interrupted_at

    def wait_for_output(self, request: str | None, text: str, timeout: float = PATIENCE) -> None:
        """Wait until a cell, or with None any cell, has printed something."""
        deadline = time.monotonic() + timeout
        while not any(
            text in message["content"]["text"]
            for parent, messages in self._messages.items()
            if request in (None, parent)
            for message in messages
            if message["msg_type"] == "stream"
        ):
            self._collect(deadline)

    def wait_until_begun(self, request: str, timeout: float = PATIENCE) -> None:
        """Wait until the kernel has taken a cell up: a stop before that means nothing to it."""
        deadline = time.monotonic() + timeout
        while not self._has_been("busy", request):
            self._collect(deadline)

    def wait_for_messages(self, kind: str, *, count: int, timeout: float = PATIENCE) -> None:
        """Wait for so many more messages of a kind, whichever cell sends them."""
        deadline = time.monotonic() + timeout
        before = self._count(kind)
        while self._count(kind) < before + count:
            self._collect(deadline)

    # The protocol below cells

    def send(self, kind: str, content: dict[str, Any], *, subshell: str | None = None) -> str:
        """Send a message on the shell channel; give its id."""
        message = self.client.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def reply(self, request: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for the reply to a message on the shell channel."""
        deadline = time.monotonic() + timeout
        while request not in self._replies:
            try:
                message = self.client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail("the kernel gave no reply:\n" + Path(self.log.name).read_text()[-3000:])
            answered = message["parent_header"].get("msg_id", "")
            self.order.append(answered)
            self._replies[answered] = message
        return self._replies.pop(request)

    def new_subshell(self) -> str:
        """Ask for a subshell; give its id."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        reply = self.client.get_control_msg(timeout=PATIENCE)
        return str(reply["content"]["subshell_id"])

    # What is left behind

    def complaints(self) -> list[str]:
        """Give what the kernel's process wrote to its own standard error."""
        lines = Path(self.log.name).read_text().splitlines()
        return [line for line in lines if line.strip() and EXPECTED_COMPLAINT not in line]

    def state(self) -> Any:
        """Give the numbers of every pool, and how many tasks run for pgmagic."""
        return self.value(STATE)

    def settle(self) -> None:
        """Wait until every connection is back in its pool and nothing runs for pgmagic."""
        deadline = time.monotonic() + SETTLED
        while not _is_settled(state := self.state()):
            assert time.monotonic() < deadline, f"pools or tasks are left in use: {state}"

    def restart(self) -> None:
        """Restart the kernel as the button does; its process ends, another one begins."""
        self.manager.restart_kernel()
        self.client.wait_for_ready(timeout=PATIENCE)

    def shutdown(self, *, now: bool = False) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        self.manager.cleanup_resources()
        self.log.close()

    def _count(self, kind: str) -> int:
        messages = (message for messages in self._messages.values() for message in messages)
        return sum(message["msg_type"] == kind for message in messages)

    def _has_been(self, state: str, request: str) -> bool:
        return any(
            message["msg_type"] == "status" and message["content"]["execution_state"] == state
            for message in self._messages.get(request, [])
        )

    def _collect(self, deadline: float) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            pytest.fail("the kernel fell silent:\n" + Path(self.log.name).read_text()[-3000:])
        parent = message["parent_header"].get("msg_id", "")
        self._messages.setdefault(parent, []).append(message)


def start_kernel(folder: Path, environment: dict[str, str], *arguments: str) -> Kernel:
    """Start a kernel in a folder; its IPython profile and history are its own."""
    log = folder / "kernel.log"
    manager = KernelManager(kernel_name="python3")
    # The one that belongs to this Python, whatever else is registered on the machine.
    manager.kernel_spec.argv[0] = sys.executable
    own = {"IPYTHONDIR": str(folder / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    stderr = log.open("a")  # stays open: a restarted kernel writes to it as well
    manager.start_kernel(
        cwd=str(folder),
        env=os.environ | own | environment,
        extra_arguments=list(arguments),
        stderr=stderr,
    )
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)
    return Kernel(manager, client, stderr)


def configure(folder: Path, **databases: TestDatabase) -> dict[str, str]:
    """Write a `pgmagic.toml` that names these databases; give the variables with their DSNs."""
    lines = []
    for name in databases:
        lines += [f"[databases.{name}]", f'dsn_env = "TEST_DSN_{name.upper()}"', ""]
    (folder / "pgmagic.toml").write_text("\n".join(lines))
    return {f"TEST_DSN_{name.upper()}": database.dsn for name, database in databases.items()}


class Backend(NamedTuple):
    """A row of pg_stat_activity."""

    pid: int
    query: str
    wait_event: str | None


Look: TypeAlias = Callable[[str], Awaitable[list[Backend]]]


@dataclass(frozen=True, slots=True)
class Activity:
    """What connections of the test's own see of the other backends of some databases."""

    databases: tuple[TestDatabase, ...]

    def queries(self, state: str = "active") -> list[str]:
        """Give the queries of the backends in this state; `%` is any."""
        return [backend.query for backend in self._until(lambda _: True, state)]

    def pids(self, state: str = "active") -> list[int]:
        """Give their process ids."""
        return [backend.pid for backend in self._until(lambda _: True, state)]

    def until(self, count: int = 1, *, within: float = 10.0) -> None:
        """Wait until so many queries run at the same moment."""
        self._until(lambda found: len(found) == count, within=within)

    def until_some(self) -> None:
        """Wait until any query runs."""
        self._until(bool)

    def ask(self, sql: str) -> list[Any]:
        """Ask each server something; give the first value of each."""

        async def ask() -> list[Any]:
            values = []
            for database in self.databases:
                async with database.connection() as connection:
                    values.append(await connection.fetchval(sql))
            return values

        return asyncio.run(ask())

    def until_streaming(self) -> None:
        """Wait until a backend is ahead of its client with the rows of a large result."""
        self._until(lambda found: "ClientWrite" in [backend.wait_event for backend in found])

    def until_gone(self, state: str = "%", *, within: float = 5.0) -> None:
        """Wait until no backend is left in this state."""
        self._until(lambda found: not found, state, within=within)

    def _until(
        self,
        done: Callable[[list[Backend]], bool],
        state: str = "active",
        *,
        within: float = 10.0,
    ) -> list[Backend]:
        async def wait() -> list[Backend]:
            async with self._connected() as look:
                deadline = time.monotonic() + within
                while not done(found := await look(state)):
                    assert time.monotonic() < deadline, f"waited {within:g} s in vain: {found}"
                    await asyncio.sleep(0.01)
                return found

        return asyncio.run(wait())

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Look]:
        """Connect to each server once; one statement sees all its databases at one moment."""
        async with AsyncExitStack() as stack:
            servers = {(each.host, each.port): each for each in self.databases}
            connections = [
                await stack.enter_async_context(each.connection()) for each in servers.values()
            ]
            names = [each.name for each in self.databases]

            async def look(state: str) -> list[Backend]:
                return [
                    Backend(*row)
                    for connection in connections
                    for row in await connection.fetch(
                        "select pid, query, wait_event from pg_stat_activity"
                        " where datname = any($1) and state like $2 and pid <> pg_backend_pid()"
                        " and backend_type = 'client backend'",
                        names,
                        state,
                    )
                ]

            yield look


def _is_settled(state: Any) -> bool:
    pools, tasks = state
    return not tasks and all(
        size == idle and used == waiting == running == 0
        for _, size, idle, used, waiting, running in pools
    )


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _seconds(reply: dict[str, Any]) -> float:
    started = reply["metadata"].get("started")
    return (reply["header"]["date"] - parse_date(started)).total_seconds() if started else 0.0
