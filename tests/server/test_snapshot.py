"""A snapshot: one state for every connection, as long as promised and no longer."""

import asyncio
import time
from dataclasses import replace
from typing import Self

import pandas as pd
import pytest

from pgmagic.client import Client
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import CellError, ConnectFailed, FanOutError, QueryError, SnapshotEnded
from pgmagic.language.line import read_line
from pgmagic.schema import schema
from tests.pools import eventually
from tests.server.conftest import settings_of

SUM = "select count(*) as n, sum(amount) as total, max(id) as last from accounts"
KEEPERS = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and state = 'idle in transaction'"
)


@pytest.fixture
async def accounts(client):
    await client.query(
        "create table accounts (id serial primary key, amount int not null); "
        "insert into accounts (amount) select 100 from generate_series(1, 2000)",
        on=["a", "b"],
        write=True,
    )
    return client


async def keepers(database) -> int:
    async with database.connection() as connection:
        return await connection.fetchval(KEEPERS)


async def until_no_keeper(database) -> None:
    async with asyncio.timeout(5):
        while await keepers(database):
            pass


class Writer:
    """Changes, adds and deletes accounts all the while, on connections of its own."""

    def __init__(self, *databases) -> None:
        self._databases = databases
        self._stop = asyncio.Event()
        self.rounds = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write(each)) for each in self._databases]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _write(self, database) -> None:
        async with database.connection() as connection:
            while not self._stop.is_set():
                await connection.execute(
                    "insert into accounts (amount) values (7); "
                    "update accounts set amount = amount + 1 where id % 50 = 0; "
                    "delete from accounts where id = (select min(id) from accounts)"
                )
                self.rounds += 1

    async def goes_on(self) -> None:
        """Wait until something was written everywhere since."""
        wanted = self.rounds + 2 * len(self._databases)
        await eventually(lambda: self.rounds >= wanted)


async def test_all_reads_are_equal_while_others_write(accounts, database, second_database):
    whole = "select id, amount from accounts"
    async with Writer(database, second_database) as writer:
        async with accounts.snapshot("a", "b", seconds=60):
            first = await accounts.query(whole, on=["a", "b"])
            for parallel in (None, 3, 5):
                await writer.goes_on()
                again = await accounts.query(whole, on=["a", "b"], parallel=parallel)
                pd.testing.assert_frame_equal(again, first)
            await writer.goes_on()
            sums = await asyncio.gather(*(accounts.query(SUM, on="a") for _ in range(12)))
            assert all(each.equals(sums[0]) for each in sums)
            assert sums[0]["n"][0] == (first["database"] == "a").sum()
            assert accounts.pool("a").statistics().size > 1
        now = await accounts.query(whole, on=["a", "b"])
        assert not now.equals(first)


async def test_schema_is_of_the_snapshot_too(accounts, database):
    async with accounts.snapshot("a"):
        before = await schema(accounts, ["a"])
        async with database.connection() as connection:
            await connection.execute("create table later (n int)")
        pd.testing.assert_frame_equal(await schema(accounts, ["a"]), before)
    assert "later" in set((await schema(accounts, ["a"]))["table"])


@pytest.mark.parametrize("options", [{"autocommit": True}, {"all": True}, {"timeout": 20.0}])
async def test_every_statement_of_a_cell_is_in_it(accounts, database, options):
    await accounts.hold_snapshot("a")
    first = await accounts.query(SUM, on="a")
    async with database.connection() as connection:
        await connection.execute("delete from accounts where id <= 500")
    cell = f"set local work_mem = '8MB'; select 1; {SUM}; {SUM}"
    again = await accounts.query(cell, on="a", **options)
    assert (again[-1] if options == {"all": True} else again).equals(first)
    text = await accounts.query("copy (select count(*) from accounts) to stdout", on="a")
    assert text == "2000\n"
    assert await accounts.end_snapshot() == ("a",)


