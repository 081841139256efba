"""Places to read one database: bounded, handed over, given up when nobody comes."""

import asyncio

import pytest

from pgmagic.dask import places
from pgmagic.dask.places import Places


class Shared:
    """Leases of other processes too, and the order of what happens."""

    def __init__(self, most):
        self.room = asyncio.Semaphore(most)
        self.taken = 0
        self.log = []

    async def acquire(self):
        await self.room.acquire()
        self.taken += 1
        self.log.append("lease")

    async def release(self):
        self.taken -= 1
        self.log.append("release")
        self.room.release()

    async def disconnect(self):
        self.log.append("disconnect")


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(places, "LINGER", 0.02)


async def released(shared):
    async with asyncio.timeout(5):
        while shared.taken:
            await asyncio.sleep(0.001)


async def test_the_bound_holds_in_one_process():
    here = Places(2, None, asyncio.Event().wait)
    busy = most = 0

    async def work():
        nonlocal busy, most
        async with here.place():
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1

    await asyncio.gather(*(work() for _ in range(10)))
    assert most == 2


async def test_a_lease_goes_from_one_part_to_the_next(soon):
    shared = Shared(1)
    here = Places(4, shared, shared.disconnect)

    async def work():
        async with here.place():
            await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(6)))
    assert shared.log.count("lease") == 1
    await released(shared)
    # Only when the connections are closed may somebody else open theirs.
    assert shared.log[-2:] == ["disconnect", "release"]


async def test_several_leases_are_all_given_back(soon):
    shared = Shared(3)
    here = Places(3, shared, shared.disconnect)
    barrier = asyncio.Barrier(3)

    async def work():
        async with here.place():
            await barrier.wait()

    await asyncio.gather(*(work() for _ in range(3)))
    assert shared.taken == 3
    await released(shared)
    assert shared.log.count("release") == 3


async def test_two_processes_take_turns(soon):
    shared = Shared(1)
    one, other = (Places(2, shared, shared.disconnect) for _ in range(2))
    done = []

    async def work(here, name):
        async with here.place():
            assert shared.taken == 1
            done.append(name)

    async with asyncio.timeout(5):
        await asyncio.gather(*(work(h, n) for h, n in ((one, 1), (other, 2), (one, 1))))
    assert sorted(done) == [1, 1, 2]
    await released(shared)


async def test_who_stops_waiting_keeps_no_lease(soon):
    shared = Shared(1)
    here = Places(2, shared, shared.disconnect)
    async with here.place():
        waiting = asyncio.create_task(here.place().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5), here.place():
        pass
    await released(shared)


async def test_a_failure_of_the_block_gives_the_place_back(soon):
    shared = Shared(1)
    here = Places(1, shared, shared.disconnect)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with here.place():
                raise ZeroDivisionError
    await released(shared)


async def test_a_scheduler_that_is_gone_is_an_error_of_the_part():
    class Gone(Shared):
        async def acquire(self):
            raise OSError("the scheduler is gone")

    shared = Gone(1)
    here = Places(1, shared, shared.disconnect)
    with pytest.raises(OSError, match="gone"):
        async with here.place():
            pass
