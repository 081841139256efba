"""Statements that the server stops or refuses, and values that are hard to carry."""

import asyncio
import subprocess
from pathlib import Path

from pgmagic.errors import (
    CellError,
    ConnectionLost,
    PgMagicError,
    QueryCancelled,
    QueryError,
    QueryTimeout,
    ResultTooLarge,
)
from pgmagic.sandbox.account import Account
from tests.faults.catalogue import fault
from tests.faults.of_servers import LASTING
from tests.faults.trial import Told, Trial, Violation

MEMORY = 4_000_000  # bytes that one result may take
DISK = "16m"


def says(told: Told, sqlstate: str) -> None:
    """Assert that the server refused a statement, for this reason."""
    for error in told.always(QueryError).failures().values():
        assert isinstance(error, QueryError)
        if error.sqlstate != sqlstate:
            raise Violation(f"I4: {error.sqlstate} where {sqlstate} was due: {error}")


@fault(
    16,
    "a result larger than the memory allowed",
    "stopped on the server, one error, memory given back",
)
async def result_too_large(trial: Trial) -> None:
    trial.client.max_result_bytes = MEMORY
    width = trial.random.choice([1, 300, 100_000])
    sql = f"select repeat('big', {width}), generate_series(1, 100000000)"
    told = (await trial.cell(sql, "far", "near")).always(ResultTooLarge)
    trial.measured("stopped", told.seconds)


@fault(17, "the server's disk is full", "one error, nothing written, the next cell works")
async def disk_full(trial: Trial) -> None:
    await trial.add("tight", init=("set temp_file_limit = '200kB'", "set work_mem = '64kB'"))
    sort = "select count(*) from (select g from generate_series(1, 100000) g order by -g) big"
    says(await trial.cell(sort, "tight"), "53400")
    (await trial.read("tight")).only()
    await trial.client.remove("tight")
    if (disk := _small_disk(trial.world.folder)) is None:
        return
    try:
        await trial.sql(f"create tablespace small location '{disk}'")
        await trial.sql("create table heap (id bigint, filler text) tablespace small")
        fill = "insert into heap select g, repeat('big', 500) from generate_series(1, 100000) g"
        cells = [trial.cell(fill, write=True), trial.write(lasting=LASTING), trial.read("near")]
        full, *others = await asyncio.gather(*cells)
        says(full, "53100")
        for told in others:
            told.only()
        assert (await trial.cell("select count(*) as n from heap")).value["n"].item() == 0
    finally:
        await trial.sql("drop table if exists heap")
        await trial.sql("drop tablespace if exists small")
        await asyncio.to_thread(subprocess.run, ["umount", disk], check=True)
        disk.rmdir()


def _small_disk(folder: Path) -> Path | None:
    """Mount a disk of a few megabytes, where we may."""
    disk = folder.parent / "disk"
    disk.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        disk.rmdir()
        return None
    Account.choose().own(disk)
    return disk


@fault(
    18,
    "statement_timeout, --timeout, pg_cancel_backend",
    "one error that says which of them it was; never retried",
)
async def limits(trial: Trial) -> None:
    await trial.add("hasty", statement_timeout=0.05)
    told = (await trial.read("hasty", "near", lasting=0.2)).always(QueryTimeout)
    assert set(told.failures()) == {"hasty", "near"} - {"near"}
    assert "statement_timeout" in str(told.error)
    told = (await trial.write(lasting=3, timeout=0.1)).always(QueryTimeout)
    assert "0.1 s" in str(told.error)
    cell = trial.start(trial.write(lasting=3))
    pid = await trial.until_active()
    await trial.moment(LASTING)
    await trial.sql("select pg_cancel_backend($1)", pid)
    assert "on the server" in str((await cell).always(QueryCancelled).error)
    await trial.client.remove("hasty")