async def test_positions_are_the_snapshots_own_and_there_are_two(accounts):
    async with accounts.snapshot("a", "b") as (one, other):
        assert one.position.wal != other.position.wal
        assert 0 <= abs((one.position.at - other.position.at).total_seconds()) < 5
        await accounts.query("select 1", on=["a", "b"])
        shares = {share.database: share.position for share in accounts.receipts[-1].shares}
        assert shares == {"a": one.position, "b": other.position}
    await accounts.query("select 1", on="a")
    assert accounts.receipts[-1].shares[0].position != one.position


async def test_begin_enters_it_from_any_connection(accounts, database):
    """What a worker in another process does."""
    async with accounts.snapshot("a") as (snapshot,), database.connection() as connection:
        await connection.execute("delete from accounts")
        await connection.execute(snapshot.begin)
        assert await connection.fetchval("select count(*) from accounts") == 2000
        assert await connection.fetchval("show transaction_read_only") == "on"
        await connection.execute("rollback")
    with pytest.raises(SnapshotEnded, match="was ended at"):
        _ = snapshot.begin


# -- what leaves it is refused


@pytest.mark.parametrize(
    ("sql", "options", "why"),
    [
        ("select 1", {"write": True}, "what --write changes would stay unseen"),
        ("select 1", {"session": "s"}, "session s has transactions of its own"),
        ("vacuum", {}, "VACUUM may write"),
        ("copy accounts to '/dev/null'", {}, "COPY may write"),
    ],
)
async def test_cells_that_would_leave_it_are_refused(accounts, sql, options, why):
    await accounts.add(replace(accounts.databases["a"], read_only=False))
    async with accounts.snapshot("a", "b"):
        with pytest.raises(CellError, match=f"a is held at a snapshot: {why}") as refusal:
            await accounts.query(sql, on="a", **options)
        assert refusal.value.hint == "%pg_snapshot --end a comes first"
    await accounts.query(sql, on="a", **options)


async def test_writing_a_frame_is_refused(accounts):
    async with accounts.snapshot("b"):
        with pytest.raises(CellError, match="b is held at a snapshot"):
            await accounts.write(pd.DataFrame({"n": [1]}), ["a", "b"], table="frame")
        await accounts.write(pd.DataFrame({"n": [1]}), "a", table="frame")
    assert (await accounts.query("select n from frame", on="a"))["n"].tolist() == [1]


async def test_a_database_that_may_write_is_read_only_in_it(accounts):
    await accounts.add(replace(accounts.databases["a"], read_only=False))
    async with accounts.snapshot("a"):
        assert (await accounts.query(SUM, on="a"))["n"].tolist() == [2000]
        with pytest.raises(QueryError) as refusal:
            await accounts.query("insert into accounts (amount) values (1)", on="a")
        assert refusal.value.hint == "a is held at a snapshot, to be read: %pg_snapshot --end a"
    await accounts.query("insert into accounts (amount) values (1)", on="a")


@pytest.mark.parametrize(
    "way_out",
    [
        "set transaction isolation level read committed",
        "set transaction read write",
        "set local transaction_isolation = 'read committed'",
        "select set_config('transaction_isolation', 'read committed', true)",
    ],
)
async def test_no_statement_leaves_it(accounts, database, way_out):
    async with accounts.snapshot("a"):
        async with database.connection() as connection:
            await connection.execute("delete from accounts")
        with pytest.raises(QueryError):
            await accounts.query(f"{way_out}; {SUM}", on="a")


async def test_a_plan_that_is_older_than_the_snapshot_is_held_to_it(accounts):
    cell = read_line("a --write select 1", accounts.databases, {})
    plan = accounts.plan(cell, {})
    async with accounts.snapshot("a"):
        with pytest.raises(CellError, match="held at a snapshot"):
            await accounts.run(plan)


# -- its end


async def test_time_is_over_and_the_next_cell_says_so(accounts, database):
    await accounts.hold_snapshot("a", seconds=0.4)
    slow = asyncio.create_task(
        accounts.query(f"select pg_sleep(0.8); {SUM}", on="a")
    )  # in flight as the time runs out
    await eventually(lambda: accounts.snapshots["a"].state == "over")
    async with database.connection() as connection:
        await connection.execute("delete from accounts")
    for _ in range(2):
        with pytest.raises(SnapshotEnded, match=r"ended at [\d:]+, when its time was over") as end:
            await accounts.query(SUM, on="a")
    assert end.value.hint == (
        "%pg_snapshot a takes a new one; %pg_snapshot --end a reads the database as it is now"
    )
    assert (await slow)["n"].tolist() == [2000]
    await until_no_keeper(database)
    assert await accounts.end_snapshot("a") == ("a",)
    assert (await accounts.query(SUM, on="a"))["n"].tolist() == [0]


