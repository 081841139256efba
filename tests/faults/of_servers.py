"""Servers and backends that end, are full, or lose a database."""

import asyncio
import os
import signal
import time
from contextlib import suppress

import asyncpg

from pgmagic.errors import CircuitOpen, ConnectFailed, ConnectionLost
from tests.faults.catalogue import fault
from tests.faults.trial import Trial

LASTING = 0.04  # seconds that cells run in which something is to happen


def end(pid: int | None, how: signal.Signals) -> None:
    """Send a signal to a backend, which may be gone already."""
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


@fault(
    1,
    "a backend is killed with SIGKILL in a query",
    "reads are asked again or told; a write is told as unknown; back < 1 s after the crash",
    direct=True,
)
async def backend_killed(trial: Trial) -> None:
    cells = [trial.start(trial.read(lasting=LASTING)), trial.start(trial.write(lasting=LASTING))]
    both = trial.start(trial.read("far", "near", lasting=LASTING))
    pid = await trial.until_active()
    await trial.moment(LASTING)
    end(pid, signal.SIGKILL)
    trial.healed = time.monotonic()  # the server restarts by itself
    for told in await asyncio.gather(*cells):
        told.only(ConnectionLost, ConnectFailed, CircuitOpen)
    assert "near" not in (await both).only(ConnectionLost, ConnectFailed, CircuitOpen).failures()


@fault(
    2,
    "the server restarts, connections are idle",
    "the next cells answer; no error",
    direct=True,
)
async def restart_while_idle(trial: Trial) -> None:
    await asyncio.gather(*(trial.read() for _ in range(3)))
    if trial.random.random() < 0.5:
        await trial.stop_disturbing()
        trial.world.restart()  # the loop stands still meanwhile, and has not heard of it
    else:
        await asyncio.to_thread(trial.world.restart)
    trial.healed = time.monotonic()
    cells = [trial.read(), trial.read("far", "near"), trial.write(), trial.read()]
    for told in await asyncio.gather(*cells):
        told.only()
    trial.measured("first answer after a restart", time.monotonic() - trial.healed)


@fault(
    3,
    "the server is down",
    "each cell fails at once; the circuit opens at the 5th; back < 1 s, by one trial",
    direct=True,
    settings={"reset_timeout": 0.3},
)
async def server_down(trial: Trial) -> None:
    trial.world.server.kill()
    for _ in range(4):
        told = (await trial.read()).always(ConnectFailed, ConnectionLost, CircuitOpen)
        trial.measured("a failed cell", told.seconds)
    (await trial.write()).always(ConnectFailed, CircuitOpen)
    both = await trial.read("far", "near")
    assert set(both.always(ConnectFailed, CircuitOpen).failures()) == {"far"}
    assert trial.client.pool("far").statistics().breaker != "closed"
    await asyncio.to_thread(trial.world.restart)
    trial.healed = time.monotonic()


@fault(
    4,
    "pg_terminate_backend in a query",
    "reads are asked again: no error; a write is told as unknown, never repeated",
    direct=True,
)
async def terminated_in_query(trial: Trial) -> None:
    reading = trial.start(trial.read(lasting=LASTING))
    writing = trial.start(trial.write(lasting=LASTING))
    await trial.until_active()
    await trial.moment(LASTING)
    for pid in await trial.backends(active=True):
        end(pid, signal.SIGTERM)
    (await reading).only()
    (await writing).only(ConnectionLost)


@fault(
    5,
    "pg_terminate_backend of idle connections",
    "the next cells answer; no error",
    direct=True,
)
async def terminated_while_idle(trial: Trial) -> None:
    await asyncio.gather(*(trial.read() for _ in range(4)))
    await trial.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pgmagic/far'"
    )
    if trial.random.random() < 0.5:
        await trial.moment(0.005)  # else the loop has had no time to hear of it
    for told in await asyncio.gather(*(trial.read() for _ in range(3)), trial.write()):
        told.only()


@fault(
    11,
    "the server has no connection left",
    "cells wait for one of our own; where others have them all, one error, not counted",
    direct=True,
)
async def too_many_connections(trial: Trial) -> None:
    limit = trial.random.randint(0, 3)
    await trial.sql("drop role if exists few")
    password = trial.world.far.password.replace("'", "''")
    await trial.sql(
        f"create role few login superuser connection limit {limit} password '{password}'"
    )
    # No limit binds a superuser; what the client does needs no more than a plain role may.
    await trial.sql("alter role few nosuperuser")
    await trial.sql("grant all on ledger to few")
    try:
        await trial.add("few", user="few", fail_max=1)
        cells = [trial.read("few", lasting=0.01) for _ in range(12)]
        for told in await asyncio.gather(*cells):
            told.always(ConnectFailed) if limit == 0 else told.only()
        assert trial.client.pool("few").statistics().breaker == "closed"
        await trial.client.remove("few")
    finally:
        await trial.sql("drop owned by few cascade")
        await trial.sql("drop role few")


@fault(
    15,
    "DROP DATABASE … WITH (FORCE)",
    "one error, at once and each time; the circuit stays closed; back as soon as it is back",
    direct=True,
)
async def database_dropped(trial: Trial) -> None:
    await trial.sql("drop database if exists doomed")
    await trial.sql("create database doomed")
    await trial.add("doomed", database="doomed", fail_max=2)
    (await trial.read("doomed")).only()
    reading = trial.start(trial.read("doomed", "near", lasting=LASTING))
    await trial.moment(LASTING)
    await trial.sql("drop database doomed with (force)")
    assert "near" not in (await reading).only(ConnectionLost, ConnectFailed).failures()
    for _ in range(3):
        told = (await trial.read("doomed")).always(ConnectFailed)
        assert "does not exist" in str(told.error)
    with suppress(asyncpg.DuplicateDatabaseError):
        await trial.sql("create database doomed")
    (await trial.read("doomed")).only()
    await trial.client.remove("doomed")
    await trial.sql("drop database doomed with (force)")