@fault(
    19,
    "lock_timeout, deadlock",
    "one error for the one that lost, nothing of it written; the other commits",
)
async def locks(trial: Trial) -> None:
    await trial.sql("create table if not exists locked (id int primary key, n int default 0)")
    await trial.sql("insert into locked values (1), (2) on conflict do nothing")
    before = await trial.sql("select sum(n) from locked")
    pause = trial.random.uniform(0.01, LASTING)

    def crossing(first: int, second: int) -> str:
        return (
            f"update locked set n = n + 1 where id = {first}; select pg_sleep({pause}); "
            f"update locked set n = n + 1 where id = {second}"
        )

    cells = [trial.cell(crossing(*order), write=True) for order in ((1, 2), (2, 1))]
    told = sorted(await asyncio.gather(*cells), key=lambda each: each.answered)
    if not told[0].answered:  # else one was done before the other began
        says(told[0], "40P01")
    told[1].only()
    added = (await trial.sql("select sum(n) from locked"))[0][0] - before[0][0]
    if added != 2 * sum(each.answered for each in told):
        raise Violation(f"I3: {added} updates are there")
    await trial.add("brisk", lock_timeout=0.05)
    async with trial.world.far.connection() as blocker, blocker.transaction():
        await blocker.execute("lock table locked")
        says(await trial.cell("update locked set n = n + 1", "brisk", write=True), "55P03")
    await trial.client.remove("brisk")


@fault(
    20,
    "a session is ended for idling in its transaction",
    "one error that says why; the session begins anew; the pool notices nothing",
    settings={"idle_in_transaction_session_timeout": 0.1},
)
async def idle_in_transaction(trial: Trial) -> None:
    (await trial.cell("begin; create temp table t (i int)", session="s", write=True)).only()
    gone = (
        "select 1 from pg_stat_activity where state like 'idle in%'"
        " and application_name = 'pgmagic/far'"
    )
    while await trial.sql(gone):
        await asyncio.sleep(0.01)
    if trial.random.random() < 0.5:
        await trial.moment(0.01)
    (await trial.cell("select 1", session="s")).always(ConnectionLost)
    (await trial.read(session="s")).only()
    await trial.client.close_session("s", "far")


@fault(
    21,
    "a write in a read-only cell; a serialization failure",
    "refused by the server, nothing written; reads only are asked again",
)
async def refused_writes(trial: Trial) -> None:
    number = -trial.random.randint(1, 10**9)
    sql = f"insert into ledger values ({number})"
    told = await trial.cell(
        trial.random.choice([sql, f"set default_transaction_read_only = off; {sql}"])
    )
    says(told, "25006")
    trial.owe(told, number)
    await trial.sql("create table if not exists counted (n int)")
    begin = "begin isolation level serializable; select count(*) from counted"
    for name in ("one", "two"):
        (await trial.cell(begin, session=name, write=True)).only()
    told_by = {}
    for name in ("one", "two"):
        await trial.cell("insert into counted values (1)", session=name, write=True)
    for name in ("one", "two"):
        told_by[name] = await trial.cell("commit", session=name, write=True)
    told_by["one"].only()
    if told_by["two"].answered:
        raise Violation("I3: two transactions that exclude each other were both committed")
    for name in ("one", "two"):
        await trial.client.close_session(name, "far")
    await trial.sql("truncate counted")


@fault(
    25,
    "tables and types change under prepared statements",
    "reads see the new columns; a write is done once, whatever is said of it",
)
async def changing_tables(trial: Trial) -> None:
    await trial.execute("drop table if exists shape; drop type if exists pair cascade")
    await trial.sql("create type pair as (a int, b int)")
    await trial.sql("create table shape (id bigint, p pair, n int)")
    read = "select * from shape"
    number = trial.random.randint(1, 10**12)
    (await trial.cell(read)).only()
    changes = [
        "alter table shape alter n type bigint",
        "alter table shape add more text",
        "alter type pair add attribute c text cascade",
    ]
    trial.random.shuffle(changes)
    for change in (*changes, "alter table shape drop n"):
        cells = [trial.cell(read) for _ in range(3)]
        number += 1
        write = f"insert into shape (id) values ({number}) returning id, p"
        asked = asyncio.gather(*cells, trial.cell(write, write=True))
        await trial.moment(0.01)
        await trial.sql(change)
        wrote = (await asked)[-1].only(QueryError)
        for told in await asked:
            told.only(QueryError)
        times = (await trial.sql("select count(*) from shape where id = $1", number))[0][0]
        if times != 1 and (wrote.answered or times):
            raise Violation(f"I3: the row stands {times} times")
        after = (await trial.cell(read)).only()
        columns = [
            row[0]
            for row in await trial.sql(
                "select attname from pg_attribute where attrelid = 'shape'::regclass"
                " and attnum > 0 and not attisdropped order by attnum"
            )
        ]
        assert list(after.value.columns) == columns