async def test_a_parallel_cell_in_flight_outlives_it(accounts):
    """Its first connection exports the snapshot anew, and holds it for the others."""
    await accounts.hold_snapshot("a", seconds=0.3)
    slow = "select id, pg_sleep(0.0005) from accounts"
    frame = await accounts.query(slow, on="a", parallel=2)
    assert accounts.snapshots["a"].state == "over"
    assert len(frame) == 2000


async def test_the_server_ends_it_where_the_notebook_is_blocked(accounts, database):
    await accounts.hold_snapshot("a", seconds=0.2)
    time.sleep(0.3)  # noqa: ASYNC251  # as a cell of plain Python does: no timer runs
    assert accounts.snapshots["a"].state == "over"
    with pytest.raises(SnapshotEnded, match="time was over"):
        await accounts.query("select 1", on="a")
    async with database.connection() as connection:
        limit = await connection.fetchval("show idle_in_transaction_session_timeout")
    assert limit == "0"  # of others nothing has changed


async def test_the_server_has_a_limit_of_its_own(accounts, database):
    """Nobody on our side ends it here: the timer is stopped."""
    (snapshot,) = await accounts.hold_snapshot("a", seconds=0.2)
    snapshot._timer.cancel()
    started = time.monotonic()
    await until_no_keeper(database)
    assert time.monotonic() - started < 2.5
    assert snapshot.state == "over"


async def test_limits_of_the_settings_are_lifted_for_it_alone(accounts, database):
    limited = replace(accounts.databases["a"], idle_in_transaction_session_timeout=0.1)
    await accounts.add(limited)
    await accounts.hold_snapshot("a", seconds=5)
    await asyncio.sleep(0.3)  # longer than the limit of other connections
    assert (await accounts.query("show idle_in_transaction_session_timeout", on="a")).iloc[
        0, 0
    ] == "100ms"
    assert (await accounts.query(SUM, on="a"))["n"].tolist() == [2000]


async def test_limits_of_the_server_are_lifted_for_it_alone(accounts, database):
    async with database.connection() as connection:
        # The second is known from version 17 on.
        names = await connection.fetch(
            "select name from pg_settings where name = any ($1)",
            ["idle_in_transaction_session_timeout", "transaction_timeout"],
        )
        for name in names:
            await connection.execute(f'alter database "{database.name}" set {name[0]} = 150')
    await accounts.close("a")
    await accounts.hold_snapshot("a", seconds=5)
    await asyncio.sleep(0.4)  # longer than both
    assert (await accounts.query(SUM, on="a"))["n"].tolist() == [2000]


async def test_a_lost_keeper_is_told_and_never_read_around(accounts, database, second_database):
    await accounts.hold_snapshot("a", "b")
    async with database.connection() as connection:
        await connection.execute("delete from accounts")
        await connection.fetch(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and state = 'idle in transaction'"
        )
    for _ in range(2):
        with pytest.raises(SnapshotEnded, match="was lost at") as end:
            await accounts.query(SUM, on="a")
        assert end.value.database == "a"
    with pytest.raises(FanOutError) as both:
        await accounts.query(SUM, on=["a", "b"])
    assert [failure.database for failure in both.value.failures] == ["a"]
    assert both.value.partial["n"].tolist() == [2000]
    assert accounts.pool("a").statistics().breaker == "closed"
    await accounts.hold_snapshot("a")
    assert (await accounts.query(SUM, on="a"))["n"].tolist() == [0]


