"""The catalogue of a real database, read for completion."""

import asyncio
import time

import pytest

from pgmagic.database.catalog import Catalogs, changes_catalog, read_inventory
from pgmagic.database.pool import DatabasePool
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import ConnectFailed
from pgmagic.language.completion import complete_sql
from tests.pools import StepClock, pool_on, settings_for

SCHEMA = """
create schema sales;
create type sales.mood as enum ('good', 'bad');
create domain age as int;
create table airlines (carrier text primary key, name text not null);
create table flights (
    id bigint generated always as identity, carrier text references airlines,
    "Delay" numeric(5, 2), mood sales.mood, at timestamptz default now()
);
create table sales.orders (id int primary key, tags text[]);
create view late as select carrier, "Delay" from flights;
create materialized view per_carrier as select carrier, count(*) as n from flights group by 1;
create table parts (day date) partition by range (day);
create table parts_2024 partition of parts for values from ('2024-01-01') to ('2025-01-01');
create function double_it(int) returns int language sql as 'select $1 * 2';
create function many() returns setof int language sql as 'select 1';
alter table airlines drop column name;
"""


@pytest.fixture
async def pool(database):
    async with database.connection() as connection:
        await connection.execute(SCHEMA)
    pool = DatabasePool(settings_for(database))
    yield pool
    await pool.close()


async def test_relations_have_their_columns_and_types(pool):
    found = await read_inventory(pool)
    flights = found.relation(None, "flights")
    assert [tuple(column) for column in flights.columns] == [
        ("id", "bigint"),
        ("carrier", "text"),
        ("Delay", "numeric(5,2)"),
        ("mood", "sales.mood"),
        ("at", "timestamp with time zone"),
    ]
    assert found.relation(None, "orders") is None
    assert found.relation("sales", "orders").columns[1].type == "text[]"
    kinds = {r.name: r.kind for r in found.relations if r.schema == "public"}
    assert kinds == {
        "airlines": "table",
        "flights": "table",
        "late": "view",
        "per_carrier": "materialized view",
        "parts": "partitioned table",
        "parts_2024": "table",
    }


async def test_a_dropped_column_is_gone(pool):
    found = await read_inventory(pool)
    assert [column.name for column in found.relation(None, "airlines").columns] == ["carrier"]


async def test_functions_types_and_keys(pool):
    found = await read_inventory(pool)
    routines = {routine.name: routine for routine in found.routines}
    assert routines["many"].set
    assert not routines["double_it"].set
    assert routines["count"].about == "aggregate"
    assert "int4eq" not in routines
    assert "array_in" not in routines
    assert set(found.types) == {"sales.mood", "age"}
    [key] = found.keys_of(found.relation(None, "flights"))
    assert (key.columns, key.foreign_table, key.foreign_columns) == (
        ("carrier",),
        "airlines",
        ("carrier",),
    )


async def test_system_catalogues_are_known(pool):
    found = await read_inventory(pool)
    assert "relkind" in {column.name for column in found.relation(None, "pg_class").columns}


async def test_it_completes(pool):
    found = {"a": await read_inventory(pool)}
    text = "select f. from flights f join "
    names = [s.text for s in complete_sql(text, 9, found, {}).suggestions]
    assert names == ["id", "carrier", '"Delay"', "mood", "at"]
    first = complete_sql(text, len(text), found, {}).suggestions[0]
    assert first.text == "airlines on airlines.carrier = f.carrier"


async def test_it_leaves_no_transaction_and_no_busy_connection(pool, database):
    await read_inventory(pool)
    async with database.connection() as connection:
        states = await connection.fetch(
            "select state, xact_start from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_type = 'client backend'"
        )
    assert [(row["state"], row["xact_start"]) for row in states] == [("idle", None)]


async def test_what_a_role_may_not_see_is_left_out(pool, database):
    async with database.connection() as connection:
        await connection.execute("create role reader login password 'secret'")
        try:
            own = DatabasePool(settings_for(database, user="reader", password=lambda: "secret"))
            found = await read_inventory(own)
            await own.close()
        finally:
            await connection.execute("drop role reader")
    assert found.relation("sales", "orders") is None
    assert found.relation(None, "flights") is not None


