"""Use leaves nothing behind, and a result stays within the memory that it may take.

`python -m tests.soak.resources` measures the same with large numbers.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter

import pytest

from pgmagic import Client, ConnectFailed, FanOutError, NotCommitted
from tests.servers import TestDatabase
from tests.soak.measures import guarded, hundred_databases, opened_and_closed, settings_of

MB = 1_000_000


async def test_clients_that_are_opened_and_closed_leave_nothing(database: TestDatabase) -> None:
    [(before, first), (after, last)] = await opened_and_closed(database, (20, 100))
    assert last == first
    assert after - before < 10 * MB


async def test_a_hundred_databases_are_opened_as_they_are_asked(database: TestDatabase) -> None:
    found = await hundred_databases(database, 60)
    assert found["connections that are open when ten were asked"] == 10
    assert found["connections that are open when all were asked"] == 60
    assert found["from Python: to configure them"] < 1.0


GUARDED = """
import asyncio, json, sys
from tests.servers import TestDatabase
from tests.soak.measures import guarded
database = TestDatabase(**json.loads(sys.argv[1]))
print(json.dumps(asyncio.run(guarded(database, result=2_000_000_000, allowed=50_000_000))))
"""


def test_two_gigabytes_are_stopped_on_the_server(database: TestDatabase) -> None:
    """In a process of its own, whose peak of memory no other test has raised."""
    names = ("host", "port", "user", "password", "name")
    given = json.dumps({name: getattr(database, name) for name in names})
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, given], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["running"] == 0
    assert found["peak"] < 150 * MB


async def test_a_small_result_within_the_guard_is_given(database: TestDatabase) -> None:
    with pytest.raises(AssertionError, match="not stopped"):
        await guarded(database, result=1 * MB, allowed=50 * MB)


async def test_a_server_without_room_for_all_answers_in_turn(own_server) -> None:
    """Those that found no place wait for it; what commits together can't, and says so once."""
    own_server.settings["max_connections"] = 20
    own_server.restart()
    database = TestDatabase(
        host=own_server.host,
        port=own_server.port,
        user=own_server.user,
        password=own_server.password,
        name="postgres",
    )
    async with Client() as pg:
        for number in range(40):
            await pg.add(settings_of(f"shard_{number:02}", database))
        with pytest.raises(FanOutError) as caught:
            await pg.query("create temp table t ()", on="*", write=True)
        failures = caught.value.failures
        assert {type(each.error) for each in failures} == {ConnectFailed, NotCommitted}
        assert len(failures) == 40
        text = str(caught.value)
        assert text.count("too many clients already") == 1
        used = Counter(each.breaker for each in pg.statistics())
        assert used == {"closed": 40}, "a server that is full is not down"
        assert len(await asyncio.wait_for(pg.query("select 1 as one", on="*"), 10)) == 40
