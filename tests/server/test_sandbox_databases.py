"""The sandbox: three databases on two servers, filled once, shared, and never half full."""

import datetime
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import asyncpg
import pytest

from pgmagic.errors import SandboxError
from pgmagic.sandbox import nycflights
from pgmagic.sandbox.binaries import Binaries
from pgmagic.sandbox.databases import Sandbox, start_sandbox
from pgmagic.sandbox.nycflights import find_data
from pgmagic.sandbox.watchdog import remove

FEW = {
    "airlines": "carrier,name\nUA,United\nB6,JetBlue\n",
    "airports": (
        "faa,name,lat,lon,alt,tz,dst,tzone\n"
        "EWR,Newark,40.69,-74.16,18,-5,A,America/New_York\n"
        "JFK,Kennedy,40.63,-73.77,13,-5,A,America/New_York\n"
        "LGA,La Guardia,40.77,-73.87,22,-5,A,NA\n"
    ),
    "planes": (
        "tailnum,year,type,manufacturer,model,engines,seats,speed,engine\n"
        "N1,NA,Fixed wing,BOEING,737,2,149,NA,Turbo-fan\n"
    ),
    "weather": (
        "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,"
        "pressure,visib,time_hour\n"
        "EWR,2013,1,1,1,39.02,26.06,59.37,270,10.35,NA,0,1012,10,2013-01-01T06:00:00Z\n"
        "LGA,2013,1,1,1,39.9,26.06,57.33,250,13.8,NA,0,NA,10,2013-01-01T06:00:00Z\n"
    ),
    "flights": (
        "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
        "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
        "2013,1,1,517,515,2,830,819,11,UA,1545,N1,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
        "2013,1,1,NA,529,NA,NA,830,NA,UA,1714,NA,LGA,IAH,NA,1416,5,29,2013-01-01T10:00:00Z\n"
        "2013,1,1,544,545,-1,1004,1022,-18,B6,725,N1,JFK,BQN,183,1576,5,45,"
        "2013-01-01T10:00:00Z\n"
    ),
}

# Starts the sandbox, and says each stage as it comes.
USER = """
import sys
from pathlib import Path
from pgmagic.sandbox.binaries import probe
from pgmagic.sandbox.databases import start_sandbox

folder, bindir, data = map(Path, sys.argv[1:])

def say(stage, done, total):
    print(stage, flush=True)
    if stage == "loading rows":
        sys.stdin.readline()

start_sandbox(say, folder=folder, binaries=probe(bindir, "environment"), data=data)
print("started", flush=True)
sys.stdin.readline()
"""


class Stages(list[str]):
    """What was reported, each stage once, and that every one came to its end."""

    def __init__(self) -> None:
        self.ends: dict[str, bool] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self:
            self.append(stage)
        assert 0 <= done <= total
        self.ends[stage] = done == total


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account can enter."""
    made = Path(tempfile.mkdtemp(prefix="pgmagic-test-"))
    made.chmod(0o755)
    yield made
    remove(made)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the flights, with three of them."""
    data = tmp_path_factory.mktemp("data")
    for table, text in FEW.items():
        (data / f"{table}.csv").write_text(text)
    return data


@pytest.fixture
def other_process(
    folder: Path, few: Path, pg_binaries: Binaries
) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts the same sandbox, and waits at the first row."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), str(pg_binaries.bindir), str(few)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def start(folder: Path, few: Path, pg_binaries: Binaries) -> Callable[..., Sandbox]:
    def start(progress: Stages | None = None, **options: object) -> Sandbox:
        options = {"data": few, **options}
        return start_sandbox(progress, folder=folder, binaries=pg_binaries, **options)

    return start


async def value(sandbox: Sandbox, name: str, sql: str) -> object:
    connection = await asyncpg.connect(sandbox.databases[name].dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_progress_is_reported_in_the_context_of_the_caller(start: Callable[..., Sandbox]) -> None:
    """A kernel keeps in the context which cell an output belongs to."""
    cell: ContextVar[str] = ContextVar("cell", default="of nobody")
    token = cell.set("ours")
    cells = []
    try:
        with start(lambda stage, done, total: cells.append((stage, cell.get()))):
            pass
    finally:
        cell.reset(token)
    assert len({stage for stage, _ in cells}) > 1
    assert {told for _, told in cells} == {"ours"}


async def test_each_database_has_its_own_flights(start: Callable[..., Sandbox]) -> None:
    with start() as sandbox:
        assert list(sandbox.databases) == ["ewr", "jfk", "lga"]
        identifiers = set()
        for name in sandbox.databases:
            assert await value(sandbox, name, "select string_agg(origin, '') from flights") == (
                name.upper()
            )
            assert await value(sandbox, name, "select count(*) from airports") == 3
            identifiers.add(sandbox.databases[name].host)
        assert len(identifiers) == 2
        connection = await asyncpg.connect(sandbox.databases["lga"].dsn)
        flight = await connection.fetchrow("select * from flights")
        assert flight["dep_time"] is flight["tailnum"] is None
        assert flight["time_hour"] == datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.UTC)
        assert await connection.fetchval("select count(*) from weather") == 1
        assert await connection.fetchval("select pressure from weather") is None
        undescribed = await connection.fetch(
            "select relname from pg_class where relkind = 'r' and obj_description(oid) is null"
            " and relnamespace = 'public'::regnamespace"
        )
        assert not undescribed
        unanalyzed = "select count(*) from pg_class where relkind = 'r' and reltuples < 0"
        assert await connection.fetchval(f"{unanalyzed} and relname = 'flights'") == 0
        await connection.close()


