"""The queue in front of a pool."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.slots import Slots


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served() -> None:
    slots, served = Slots(1), []

    async def work(number: int) -> None:
        await slots.enter()
        served.append(number)
        await asyncio.sleep(0)
        slots.leave()

    await asyncio.gather(*(work(number) for number in range(10)))
    assert served == list(range(10))
    assert (slots.inside, slots.waiting) == (0, 0)


async def test_a_newcomer_does_not_overtake() -> None:
    slots = Slots(1)
    await slots.enter()
    waiting = asyncio.create_task(slots.enter())
    await settle()
    slots.leave()  # the one that waits is let in now, though it has not run yet
    assert not slots.is_free
    await waiting
    assert slots.inside == 1


async def test_the_head_of_the_queue() -> None:
    slots, served = Slots(1), []
    await slots.enter()

    async def work(name: str, *, first: bool) -> None:
        await slots.enter(first=first)
        served.append(name)
        slots.leave()

    tasks = [asyncio.create_task(work("late", first=False))]
    await settle()
    tasks.append(asyncio.create_task(work("again", first=True)))
    await settle()
    slots.leave()
    await asyncio.gather(*tasks)
    assert served == ["again", "late"]


@pytest.mark.parametrize("let_in", [False, True])
async def test_cancelled_while_waiting(let_in: bool) -> None:
    """Also where the cancellation comes at the moment at which the slot is free."""
    slots = Slots(1)
    await slots.enter()
    gone = asyncio.create_task(slots.enter())
    stays = asyncio.create_task(slots.enter())
    await settle()
    if let_in:
        slots.leave()
        gone.cancel()
    else:
        gone.cancel()
        slots.leave()
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    await stays
    assert (slots.inside, slots.waiting) == (1, 0)


async def test_limit_can_fall_and_rise() -> None:
    slots = Slots(3)
    for _ in range(3):
        await slots.enter()
    slots.limit = 1
    waiting = asyncio.create_task(slots.enter())
    slots.leave()
    slots.leave()
    await settle()
    assert not waiting.done(), "one is inside, which is the limit"
    slots.limit = 2
    await waiting
    assert slots.inside == 2


async def test_the_limit_is_never_nothing() -> None:
    slots = Slots(3)
    slots.limit = 0
    await slots.enter()
    assert slots.inside == 1


@given(st.lists(st.sampled_from(["enter", "leave", "cancel"]), max_size=60), st.integers(1, 4))
def test_never_more_inside_than_allowed_and_nobody_forgotten(steps: list[str], limit: int) -> None:
    async def play() -> None:
        slots = Slots(limit)
        tasks: list[asyncio.Task[None]] = []
        inside = 0
        for step in steps:
            if step == "enter":
                tasks.append(asyncio.create_task(slots.enter()))
            elif step == "cancel" and tasks:
                tasks[len(tasks) // 2].cancel()
            elif step == "leave" and slots.inside:
                slots.leave()
                inside -= 1
            await settle()
            assert slots.inside <= limit
            assert slots.waiting == 0 or slots.inside == limit
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slots.waiting == 0

    asyncio.run(play())
