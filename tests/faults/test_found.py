"""What faults have brought to light, each by itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from random import Random

import pytest

from pgmagic.dispatch import all_of
from pgmagic.errors import CellError, ConnectFailed
from tests.faults.invariants import nothing_left
from tests.faults.trial import Trial, settings_of
from tests.faults.world import World


@pytest.fixture
async def trial(world: World) -> AsyncIterator[Trial]:
    async with Trial(world=world, random=Random(0)) as trial:
        yield trial


async def test_a_cell_that_asks_while_a_database_is_replaced_gets_the_new_one(
    trial: Trial,
) -> None:
    (await trial.read("near")).only()
    replacing = asyncio.create_task(trial.client.add(settings_of("near", trial.world.near, port=1)))
    await asyncio.sleep(0)  # the old pool is being closed
    (await trial.read("near")).always(ConnectFailed)
    await replacing
    assert trial.client.pool("near").settings.port == 1


async def test_a_transaction_of_a_session_can_be_written_to_after_a_cell_that_failed_here(
    trial: Trial,
) -> None:
    both = ("far", "near")
    for name, column in zip(both, ("one", "two"), strict=True):
        sql = f"create temp table differs ({column} int); begin"
        (await trial.cell(sql, name, session="s", write=True)).only()
    (await trial.cell("select * from differs", *both, session="s")).always(CellError)
    for name in both:
        write = f"insert into ledger values ({trial.number()})"
        (await trial.cell(write, name, session="s", write=True)).only()
        await trial.client.close_session("s", name)


async def test_a_snapshot_on_a_dead_network_is_left_within_two_seconds(trial: Trial) -> None:
    both = ("far", "near")

    async def work() -> None:
        async with trial.client.snapshot(*both, seconds=60):
            await trial.client.query("select pg_sleep(60) as pause", on=both)

    cell = trial.start(trial.note(work(), both))
    await trial.until_active()
    trial.proxy.blackhole = True
    pressed = trial.interrupt()
    (await cell).always(asyncio.CancelledError)
    assert time.monotonic() - pressed < 2.0
    trial.heal()
    (await trial.read(*both)).only()
    await nothing_left(trial)


async def test_where_one_raises_the_others_do_not_wait_for_it() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def raises() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async with asyncio.timeout(5):
        with pytest.raises(ZeroDivisionError):
            await all_of([waits(), raises(), waits()])
    assert ended == ["waits", "waits"]
