"""The soak itself, for two minutes in CI; and that it would see what it looks for."""

import os
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest

from pgmagic.errors import (
    ConnectFailed,
    ConnectionLost,
    PgMagicError,
    QueryCancelled,
    QueryError,
    QueryTimeout,
)
from tests.soak.ledger import TABLE, Ledger, Said, said_of
from tests.soak.record import Durations, Record
from tests.soak.schedule import CANCELLED, FAULTS, JOBS, Fault, faults, jobs

MINUTES = 2
LOST = ConnectionLost("lost", database="ewr")


@pytest.mark.timeout(60 * MINUTES + 120)
@pytest.mark.skipif(
    not os.environ.get("CI"), reason=f"python -m tests.soak --minutes {MINUTES} takes that long"
)
def test_nothing_is_wrong_after_two_minutes() -> None:
    command = [sys.executable, "-m", "tests.soak", "--minutes", str(MINUTES)]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert done.stderr == ""


# -- the schedule


def test_a_seed_plans_the_same_again() -> None:
    assert list(faults(1, 100)) == list(faults(1, 100))
    assert list(faults(1, 100)) != list(faults(2, 100))
    assert list(islice(jobs(1, 3), 200)) == list(islice(jobs(1, 3), 200))
    assert list(islice(jobs(1, 3), 200)) != list(islice(jobs(1, 4), 200))


def test_the_shares_are_kept() -> None:
    planned = list(faults(7, 5000))
    assert 4500 < len(planned) < 5500, "about one a second"
    kinds = Counter(each.fault for each in planned)
    assert all(abs(kinds[fault] / len(planned) - FAULTS[fault] / 100) < 0.01 for fault in Fault)
    some = list(islice(jobs(7, 0), 3000))
    assert sum(JOBS.values()) == sum(FAULTS.values()) == 100
    assert Counter(job.kind for job in some) == {kind: 30 * of for kind, of in JOBS.items()}
    cancelled = sum(job.cancel is not None for job in some)
    assert abs(cancelled / len(some) - CANCELLED) < 0.03


# -- the ledger


def wrote(ledger: Ledger, said: Said) -> int:
    number = ledger.begin()
    ledger.say(number, said)
    return number


async def test_the_ledger_agrees_with_what_was_said(database) -> None:
    ledger = Ledger()
    there = [wrote(ledger, Said.DONE), wrote(ledger, Said.UNKNOWN)]
    wrote(ledger, Said.NOT_DONE), wrote(ledger, Said.UNKNOWN)
    async with database.connection() as connection:
        await connection.execute(TABLE)
        for number in there:
            await connection.execute(
                "insert into ledger select $1, p, 2 from (values (1), (2)) v(p)", number
            )
        assert await ledger.verify(connection) == []


@pytest.mark.parametrize(
    ("said", "rows", "wrong"),
    [
        (Said.DONE, [], "reported as done, and is not there"),
        (Said.NOT_DONE, [(1, 1)], "reported as not done, and is there"),
        (Said.DONE, [(1, 1), (1, 1)], "came twice"),
        (Said.UNKNOWN, [(1, 1), (1, 1)], "came twice"),
        (Said.DONE, [(1, 2)], "came in part"),
    ],
)
async def test_the_ledger_sees(database, said, rows, wrong) -> None:
    ledger = Ledger()
    number = wrote(ledger, said)
    async with database.connection() as connection:
        await connection.execute(TABLE)
        for part, of in rows:
            await connection.execute("insert into ledger values ($1, $2, $3)", number, part, of)
        [found] = await ledger.verify(connection)
    assert wrong in found


def test_what_errors_say_of_a_write() -> None:
    assert said_of(LOST) is Said.UNKNOWN
    assert said_of(ConnectionLost("lost", database="ewr", sent=False)) is Said.NOT_DONE
    assert said_of(ConnectFailed("refused")) is Said.NOT_DONE
    assert said_of(QueryTimeout("too long")) is Said.UNKNOWN


# -- the record


def test_an_error_is_a_defect_where_nothing_explains_it() -> None:
    record = Record()
    record.fails("write", "ewr", LOST, since=record.begins(Fault.DELAY, "jfk").began)
    assert record.unexplained, "the fault was elsewhere"


@pytest.mark.parametrize(
    ("cell", "fault", "defect"),
    [
        ("write", Fault.RESET, False),
        ("read", Fault.RESET, True),  # it is sent again
        ("read", Fault.RESTART, False),
    ],
)
def test_an_error_is_no_defect_where_a_fault_explains_it(cell, fault, defect) -> None:
    record = Record()
    trouble = record.begins(fault, "ewr")
    record.fails(cell, "ewr", LOST, since=trouble.began)
    assert bool(record.unexplained) is defect


def test_a_read_may_fail_where_each_of_its_attempts_met_a_fault() -> None:
    record = Record()
    began = record.begins(Fault.RESET, "ewr").began
    record.begins(Fault.TERMINATE, "ewr")
    record.fails("read", "ewr", LOST, since=began)
    assert len(record.unexplained) == 1, "the third attempt met none"
    record.begins(Fault.RESET, "ewr")
    record.fails("read", "ewr", LOST, since=began)
    assert len(record.unexplained) == 1


def test_an_error_that_is_not_ours_is_always_a_defect() -> None:
    record = Record()
    trouble = record.begins(Fault.RESTART, "ewr")
    record.fails("write", "ewr", AttributeError(), since=trouble.began)
    record.fails("write", "ewr", LOST, since=trouble.began)
    assert len(record.unexplained) == 1


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (QueryCancelled("cancelled", database="ewr"), Fault.RESTART),  # the cancel of another
        (QueryError("no such snapshot", database="ewr"), Fault.TERMINATE),
        (PgMagicError("ours"), Fault.BLACK_HOLE),
        (QueryTimeout("too long"), Fault.RESET),  # which takes no time
    ],
)
def test_no_fault_explains_every_error(error, fault) -> None:
    record = Record()
    trouble = record.begins(fault, "ewr")
    record.fails("write", "ewr", error, since=trouble.began)
    assert len(record.unexplained) == 1


def test_a_cancellation_takes_two_seconds_and_what_our_loop_was_late() -> None:
    record = Record()
    record.cancel_took("read", 2.05, ["ewr"], since=0.0)
    assert not record.slow
    record.cancel_took("read", 2.5, ["ewr"], since=0.0)
    assert len(record.slow) == 1
    record.was_late(0.5)
    record.cancel_took("read", 2.5, ["ewr"], since=0.0)
    record.cancel_took("snapshot", 4.0, ["ewr"], since=0.0, waits=2)
    assert len(record.slow) == 1


def test_recovery_is_the_first_answer_to_what_was_asked_after_the_end() -> None:
    record = Record()
    trouble = record.begins(Fault.RESTART, "ewr", "jfk")
    record.ends(trouble)
    record.answers(["ewr"], began=trouble.ended - 1)
    assert not record.recoveries
    record.answers(["ewr"], began=trouble.ended)
    record.answers(["ewr"], began=trouble.ended)
    assert record.recoveries[Fault.RESTART].count == 1
    record.begins(Fault.DELAY, "jfk")
    record.answers(["jfk"], began=trouble.ended)
    assert record.recoveries[Fault.RESTART].count == 1, "another fault came between"


def test_durations_are_known_to_five_per_cent() -> None:
    durations = Durations()
    for number in range(1, 1001):
        durations.add(number / 1000)
    assert durations.percentile(0.5) == pytest.approx(0.5, rel=0.05)
    assert durations.percentile(0.99) == pytest.approx(0.99, rel=0.05)
    assert durations.longest == 1.0