async def test_a_server_that_was_restarted_has_no_snapshot(own_server):
    async with Client() as client:
        await client.add(
            DatabaseSettings(
                name="own",
                host=own_server.host,
                port=own_server.port,
                user=own_server.user,
                database="postgres",
                password=lambda: own_server.password,
            )
        )
        await client.hold_snapshot("own")
        await asyncio.to_thread(own_server.restart)
        with pytest.raises(SnapshotEnded, match="lost at"):
            await client.query("select 1", on="own")
        await client.end_snapshot()
        assert (await client.query("select 1 as x", on="own"))["x"].tolist() == [1]


async def test_another_server_does_not_pass_for_the_first(accounts, second_database):
    """A DSN of several hosts may lead the next connection to a twin, with a snapshot of that id."""
    async with accounts.snapshot("a", "b") as (one, other):
        one.id = other.id
        accounts.pool("b").snapshot = one
        with pytest.raises(SnapshotEnded, match="does not know the snapshot of"):
            await accounts.query(SUM, on="b")
        one.id = "00000000-00000000-1"
        with pytest.raises(SnapshotEnded, match="does not know the snapshot of"):
            await accounts.query(SUM, on="b")
        accounts.pool("b").snapshot = other


# -- all or none


async def test_where_one_fails_none_is_held(accounts, database):
    with pytest.raises(ConnectFailed, match="down"):
        await accounts.hold_snapshot("a", "down", "b")
    assert accounts.snapshots == {}
    await until_no_keeper(database)


async def test_where_one_fails_the_old_ones_stay(accounts):
    held = await accounts.hold_snapshot("a")
    with pytest.raises(ConnectFailed):
        await accounts.hold_snapshot("a", "down")
    assert accounts.snapshots == {"a": held[0]}
    assert held[0].state == "held"


async def test_a_new_one_takes_the_place_of_the_old(accounts, database):
    (old,) = await accounts.hold_snapshot("a")
    async with accounts.snapshot("a") as (new,):
        assert old.state == "ended"
        assert new.state == "held"
        async with asyncio.timeout(5):
            while await keepers(database) != 1:
                pass
    assert accounts.snapshots == {}


async def test_a_cancel_at_any_moment_leaves_no_keeper(accounts, database, second_database):
    whole = asyncio.get_running_loop().time()
    await accounts.hold_snapshot("a", "b")
    await accounts.end_snapshot()
    whole = asyncio.get_running_loop().time() - whole
    for step in range(15):
        holding = asyncio.create_task(accounts.hold_snapshot("a", "b"))
        await asyncio.sleep(step * whole / 12)
        holding.cancel()
        await asyncio.wait({holding})
        if not holding.cancelled():
            await accounts.end_snapshot()
        assert accounts.snapshots == {}
    await until_no_keeper(database)
    await until_no_keeper(second_database)


async def test_closing_the_pool_ends_it(accounts, database):
    (snapshot,) = await accounts.hold_snapshot("a")
    await accounts.close("a")
    assert snapshot.state == "ended"
    assert accounts.snapshots == {}
    await until_no_keeper(database)


async def test_a_pooler_is_refused(client, database, pgbouncer):
    far = settings_of("far", database, statement_timeout=20.0)
    await client.add(replace(far, host=pgbouncer.host, port=pgbouncer.port))
    with pytest.raises(CellError, match="a snapshot needs a connection of its own") as refusal:
        await client.hold_snapshot("far")
    assert refusal.value.database == "far"


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), 90_000])
async def test_a_time_that_is_no_good_is_refused(client, seconds):
    with pytest.raises(CellError, match="a snapshot lasts a number of seconds"):
        await client.hold_snapshot("a", seconds=seconds)


async def test_vacuum_is_held_back_as_long_as_promised_and_no_longer(accounts, database):
    async with database.connection() as connection:

        async def left() -> int:
            """Bytes that a VACUUM now leaves of a table without rows."""
            await connection.execute("vacuum accounts")
            return await connection.fetchval("select pg_relation_size('accounts')")

        (snapshot,) = await accounts.hold_snapshot("a", seconds=1.0)
        started = time.monotonic()
        await connection.execute("delete from accounts")
        assert await left() > 0
        while await left():
            assert time.monotonic() - started < 2
        assert 0.9 < time.monotonic() - started < 1.5
        assert snapshot.state == "over"
