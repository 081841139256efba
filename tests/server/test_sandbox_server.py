"""A server of our own lives as long as somebody uses it, and not a moment longer."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from pgmagic.errors import SandboxError
from pgmagic.sandbox import account
from pgmagic.sandbox.binaries import Binaries, find_binaries
from pgmagic.sandbox.server import Server
from pgmagic.sandbox.watchdog import PID_FILE, Postmaster, remove

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its rights")

# Starts a server on the folder (or a throw-away one), says where it is, waits to be told to end.
USER = """
import json, sys
from pathlib import Path
from pgmagic.sandbox.binaries import probe
from pgmagic.sandbox.server import Server

root, bindir = sys.argv[1:]
server = Server(Path(root) if root else None, binaries=probe(Path(bindir), "environment"))
server.start()
print(json.dumps({"pid": server.pid, "socket": str(server.socket_dir), "log": str(server.log)}))
sys.stdout.flush()
if sys.stdin.readline() == "stop\\n":
    server.stop()
"""


class User:
    """Another Python process that uses a server."""

    def __init__(
        self,
        binaries: Binaries,
        root: Path | None = None,
        *,
        python: str = sys.executable,
        **options: object,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-c", USER, str(root or ""), str(binaries.bindir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            **options,  # type: ignore[call-overload]
        )

    def wait_started(self) -> dict[str, object]:
        said = self.process.stdout.readline()
        assert said, "the server did not start"
        return json.loads(said)

    def end(self, how: str) -> None:
        match how:
            case "stop":
                self.process.stdin.write("stop\n")
                self.process.stdin.flush()
            case "exit":
                self.process.stdin.close()
            case _:
                self.process.send_signal(getattr(signal, how))
        self.process.wait(20)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def user(pg_binaries: Binaries) -> Iterator[Callable[..., User]]:
    with contextlib.ExitStack() as stack:

        def start(root: Path | None = None, **options: object) -> User:
            one = User(pg_binaries, root, **options)
            stack.callback(one.close)
            return one

        yield start


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every account can enter; pytest's are for their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="pgmagic-test-"))
    folder.chmod(0o755)
    yield folder
    remove(folder)  # a server may be on its way out


def wait_until(condition: Callable[[], bool], *, timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_gone(socket_dir: object) -> bool:
    return not Path(str(socket_dir)).exists()


async def value(server: Server, sql: str) -> object:
    connection = await asyncpg.connect(server.dsn())
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


# -- the end


@pytest.mark.parametrize("how", ["stop", "exit", "SIGTERM", "SIGKILL"])
def test_nothing_is_left_however_the_process_ends(user: Callable[..., User], how: str) -> None:
    only = user()
    where = only.wait_started()
    assert not is_gone(where["socket"])
    only.end(how)
    wait_until(lambda: is_gone(where["socket"]))
    wait_until(lambda: not Path(str(where["log"])).parent.exists())


@pytest.mark.parametrize("how", ["stop", "SIGKILL"])
def test_the_last_of_two_processes_stops_the_server(
    user: Callable[..., User], new_root: Callable[[], Path], how: str
) -> None:
    root = new_root()
    first, second = user(root), user(root)
    where = first.wait_started()
    assert second.wait_started() == where
    first.end(how)
    data = next(root.glob(f"*/{PID_FILE}")).parent
    postmaster = Postmaster.read(data)
    assert postmaster is not None
    assert postmaster.listens()
    second.end(how)
    wait_until(lambda: not (data / PID_FILE).exists())
    wait_until(lambda: is_gone(where["socket"]))


def test_a_stop_waits_for_whoever_is_stopping_the_server(
    user: Callable[..., User], new_root: Callable[[], Path], pg_binaries: Binaries
) -> None:
    root = new_root()
    with Server(root, binaries=pg_binaries) as server:
        socket_dir = server.socket_dir
        other = user(root)
        other.wait_started()
        other.process.kill()  # its watchdog and ours now look at the same time
        other.process.wait(20)
    assert is_gone(socket_dir)
    assert not list(root.glob(f"*/{PID_FILE}"))


def test_a_kill_during_the_start_leaves_nothing(
    user: Callable[..., User], public_folder: Path
) -> None:
    root = public_folder / "server"
    killed = user(root)
    wait_until(lambda: any(root.glob("data*.new-*")) or any(root.glob("data*")))
    killed.end("SIGKILL")
    again = user(root)
    where = again.wait_started()
    assert not any(root.glob("data*.new-*"))
    again.end("stop")
    wait_until(lambda: is_gone(where["socket"]))


def test_an_interrupt_of_the_process_group_is_not_for_the_server(
    user: Callable[..., User], new_root: Callable[[], Path], pg_binaries: Binaries
) -> None:
    root = new_root()
    interrupted = user(root, start_new_session=True)
    where = interrupted.wait_started()
    with Server(root, binaries=pg_binaries) as other:
        os.killpg(interrupted.process.pid, signal.SIGINT)
        interrupted.process.wait(20)
        assert other.pid == where["pid"]
        assert Postmaster.read(other.log.parent / f"data{pg_binaries.major}").listens()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_server(pg_binaries: Binaries) -> None:
    server = Server(binaries=pg_binaries).start()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # it waits until the parent closes the pipe, whatever happens there
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)
    try:
        socket_dir = server.socket_dir
        server.stop()
        assert is_gone(socket_dir)
    finally:
        os.close(write_end)
        os.waitpid(child, 0)


# -- the life between


async def test_kept_data_are_there_again(
    new_root: Callable[[], Path], pg_binaries: Binaries
) -> None:
    root = new_root()
    with Server(root, binaries=pg_binaries) as server:
        await value(server, "create table kept as select 42 as n")
        password = server.password
    with Server(root, binaries=pg_binaries) as server:
        assert await value(server, "select n from kept") == 42
        assert server.password == password
        assert await value(server, "show fsync") == "on"


@pytest.mark.parametrize("crash", [False, True])
async def test_a_restart_is_at_the_same_address(own_server: Server, crash: bool) -> None:
    await value(own_server, "create table kept as select 42 as n")
    before = (own_server.pid, own_server.dsn(), own_server.dsn(tcp=True))
    client = await asyncpg.connect(own_server.dsn())
    if crash:
        own_server.kill()
    own_server.restart()
    assert own_server.pid != before[0]
    assert (own_server.dsn(), own_server.dsn(tcp=True)) == before[1:]
    assert await value(own_server, "select n from kept") == 42
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await client.fetchval("select 1")
    client.terminate()


async def test_a_crashed_server_is_started_anew(public_folder: Path, pg_binaries: Binaries) -> None:
    root = public_folder / "server"
    with Server(root, binaries=pg_binaries) as crashed:
        socket_dir = crashed.socket_dir
        crashed.kill()
        with Server(root, binaries=pg_binaries) as server:
            assert await value(server, "select 1") == 1
            assert server.socket_dir != socket_dir
            assert is_gone(socket_dir)
    assert is_gone(server.log.parent / PID_FILE)


async def test_settings_hba_and_files(pg_binaries: Binaries) -> None:
    server = Server(
        binaries=pg_binaries,
        settings={"max_connections": 7, "work_mem": "3MB"},
        hba=["local all all trust"],
        files={"greeting.txt": b"hello"},
        tcp=False,
    )
    with server:
        assert await value(server, "show max_connections") == "7"
        assert await value(server, "show work_mem") == "3MB"
        assert await value(server, "select pg_read_file('greeting.txt')") == "hello"
        assert await value(server, "show listen_addresses") == ""
        rules = "select string_agg(auth_method, ',') from pg_hba_file_rules"
        assert await value(server, rules) == "trust"


async def test_everybody_signs_in_with_scram(server: Server) -> None:
    methods = "select string_agg(distinct auth_method, ',') from pg_hba_file_rules"
    assert await value(server, methods) == "scram-sha-256"
    assert await value(server, "select rolpassword ~ '^SCRAM' from pg_authid where rolcanlogin")


async def test_the_environment_does_not_reach_the_server(
    pg_binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, setting in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGOPTIONS": "-c work_mem=1",
        "LC_ALL": "xx_XX",
    }.items():
        monkeypatch.setenv(name, setting)
    with Server(binaries=pg_binaries) as server:
        monkeypatch.undo()  # asyncpg reads them as well
        assert await value(server, "show work_mem") == "4MB"
        assert await value(server, "show lc_messages") == "C"


async def test_a_long_temporary_folder_is_not_for_sockets(
    public_folder: Path, pg_binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = public_folder / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Server(binaries=pg_binaries) as server:
        assert await value(server, "select 1") == 1


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(
    pg_binaries: Binaries,
) -> None:
    server = Server(binaries=pg_binaries, settings={"shared_buffers": "nonsense"})
    with pytest.raises(SandboxError, match="shared_buffers"):
        server.start()
    assert not server.log.parent.exists()


def test_secrets_are_for_their_owner_alone(public_folder: Path, pg_binaries: Binaries) -> None:
    root = public_folder / "server"
    with Server(root, binaries=pg_binaries) as server:
        for path in root.iterdir():
            assert not stat.S_IMODE(path.stat().st_mode) & (stat.S_IROTH | stat.S_IRGRP)
        assert not stat.S_IMODE(server.socket_dir.stat().st_mode) & stat.S_IRWXO
        assert server.password not in repr(server)


# -- root


@as_root
def test_root_gives_its_rights_up(server: Server) -> None:
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


@as_root
def test_root_opens_no_folder_of_its_own(public_folder: Path, pg_binaries: Binaries) -> None:
    private = public_folder / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(SandboxError, match="cannot enter"):
        Server(private / "server", binaries=pg_binaries).start()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@as_root
async def test_root_runs_a_copy_of_programs_that_are_its_own(
    public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        embedded = find_binaries(["embedded"])
    except SandboxError as error:
        pytest.skip(error.message)
    private = public_folder / "private"
    package = embedded.bindir.parents[1]
    shutil.copytree(package, private / package.name, symlinks=True)
    shutil.copytree(f"{package}.libs", private / f"{package.name}.libs", symlinks=True)
    private.chmod(0o700)
    monkeypatch.setattr(account, "COPIES", public_folder / "copies")
    monkeypatch.setenv("PGMAGIC_PG_BINDIR", str(private / package.name / "pginstall" / "bin"))
    with Server(binaries=find_binaries(["environment"])) as server:
        assert server.binaries.bindir.is_relative_to(public_folder / "copies")
        # This one needs a library that lies beside the package.
        assert await value(server, "create extension postgres_fdw") is None
        assert await value(server, "load 'postgres_fdw'") is None
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@as_root
def test_another_account_needs_no_root(user: Callable[..., User], public_folder: Path) -> None:
    other = account.Account.choose()
    root = public_folder / "of-the-other"
    root.mkdir(mode=0o700)
    other.own(root)
    # Root's own Python, in its home, may be closed to others.
    pythons = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    imports = "import pgmagic.sandbox.server"  # the environment may be closed to others as well
    runs = ("/bin/sh", "-c", f'PYTHONPATH={shlex.quote(path)} "$0" -c "{imports}"')
    python = next((one for one in pythons if other.run(*runs, one).returncode == 0), None)
    if python is None:
        pytest.skip("no Python that another account can run")
    only = user(
        root,
        python=python,
        env={"PYTHONPATH": path},
        user=other.uid,
        group=other.gid,
        extra_groups=[],
    )
    where = only.wait_started()
    assert Path(f"/proc/{where['pid']}").stat().st_uid == other.uid
    only.end("SIGKILL")
    wait_until(lambda: is_gone(where["socket"]))
    assert not list(root.glob(f"*/{PID_FILE}"))
