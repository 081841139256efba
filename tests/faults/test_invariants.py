"""The checks themselves: each of them finds what it is for."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from pgmagic.errors import PgMagicError
from tests.faults.catalogue import Fault, run
from tests.faults.stepping import Steps, stepping
from tests.faults.trial import Trial, settings_of
from tests.faults.world import World

Strike = Callable[[Trial], Awaitable[None]]
KEPT: list[object] = []  # what a fault leaves on purpose


async def nothing(trial: Trial) -> None:
    (await trial.read("far", "near")).only()
    (await trial.write()).only()


async def leaves_a_connection(trial: Trial) -> None:
    leasing = trial.client.pool("far").acquire()
    KEPT.append(leasing)
    await leasing.__aenter__()


async def leaves_a_task(trial: Trial) -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(60)))


async def leaves_a_file(trial: Trial) -> None:
    KEPT.append(os.dup(0))


async def leaves_a_statement(trial: Trial) -> None:
    ours = {"application_name": "pgmagic/far"}
    connection = await asyncpg.connect(trial.world.far.dsn, server_settings=ours)
    KEPT.append((connection, asyncio.create_task(connection.execute("select pg_sleep(3)"))))
    await asyncio.sleep(0.1)


async def writes_twice(trial: Trial) -> None:
    await trial.write()
    await trial.execute("insert into ledger select id from ledger")


async def writes_what_failed(trial: Trial) -> None:
    number = trial.number()
    told = await trial.cell(f"insert into ledger values ({number})")  # it is read only
    trial.owe(told, number)
    await trial.execute(f"insert into ledger values ({number})")


async def reads_wrong_rows(trial: Trial) -> None:
    query = trial.client.query

    async def damaged(sql: str, **options: object) -> object:
        return await query(
            sql.replace("md5(", "upper(md5(").replace("::text)", "::text))"), **options
        )

    trial.client.query = damaged  # type: ignore[method-assign]
    await trial.read()


async def raises_the_drivers_error(trial: Trial) -> None:
    async def failing() -> None:
        raise ConnectionResetError("by peer")

    await trial.note(failing(), ["far"])


async def names_no_database(trial: Trial) -> None:
    async def failing() -> None:
        raise PgMagicError("something is wrong")

    await trial.note(failing(), ["far"])


async def shows_two_errors(trial: Trial) -> None:
    async def failing() -> None:
        try:
            raise ConnectionResetError("by peer")
        except OSError as error:
            raise PgMagicError("it was lost", database="far") from error

    await trial.note(failing(), ["far"])


async def shows_the_password(trial: Trial) -> None:
    async def failing() -> None:
        raise PgMagicError(f"no entry with {trial.world.far.password}", database="far")

    await trial.note(failing(), ["far"])


async def says_too_much(trial: Trial) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved")


async def hurts_the_neighbour(trial: Trial) -> None:
    await trial.client.add(settings_of("near", trial.world.near, port=1))
    await trial.until(lambda: trial.told[-1].error)


async def does_not_come_back(trial: Trial) -> None:
    await trial.client.add(settings_of("far", trial.world.far, port=1))


FOUND: dict[Strike, str] = {
    leaves_a_connection: "I1: ['far: ",
    leaves_a_task: "I1: tasks run",
    leaves_a_file: "I1: 1 files",
    leaves_a_statement: "I2",
    writes_twice: "I3: far has write",
    writes_what_failed: "I3: far has write",
    reads_wrong_rows: "I3: far gave 20 rows",
    raises_the_drivers_error: "I4: ConnectionResetError",
    names_no_database: "I4: far is not named",
    shows_two_errors: "I4: ConnectionResetError('by peer') is shown",
    shows_the_password: "I4",
    says_too_much: "I4: besides",
    hurts_the_neighbour: "I5",
    does_not_come_back: "I6",
}


def once(world: World, strike: Strike) -> str:
    # One of them is to come too late; the others are not to be late by chance.
    within = 0.1 if strike is does_not_come_back else 5.0
    fault = Fault(number=0, name=strike.__name__, promise="", strike=strike, within=within)
    return run(fault, world, 0).violation


def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    assert once(world, nothing) == ""


@pytest.mark.parametrize("strike", FOUND, ids=lambda strike: strike.__name__)
def test_it_is_found(world: World, strike: Strike) -> None:
    found = once(world, strike)
    for kept in KEPT:
        if isinstance(kept, int):
            os.close(kept)
    KEPT.clear()
    assert found.startswith(FOUND[strike])


async def two_tasks(log: list[str]) -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        log.append("inner")

    await asyncio.create_task(inner())
    log.append("outer")


async def test_steps_of_all_tasks_are_counted() -> None:
    log: list[str] = []
    steps = Steps(99)
    with stepping(steps):
        await asyncio.create_task(two_tasks(log))
    assert (steps.taken, steps.struck, log) == (4, False, ["inner", "outer"])


async def test_a_strike_comes_between_two_steps() -> None:
    outcomes = []
    for at in range(1, 6):
        log: list[str] = []
        tasks: list[asyncio.Task[None]] = []
        with stepping(Steps(at, lambda tasks=tasks: tasks[0].cancel())):  # type: ignore[misc]
            task = asyncio.create_task(two_tasks(log))
        tasks.append(task)
        await asyncio.wait({task})
        outcomes.append((task.cancelled(), log))
    assert [cancelled for cancelled, _ in outcomes] == [True, True, True, False, False]
    assert outcomes[-1] == (False, ["inner", "outer"])