async def test_the_role_owns_the_databases_and_is_no_superuser(
    start: Callable[..., Sandbox], folder: Path
) -> None:
    with start() as sandbox:
        assert not await value(
            sandbox, "ewr", "select rolsuper from pg_roles where rolname = current_user"
        )
        await value(sandbox, "ewr", "create table mine as select 1 as n")
        await value(sandbox, "ewr", "update flights set dep_delay = 0")
        await value(sandbox, "ewr", "drop table flights")
        address = sandbox.databases["ewr"]
        assert address.password not in repr(sandbox) + repr(address)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(address.dsn.replace(address.password, "wrong"))
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600


async def test_a_second_start_loads_nothing_and_keeps_what_was_done(
    start: Callable[..., Sandbox],
) -> None:
    first, second, third = Stages(), Stages(), Stages()
    with start(first) as sandbox:
        await value(sandbox, "jfk", "delete from flights")
    with start(second, data=Path("/nowhere")) as sandbox:
        assert await value(sandbox, "jfk", "select count(*) from flights") == 0
    with start(third, reset=True) as sandbox:
        assert await value(sandbox, "jfk", "select count(*) from flights") == 1
    assert first == third == ["starting servers", "loading rows", "building indexes"]
    assert second == ["starting servers"]
    assert all(first.ends.values())


async def test_a_lost_password_is_made_anew(start: Callable[..., Sandbox], folder: Path) -> None:
    with start():
        pass
    (folder / "password").unlink()
    with start() as sandbox:
        assert await value(sandbox, "ewr", "select 1") == 1


async def test_an_interrupted_load_is_done_again(
    start: Callable[..., Sandbox], other_process: subprocess.Popen[str]
) -> None:
    assert "loading rows\n" in iter(other_process.stdout.readline, "")
    other_process.kill()
    stages = Stages()
    with start(stages) as sandbox:
        assert "loading rows" in stages
        for name in sandbox.databases:
            assert await value(sandbox, name, "select count(*) from flights") == 1
        leftovers = "select count(*) from pg_database where datname like '%unfinished'"
        assert await value(sandbox, "lga", leftovers) == 0


async def test_a_failed_load_leaves_no_database_and_no_server(
    start: Callable[..., Sandbox], few: Path, tmp_path: Path
) -> None:
    shutil.copytree(few, tmp_path, dirs_exist_ok=True)
    (tmp_path / "planes.csv").write_text("tailnum,year\nN1,not a number\n")
    with pytest.raises(SandboxError, match="not a number"):
        start(data=tmp_path)
    stages = Stages()
    with start(stages) as sandbox:
        assert "loading rows" in stages
        assert await value(sandbox, "ewr", "select count(*) from flights") == 1


async def test_two_processes_share_it(
    start: Callable[..., Sandbox], request: pytest.FixtureRequest
) -> None:
    with start() as sandbox:
        other = request.getfixturevalue("other_process")
        stages = list(iter(other.stdout.readline, "started\n"))
        assert set(stages) == {"starting servers\n"}
        sandbox.stop()
        assert await value(sandbox, "ewr", "select 1") == 1  # the other one uses it still


async def test_every_flight_of_2013_is_there(start: Callable[..., Sandbox]) -> None:
    try:
        data = find_data()
    except SandboxError as error:
        pytest.skip(error.message)
    with start(data=data) as sandbox:
        counts = {
            name: await value(sandbox, name, "select count(*) from flights")
            for name in sandbox.databases
        }
        assert counts == {"ewr": 120_835, "jfk": 111_279, "lga": 104_662}
        assert sum(counts.values()) == 336_776


def test_what_is_not_installed_is_named(
    start: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nycflights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SandboxError) as failure:
        start(data=None)
    assert failure.value.hint == "pip install 'pgmagic[sandbox]'"
