"""Real PostgreSQL for tests: two throw-away servers, and fresh databases on them.

    async def test_something(database):
        async with database.connection() as connection:
            assert await connection.fetchval("select 1") == 1

`--pg` (or PGMAGIC_TEST_PG) chooses the server: `auto`, `system`, `embedded` or a folder with the
programs. Where there is none the tests are skipped, and fail in CI.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import asyncpg
import pytest

from pgmagic.errors import SandboxError
from pgmagic.sandbox.binaries import Binaries, Origin, find_binaries, probe
from pgmagic.sandbox.server import Server
from pgmagic.sandbox.watchdog import remove

T = TypeVar("T")

ORDERS: dict[str, tuple[Origin, ...]] = {
    "auto": ("environment", "system", "embedded"),
    "system": ("system",),
    "embedded": ("embedded",),
}
QUIET = {"autovacuum": "off"}  # it would stand among the queries that run, now and then
TEST_APPLICATION = "pgmagic tests"
ROOM = 4 << 30  # bytes
LEFTOVER_SECONDS = 2.0  # a backend ends a moment after its client is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDatabase:
    """A fresh database of one test, dropped after it. Its user is a superuser."""

    __test__ = False  # not a class of tests

    host: str  # the folder of a Unix socket
    port: int  # on 127.0.0.1 as well
    user: str
    password: str = field(repr=False)
    name: str

    @property
    def dsn(self) -> str:
        """A DSN with the password, for the Unix socket."""
        address = urlencode({"host": self.host, "port": self.port})
        return f"postgresql://{self._login}@/{self.name}?{address}"

    @property
    def tcp_dsn(self) -> str:
        """A DSN with the password, for 127.0.0.1."""
        return f"postgresql://{self._login}@127.0.0.1:{self.port}/{self.name}"

    async def connect(self, **options: Any) -> asyncpg.Connection:
        """Open a connection of the test's own, which the test closes."""
        settings = {"application_name": TEST_APPLICATION} | options.pop("server_settings", {})
        return await asyncpg.connect(self.dsn, server_settings=settings, **options)

    @asynccontextmanager
    async def connection(self, **options: Any) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection of the test's own and close it."""
        connection = await self.connect(**options)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    @property
    def _login(self) -> str:
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"


class Administrator:
    """Runs SQL on a server outside any test's event loop, over one connection kept open."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._connection: asyncpg.Connection | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def execute(self, sql: str) -> None:
        self._call(self._execute(sql))

    def leftovers(self, database: str) -> list[str]:
        """Say what backends, other than the test's own, are still in a database."""
        return self._call(self._leftovers(database))

    def close(self) -> None:
        if self._connection is not None:
            self._call(self._connection.close(timeout=5))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self.server.dsn())
        return self._connection

    async def _execute(self, sql: str) -> None:
        await (await self._connected()).execute(sql)

    async def _leftovers(self, database: str) -> list[str]:
        deadline = self._loop.time() + LEFTOVER_SECONDS
        while True:
            connection = await self._connected()
            rows = await connection.fetch(
                """
                select pid, application_name, state, query from pg_stat_activity
                where datname = $1 and backend_type = 'client backend'
                and application_name <> $2
                """,
                database,
                TEST_APPLICATION,
            )
            if not rows or self._loop.time() > deadline:
                return [
                    f"{row['pid']} {row['application_name']} {row['state']}: {row['query']}"
                    for row in rows
                ]
            await asyncio.sleep(0.01)


