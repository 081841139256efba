"""Many ask at once: in order, with a limit, and nobody's connection is lost."""

import asyncio
import random
import time

import pytest

from pgmagic.database.pool import DatabasePool
from pgmagic.errors import PoolTimeout
from tests.pools import eventually, idle, pool_on, run
from tests.servers import TestDatabase


async def test_waiting_too_long_names_who_has_the_connections(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1) as pool:
        with pool.running("-- first\nselect *\nfrom flights", cell="7"):
            async with pool.acquire():
                asking = asyncio.create_task(run_with_timeout(pool, 0.05))
                with pytest.raises(PoolTimeout) as caught:
                    await asking
        message = caught.value.message
        assert "0.05 s" in message
        assert "all 1 are in use" in message
        assert "by cell 7: select *" in message
        assert pool.statistics().requests_errors == 1
        assert pool.statistics().failures == 0, "a busy pool is no outage"
        assert await run(pool, "select 1") == 1


async def run_with_timeout(pool: DatabasePool, timeout: float) -> None:
    async with pool.acquire(timeout=timeout):
        pass


async def test_first_come_first_served(database: TestDatabase) -> None:
    served: list[int] = []

    async def ask(pool: DatabasePool, number: int) -> None:
        async with pool.acquire() as lease:
            served.append(number)
            await lease.connection.execute("select pg_sleep(0.001)")

    async with pool_on(database, max_size=2) as pool:
        await asyncio.gather(*(run(pool, "select pg_sleep(0.02)") for _ in range(2)))
        await idle(pool)
        await asyncio.gather(*(ask(pool, number) for number in range(40)))
        assert served == list(range(40))
        assert pool.statistics().requests_queued == 38
        assert pool.statistics().size <= 2


async def test_nobody_waits_twice_as_long_as_needed(database: TestDatabase) -> None:
    """Ten ask all the time for each of two connections; none of them is overtaken."""
    work, rounds, workers, size = 0.01, 5, 20, 2
    waits: list[float] = []

    async def worker(pool: DatabasePool) -> None:
        for _ in range(rounds):
            started = time.monotonic()
            async with pool.acquire() as lease:
                waits.append(time.monotonic() - started)
                await lease.connection.execute(f"select pg_sleep({work})")

    async with pool_on(database, max_size=size) as pool:
        await asyncio.gather(*(run(pool, "select 1") for _ in range(size)))
        started = time.monotonic()
        await asyncio.gather(*(worker(pool) for _ in range(workers)))
        each = (time.monotonic() - started) / (rounds * workers / size)
    assert max(waits) <= 2 * workers / size * each


async def test_connections_are_opened_only_as_needed(database: TestDatabase) -> None:
    async with pool_on(database) as pool:
        assert pool.statistics().size == 0
        for _ in range(20):
            await run(pool, "select 1")
        assert pool.statistics().connections_num == 1, "one that comes back is waited for"


async def test_twenty_first_callers_make_one_pool(database: TestDatabase) -> None:
    async with pool_on(database, max_size=3) as pool:
        assert await asyncio.gather(*(run(pool, "select 1") for _ in range(20))) == [1] * 20
        assert pool.statistics().connections_num <= 3


async def test_cancel_storm_loses_nothing_and_mixes_nothing_up(database: TestDatabase) -> None:
    """Half of all jobs are cancelled at a random moment; every answer is still the right one."""
    chance = random.Random(42)

    async def job(pool: DatabasePool, number: int) -> int:
        async with pool.acquire() as lease:
            return await lease.connection.fetchval(
                "select $1::int + 0 * length(pg_sleep($2)::text)", number, chance.random() / 500
            )

    async def worker(pool: DatabasePool, first: int) -> tuple[int, int]:
        answered = cancelled = 0
        for number in range(first, first + 25):
            task = asyncio.create_task(job(pool, number))
            if chance.random() < 0.5:
                asyncio.get_running_loop().call_later(chance.random() / 100, task.cancel)
            try:
                assert await task == number
                answered += 1
            except asyncio.CancelledError:
                cancelled += 1
        return answered, cancelled

    async with pool_on(database, max_size=5) as pool:
        done = await asyncio.gather(*(worker(pool, 1000 * n) for n in range(12)))
        await idle(pool)
        answered, cancelled = (sum(part) for part in zip(*done, strict=True))
        assert answered + cancelled == 300
        assert answered > 100
        assert cancelled > 20
        statistics = pool.statistics()
        assert statistics.size == statistics.idle <= 5
        assert statistics.returns_bad == 0
        assert statistics.breaker == "closed"
        assert pool._lending._slots.inside == 0
        assert pool._lending._slots.waiting == 0


async def test_interrupt_at_every_step_leaks_nothing(database: TestDatabase) -> None:
    async with pool_on(database, max_size=1) as pool:
        for steps in range(60):
            asking = asyncio.create_task(run(pool, "select 1"))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert await run(pool, "select 2") == 2
        await idle(pool)
        assert pool._lending._slots.inside == 0


async def test_statistics_tell_what_happens(database: TestDatabase) -> None:
    async with pool_on(database, max_size=2) as pool:
        async with pool.acquire(), pool.acquire():
            waiting = asyncio.create_task(run(pool, "select 1"))
            await eventually(lambda: pool.statistics().waiting == 1)
            now = pool.statistics()
            assert (now.size, now.idle, now.in_use) == (2, 0, 2)
            assert now.utilisation == 1.0
            assert now.alerts == ("exhausted: 1 waiting for one of 2",)
            assert repr(pool) == (
                "<DatabasePool 'sales' [2 open, 0 idle, 1 waiting of 2 | breaker closed]>"
            )
        await waiting
        await idle(pool)
        await run(pool, "select 1")  # finds a connection that is open already
        await idle(pool)
        now = pool.statistics()
        assert (now.size, now.idle, now.in_use, now.waiting) == (2, 2, 0, 0)
        assert (now.requests_num, now.requests_queued, now.requests_errors) == (4, 1, 0)
        assert now.acquire_p95_ms is not None
        assert now.usage_p95_ms is not None
        assert now.requests_wait_ms > 0
        assert now.alerts == ()
        assert max(sample.in_use for sample in pool.history()) == 2
        assert max(sample.waiting for sample in pool.history()) == 1
