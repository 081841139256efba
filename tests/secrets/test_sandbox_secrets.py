"""The sandbox makes its own passwords: they stand in its own files, which only we can read."""

import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from pgmagic.client import Client
from pgmagic.errors import ConnectFailed, SandboxError
from pgmagic.playing import add_sandbox
from pgmagic.sandbox import cluster, databases, loading
from pgmagic.sandbox.binaries import Binaries
from pgmagic.sandbox.databases import Sandbox, start_sandbox
from pgmagic.secret import Secret
from tests.secrets.canary import CANARY, leaks, leaks_in_files
from tests.secrets.told import MODES, remains_of, told_by, told_by_client, told_by_frame
from tests.secrets.trials import Search, logged

ITS_OWN = {"password", "newjersey/data{}.json", "newyork/data{}.json"}
FAULTS = ("initdb", "a file", "the password", "a connection", "data")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    """Search the logs and what other programs are started with; every password is the canary."""
    search = Search()
    for module in (cluster, databases):
        monkeypatch.setattr(module, "new_password", lambda: Secret(CANARY))

    class Watched(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: Any, **options: Any) -> None:
            search.look("arguments", [repr(command), repr(options.get("env"))])
            super().__init__(command, **options)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with logged(search):
        yield search


async def test_its_passwords_stand_in_its_own_files_alone(
    folder: Path,
    few: Path,
    search: Search,
    pg_binaries: Binaries,
    capfd: pytest.CaptureFixture[str],
):
    def start(data: Path = few, **options: Any) -> Sandbox:
        return start_sandbox(
            lambda *stage: search.look("progress", [repr(stage), *running()]),
            folder=folder, binaries=pg_binaries, data=data, **options,
        )  # fmt: skip

    with ExitStack() as stack:
        sandbox = stack.enter_context(start())
        assert sandbox.databases["ewr"].password == sandbox.servers["newyork"].password == CANARY
        things = [sandbox, *sandbox.servers.values(), *sandbox.databases.values()]
        search.look("what it is", (text for thing in things for text in remains_of(thing)))
        async with Client() as client:
            await add_sandbox(client, sandbox)
            frame = await client.query("select count(*) from flights", on="@sandbox")
            search.look("an answer", told_by_frame(frame))
            sandbox.halt("jfk")
            with pytest.raises(ConnectFailed) as failed:
                await client.query("select 1", on="lga")
            search.look("an error", told_by(failed.value, "Verbose"))
            search.look("a client", told_by_client(client))
            sandbox.resume("jfk")
    out, err = capfd.readouterr()
    search.look("streams", [out, err])
    assert search.searched > 100
    assert search.found == []
    held = {file.partition(":")[0] for file in leaks_in_files(folder)}
    assert held == {name.format(pg_binaries.major) for name in ITS_OWN}
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in held} == {0o600}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_that_fails_shows_no_password(
    fault: str,
    folder: Path,
    few: Path,
    search: Search,
    pg_binaries: Binaries,
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(*_: Any, **__: Any) -> Any:
        raise asyncpg.DiskFullError("no space left on device")

    match fault:
        case "initdb":
            monkeypatch.setattr(cluster.tempfile, "NamedTemporaryFile", refuse)
        case "the password":  # PostgreSQL takes none from this statement
            monkeypatch.setattr(loading, "ROLE", "pg_reserved")
        case "a connection":
            monkeypatch.setattr(asyncpg.connect_utils, "_connect_addr", refuse)
        case "data":
            (few / "planes.csv").write_text("tailnum,year\nN1,not a number\n")
        case "a file":
            (folder / "password.new").mkdir()
    with pytest.raises((SandboxError, OSError)) as failed:
        start_sandbox(folder=folder, binaries=pg_binaries, data=few)
    search.look("an error", told_by(failed.value, MODES[FAULTS.index(fault)]))
    assert search.found == []
    logs = [log.read_text(errors="replace") for log in folder.glob("*/server.log")]
    assert not [log for log in logs if leaks(log)]


def running() -> list[str]:
    """Give the arguments of all processes of the machine."""
    return [repr(process.info) for process in psutil.process_iter(["cmdline"])]