def missing(what: str) -> NoReturn:
    """Skip at home; fail in CI, where a skip would go unnoticed."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


# -- options


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pg",
        default=os.environ.get("PGMAGIC_TEST_PG", "auto"),
        help="PostgreSQL to test against: auto, system, embedded, or a folder of programs",
    )


def pytest_configure(config: pytest.Config) -> None:
    _stay_in_memory()
    config.addinivalue_line("markers", "server: needs a PostgreSQL server (set by the fixtures)")


def _stay_in_memory() -> None:
    """Keep throw-away servers in memory where there is room: a new database takes a tenth there."""
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_dir():
        return
    if shutil.disk_usage(memory).free > ROOM:
        os.environ["TMPDIR"] = str(memory)
        tempfile.tempdir = None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if "pg_binaries" in getattr(item, "fixturenames", ()):
            item.add_marker("server")


def pytest_report_header(config: pytest.Config) -> str:
    try:
        return str(_binaries(config.getoption("--pg")))
    except SandboxError as error:
        return f"PostgreSQL: {error.message}"


def _binaries(choice: str) -> Binaries:
    if choice in ORDERS:
        return find_binaries(ORDERS[choice])
    found = probe(Path(choice), "environment")
    if found is None:
        raise SandboxError(f"no PostgreSQL server runs from {choice}")
    return found


# -- servers


@pytest.fixture(scope="session")
def pg_binaries(request: pytest.FixtureRequest) -> Binaries:
    """The programs of the server that is tested against."""
    try:
        return _binaries(request.config.getoption("--pg"))
    except SandboxError as error:
        missing(error.message)


@pytest.fixture(scope="session")
def server(pg_binaries: Binaries) -> Iterator[Server]:
    """A throw-away server, shared by all tests of the session: don't stop or kill it."""
    with Server(binaries=pg_binaries, settings=QUIET) as started:
        yield started


@pytest.fixture(scope="session")
def second_server(pg_binaries: Binaries) -> Iterator[Server]:
    """Another one."""
    with Server(binaries=pg_binaries, settings=QUIET) as started:
        yield started


@pytest.fixture(scope="session")
def new_root(pg_binaries: Binaries) -> Iterator[Callable[[], Path]]:
    """A factory of folders for `Server(root)`, with a data directory in them.

    It is copied, owners and all, from one that was made once: several times faster.
    """
    with ExitStack() as stack:

        def folder() -> Path:
            made = Path(tempfile.mkdtemp(prefix="pgmagic-test-"))
            made.chmod(0o711)  # the account of the server passes through
            stack.callback(remove, made)
            return made

        template = folder() / "server"
        Server(template, binaries=pg_binaries).start().stop()

        def copy() -> Path:
            root = folder() / "server"
            subprocess.run(["cp", "-a", template, root], check=True)
            return root

        yield copy


@pytest.fixture
def own_server(pg_binaries: Binaries, new_root: Callable[[], Path]) -> Iterator[Server]:
    """A server of this test alone, to kill and restart."""
    with Server(new_root(), binaries=pg_binaries, settings={"fsync": "off"}) as started:
        yield started


# -- databases


@contextmanager
def _administrator(server: Server) -> Iterator[Administrator]:
    administrator = Administrator(server)
    try:
        yield administrator
    finally:
        administrator.close()


@pytest.fixture(scope="session")
def administrator(server: Server) -> Iterator[Administrator]:
    with _administrator(server) as one:
        yield one


@pytest.fixture(scope="session")
def second_administrator(second_server: Server) -> Iterator[Administrator]:
    with _administrator(second_server) as one:
        yield one


@pytest.fixture
def database(administrator: Administrator) -> Iterator[TestDatabase]:
    """A fresh database on the first server."""
    with fresh_database(administrator) as fresh:
        yield fresh


@pytest.fixture
def second_database(second_administrator: Administrator) -> Iterator[TestDatabase]:
    """A fresh database on the second server."""
    with fresh_database(second_administrator) as fresh:
        yield fresh


@pytest.fixture
def many_databases(
    administrator: Administrator,
) -> Iterator[Callable[[int], list[TestDatabase]]]:
    """A factory of fresh databases on the first server."""
    with ExitStack() as stack:
        yield lambda count: [
            stack.enter_context(fresh_database(administrator)) for _ in range(count)
        ]


_numbers = itertools.count(1)


@contextmanager
def fresh_database(administrator: Administrator) -> Iterator[TestDatabase]:
    server = administrator.server
    name = f"test_{os.getpid()}_{next(_numbers)}"
    administrator.execute(f'create database "{name}"')
    try:
        yield TestDatabase(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            name=name,
        )
        if leftovers := administrator.leftovers(name):
            pytest.fail("backends remain:\n" + "\n".join(leftovers), pytrace=False)
    finally:
        administrator.execute(f'drop database if exists "{name}" with (force)')