# What a value is to be in a frame, by its SQL.
STRANGE = {
    "'NaN'::float8": "nan",
    "'-infinity'::float8": "-inf",
    "'NaN'::numeric": "nan",
    "'infinity'::timestamp": "infinity",
    "'infinity'::date": "infinity",
    "'4713-01-01 BC'::date": "-4712-01-01 00:00:00",
    "'0044-03-15 BC'::timestamp": "-043-03-15 00:00:00",
    "'12345-01-01'::date": "12345-01-01 00:00:00",
    "'24:00'::time": "24:00:00",
    "'178000000 years'::interval": "178000000 years",
    "'1 mon 1 day'::interval": "1 mon 1 day",
}


@fault(
    26,
    "values that Python has no room for",
    "each is right, or is the server's own text; no other column is lost",
)
async def strange_values(trial: Trial) -> None:
    chosen = trial.random.sample(sorted(STRANGE), 4)
    columns = ", ".join(f"{value} as c{number}" for number, value in enumerate(chosen))
    told = (await trial.cell(f"select {columns}, 42 as last")).only()
    if told.value["last"].item() != 42:
        raise Violation("I3: a column was damaged")
    for number, value in enumerate(chosen):
        shown = str(told.value[f"c{number}"].iloc[0])
        if shown != STRANGE[value]:
            raise Violation(f"I3: {value} is shown as {shown}")


@fault(27, "bytes that are no text", "one error, or the text as it is; the connection lives on")
async def strange_bytes(trial: Trial) -> None:
    told = await trial.cell("select {hostile} as t", values={"hostile": "a\0b"})
    told.always(PgMagicError)
    told = await trial.cell("select convert_from('\\xe9'::bytea, 'UTF8') as t")
    says(told, "22021")
    (await trial.cell("select chr(128512) || chr(8238) || '\x1b[31m' as t")).only()
    if trial.random.random() < 0.3:
        await _text_in_no_encoding(trial)


async def _text_in_no_encoding(trial: Trial) -> None:
    """A database that never looked at the bytes it was given."""
    await trial.sql("drop database if exists ascii")
    await trial.sql("create database ascii encoding 'SQL_ASCII' template template0 locale 'C'")
    try:
        await trial.add("ascii", database="ascii")
        told = await trial.cell("select E'caf\\xe9' as t, 7 as n", "ascii")
        if told.only(QueryError).answered:
            assert told.value["n"].item() == 7
        (await trial.read("ascii")).only()
        await trial.client.remove("ascii")
    finally:
        await trial.sql("drop database ascii with (force)")


@fault(
    28,
    "results of every shape",
    "a frame of that shape, nothing, or one error",
)
async def shapes(trial: Trial) -> None:
    async def frame(sql: str, rows: int, columns: int) -> None:
        value = (await trial.cell(sql)).only().value
        if value.shape != (rows, columns):
            raise Violation(f"I3: {value.shape} of {sql[:60]}")

    many = ", ".join(map(str, range(1600)))
    shaped = [
        frame(f"select {many}", 1, 1600),
        frame("select 1 as a, 2 as a", 1, 2),
        frame("select 1 where false", 0, 1),
        frame("select 1; select 2, 3", 1, 2),
        frame("select 1 -- a comment", 1, 1),
        frame("select pg_sleep(0)", 1, 1),
    ]
    trial.random.shuffle(shaped)
    for each in shaped:
        await each
    says(await trial.cell(f"select {many}, " + many[:400].rpartition(",")[0]), "54011")
    assert (await trial.cell("select from generate_series(1, 3)")).only().value is None
    for nothing in ("", "-- a comment", ";"):
        (await trial.cell(nothing)).always(CellError)


@fault(29, "a field of 1 GB", "the server's error, or ours of too little memory; back at once")
async def huge_field(trial: Trial) -> None:
    trial.client.max_result_bytes = 10 * MEMORY
    says(await trial.cell("select repeat('x', 1073741824) as t"), "54000")
    cell = trial.start(trial.cell("select repeat('big', 25000000) as t"))
    if trial.random.random() < 0.5:
        await trial.moment(0.5)
        trial.interrupt()
    (await cell).always(asyncio.CancelledError, ResultTooLarge)
    pool = trial.client.pool("far")  # the rest of it is read over, or the connection given up
    await trial.until(lambda: pool.statistics().idle == pool.statistics().size, within=3)
