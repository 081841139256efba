"""Cells that write. What is said of each write goes into the ledger of its database."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pandas as pd

from pgmagic import FanOutError, NotCommitted
from pgmagic.outcome import Failure
from tests.soak.desk import Cell, Desk, Wrong, expect, marked
from tests.soak.ledger import Ledger, Said, said_of
from tests.soak.schedule import DATABASES, Job

__all__ = ["WRITING", "close"]


async def write(desk: Desk, job: Job) -> None:
    """One statement, which runs bare."""
    parts = 1 + job.rows % 3

    async def run(number: int) -> None:
        sql = f"insert into ledger select {number}, p, {parts} from generate_series(1, {parts}) p"
        await desk.pg.query(marked(job, sql), on=job.database, write=True)

    await _recorded(desk.ledgers[job.database], run)


async def transaction(desk: Desk, job: Job) -> None:
    """Several statements: all or none."""

    async def run(number: int) -> None:
        sql = "; ".join(f"insert into ledger values ({number}, {part}, 3)" for part in (1, 2, 3))
        await desk.pg.query(marked(job, sql), on=job.database, write=True)

    await _recorded(desk.ledgers[job.database], run)


async def frame(desk: Desk, job: Job) -> None:
    """A frame into the table."""

    async def run(number: int) -> None:
        rows = pd.DataFrame({"id": number, "part": range(job.rows), "of": job.rows})
        await desk.pg.write(rows, job.database, table="ledger", if_exists="append")

    await _recorded(desk.ledgers[job.database], run)


async def _recorded(ledger: Ledger, run: Callable[[int], Awaitable[None]]) -> None:
    number = ledger.begin()
    try:
        await run(number)
    except Exception as error:
        ledger.say(number, said_of(error))
        raise
    ledger.say(number, Said.DONE)


async def write_everywhere(desk: Desk, job: Job) -> None:
    """One statement on all databases, which all commit or none."""
    numbers = {name: desk.ledgers[name].begin() for name in DATABASES}
    rows = ", ".join(f"('{name}', {number})" for name, number in numbers.items())
    sql = f"insert into ledger select id, 1, 1 from (values {rows}) as each (name, id)"
    sql += " where name = (select place from facts where n = 0)"
    try:
        await desk.pg.query(marked(job, sql), on=DATABASES, write=True)
    except FanOutError as error:
        for outcome in error.outcomes:
            failed = isinstance(outcome, Failure)
            said = said_of(outcome.error) if failed else Said.DONE
            desk.ledgers[outcome.database].say(numbers[outcome.database], said)
        if all(isinstance(failure.error, NotCommitted) for failure in error.failures):
            raise Wrong("nothing was committed, and nobody says why") from error
        raise
    for name in DATABASES:
        desk.ledgers[name].say(numbers[name], Said.DONE)


async def session(desk: Desk, job: Job) -> None:
    """A transaction over several cells, on a connection that keeps a temporary table."""
    name, database, ledger = desk.session, job.database, desk.ledgers[job.database]
    kept = desk.kept.pop(database, None)

    async def ask(sql: str) -> Any:
        return await desk.pg.query(marked(job, sql), on=database, session=name, write=True)

    try:
        if kept is not None:
            expect(list((await ask("select nonce from kept"))["nonce"]), [kept], "what was kept")
        await ask("drop table if exists pg_temp.kept; create temporary table kept (nonce text)")

        async def run(number: int) -> None:
            try:
                await ask("begin")
                await ask(f"insert into ledger values ({number}, 1, 1)")
                await ask(f"insert into kept values ('{job.nonce}')")
            except Exception:
                ledger.say(number, Said.NOT_DONE)  # COMMIT was never sent
                raise
            await ask("commit")

        number = ledger.begin()
        try:
            await run(number)
        except Exception as error:
            if ledger.said(number) is not Said.NOT_DONE:
                ledger.say(number, said_of(error))
            raise
        ledger.say(number, Said.DONE)
    except BaseException:
        await close(desk, database)
        raise
    if job.chance < 0.5:
        desk.kept[database] = job.nonce
    else:
        await close(desk, database)


async def close(desk: Desk, database: str) -> None:
    """Close the worker's session, where it still has one."""
    if desk.pg.pool(database).sessions.get(desk.session) is not None:
        await desk.pg.close_session(desk.session, database)


WRITING: Mapping[str, Cell] = {
    "write": write,
    "transaction": transaction,
    "write everywhere": write_everywhere,
    "frame": frame,
    "session": session,
}