async def test_ten_thousand_tables(database):
    async with database.connection() as connection:
        for start in range(0, 10_000, 500):  # one transaction can't lock so many
            await connection.execute(
                f"do $$ begin for i in {start} .. {start + 499} loop execute format("
                "'create table t_%s (id int, at date, n real)', i);"
                " end loop; end $$"
            )
    async with pool_on(database) as pool:
        reading = asyncio.create_task(read_inventory(pool))
        # Of the processor's time: what else this machine does is not the loop's fault.
        longest, before = 0.0, time.thread_time()
        while not reading.done():
            await asyncio.sleep(0.005)
            longest, before = max(longest, time.thread_time() - before), time.thread_time()
        found = await reading
    assert sum(relation.schema == "public" for relation in found.relations) == 10_000
    assert found.complete
    assert longest < 1.0, f"the loop stood still for {longest:.2f} s"


async def test_more_than_can_be_known_is_cut_off(pool, monkeypatch):
    from pgmagic.database import catalog

    few = catalog.QUERY.replace(f"limit {catalog.MOST_RELATIONS}", "limit 3")
    monkeypatch.setattr(catalog, "QUERY", few)
    monkeypatch.setattr(catalog, "MOST_RELATIONS", 3)
    found = await read_inventory(pool)
    assert len(found.relations) == 3
    assert not found.complete


async def test_a_catalogue_is_read_once_and_again_when_it_is_due(pool, database):
    clock = StepClock()
    catalogs = Catalogs(clock=clock)
    assert catalogs.known(pool.settings) is None
    assert catalogs.is_due(pool.settings)
    await asyncio.gather(*(catalogs.read(pool) for _ in range(5)))
    assert pool.statistics().requests_num == 1
    assert not catalogs.is_due(pool.settings)
    clock.step(299.0)
    assert not catalogs.is_due(pool.settings)
    clock.step(2.0)
    assert catalogs.is_due(pool.settings)
    assert catalogs.known(pool.settings) is not None


async def test_ddl_makes_it_due(pool, database):
    catalogs = Catalogs()
    assert not catalogs.outdated(pool.settings)
    await catalogs.read(pool)
    async with database.connection() as connection:
        await connection.execute("create table added (id int)")
    assert catalogs.outdated(pool.settings)
    assert catalogs.is_due(pool.settings)
    await catalogs.read(pool)
    assert catalogs.known(pool.settings).relation(None, "added") is not None


async def test_a_failure_is_quiet_and_waits(pool):
    clock = StepClock()
    catalogs = Catalogs(clock=clock)
    down = DatabaseSettings(name="down", host="/nonexistent", user="nobody", database="none")
    with pytest.raises(ConnectFailed):
        await read_inventory(DatabasePool(down))
    await catalogs.read(DatabasePool(down))
    assert catalogs.known(down) is None
    assert not catalogs.is_due(down)
    clock.step(31.0)
    assert catalogs.is_due(down)


async def test_another_database_of_the_same_name_is_not_confused(pool, database):
    catalogs = Catalogs()
    await catalogs.read(pool)
    assert catalogs.known(settings_for(database)) is None


async def test_closing_the_pool_stops_the_reading(pool, database):
    catalogs = Catalogs()
    async with database.connection() as connection, connection.transaction():
        await connection.execute("lock pg_constraint in access exclusive mode")
        reading = asyncio.ensure_future(catalogs.read(pool))
        while not pool.statistics().running or not pool.statistics().in_use:
            await asyncio.sleep(0.005)
        await pool.close()
        await reading
    assert catalogs.known(pool.settings) is None


@pytest.mark.parametrize("tag", ["CREATE TABLE", "ALTER TABLE", "DROP VIEW", "DO", "CALL"])
def test_ddl_is_known_by_its_tag(tag):
    assert changes_catalog(tag)


@pytest.mark.parametrize("tag", ["SELECT 1", "INSERT 0 1", "COMMIT", "UPDATE 3", ""])
def test_other_commands_change_nothing(tag):
    assert not changes_catalog(tag)
