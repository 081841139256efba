"""Databases of one cell that wait for each other."""

import asyncio

from pgmagic.meeting import Meeting


async def test_all_get_what_all_brought_in_the_order_named():
    meeting = Meeting(["ewr", "jfk", "lga"])

    async def bring(name, value):
        return await meeting.arrive("columns", name, value)

    seen = await asyncio.gather(bring("lga", 3), bring("ewr", 1), bring("jfk", 2))
    assert all(list(brought.items()) == [("ewr", 1), ("jfk", 2), ("lga", 3)] for brought in seen)


async def test_nobody_waits_for_one_that_left():
    meeting = Meeting(["ewr", "jfk"])
    waiting = asyncio.create_task(meeting.arrive("columns", "ewr", 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    meeting.leave("jfk")
    assert await waiting == {"ewr": 1}


async def test_a_cancelled_waiter_does_not_cancel_the_others():
    meeting = Meeting(["ewr", "jfk", "lga"])
    first = asyncio.create_task(meeting.arrive("columns", "ewr", 1))
    second = asyncio.create_task(meeting.arrive("columns", "jfk", 2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    meeting.leave("ewr")
    meeting.leave("lga")
    assert await second == {"jfk": 2}


async def test_items_are_met_for_one_by_one():
    meeting = Meeting(["ewr", "jfk"])
    await asyncio.gather(meeting.arrive(0, "ewr"), meeting.arrive(0, "jfk"))
    later = asyncio.create_task(meeting.arrive(1, "ewr"))
    await asyncio.sleep(0)
    assert not later.done()
    meeting.leave("jfk")
    await later


async def test_a_vote_passes_only_where_all_have_come():
    meeting = Meeting(["ewr", "jfk"])
    await asyncio.gather(meeting.vote("ewr"), meeting.vote("jfk"))
    meeting = Meeting(["ewr", "jfk", "lga"])
    votes = [asyncio.create_task(meeting.vote(name)) for name in ("ewr", "jfk")]
    await asyncio.sleep(0)
    meeting.leave("lga")
    results = await asyncio.gather(*votes, return_exceptions=True)
    assert [str(result) for result in results] == [
        "NotCommitted in ewr: rolled back, because lga failed",
        "NotCommitted in jfk: rolled back, because lga failed",
    ]


async def test_nobody_waits_for_one_that_is_late():
    meeting = Meeting(["ewr", "jfk", "lga"])
    waiting = [asyncio.create_task(meeting.arrive(0, name, name)) for name in ("lga", "jfk")]
    await asyncio.sleep(0)
    meeting.be_late("ewr")
    for task in waiting:
        assert await task == {"jfk": "jfk", "lga": "lga"}
    brought = await meeting.arrive(0, "ewr", "ewr")
    assert list(brought) == ["ewr", "jfk", "lga"], "it sees what the others brought"


async def test_those_who_are_all_late_meet_one_after_the_other():
    meeting = Meeting(["ewr", "jfk"])
    meeting.be_late("ewr")
    meeting.be_late("jfk")
    assert await meeting.arrive(0, "jfk", 2) == {"jfk": 2}
    assert await meeting.arrive(0, "ewr", 1) == {"ewr": 1, "jfk": 2}
