"""Cells that read, and what has to come back.

A cell raises `Wrong` where that is not what came; what pgmagic raises passes through.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from pgmagic import Client, FanOutError, QueryError, QueryTimeout
from tests.soak.desk import Cell, Desk, Wrong, expect, expect_frame, marked
from tests.soak.schedule import DATABASES, Job

__all__ = ["READING"]


async def read(desk: Desk, job: Job) -> None:
    """Some rows, after a nap in which anything may happen."""
    sql = f"select '{job.nonce}' as nonce, n, pg_sleep({job.chance * 0.01}) is null as slept"
    sql += f" from generate_series(1, {min(job.rows, 10)}) n"
    frame = await desk.pg.query(marked(job, sql), on=job.database)
    expect(set(frame["nonce"]), {job.nonce}, "the nonce")
    expect(list(frame["n"]), list(range(1, min(job.rows, 10) + 1)), "the rows")


async def values(desk: Desk, job: Job) -> None:
    """Values of Python there and back."""
    sent = {
        "nonce": job.nonce,
        "number": job.rows,
        "share": job.chance,
        "words": [job.nonce, None, 'it\'s "quoted" \\ {braced} $1 :x ü'],
        "rows": job.rows,
    }
    sql = "select {nonce}::text as nonce, {number}::int8 as number, {share}::float8 as share,"
    sql += " {words}::text[] as words, n from generate_series(1, {rows}) n"
    frame = await desk.pg.query(marked(job, sql), on=job.database, values=sent)
    expect(len(frame), job.rows, "the number of rows")
    expect(list(frame["n"]), list(range(1, job.rows + 1)), "the rows")
    for name in ("nonce", "number", "share"):
        expect(list(frame[name].unique()), [sent[name]], name)
    for words in frame["words"]:
        expect(list(words), sent["words"], "the array")


async def big_read(desk: Desk, job: Job) -> None:
    """A whole table."""
    sql = marked(job, "select n, place, v, x, maybe from facts order by n")
    expect_frame(await desk.pg.query(sql, on=job.database), desk.facts[job.database], "the table")


async def fan_out(desk: Desk, job: Job) -> None:
    """All databases at once; half of those that fail in part ask the rest again."""
    sql = f"select '{job.nonce}' as nonce, place, n, v from facts where n < {job.rows} order by n"
    try:
        frame = await desk.pg.query(marked(job, sql), on=DATABASES)
    except FanOutError as error:
        if error.partial is not None:
            failed = {failure.database for failure in error.failures}
            left = [name for name in DATABASES if name not in failed]
            check_fan_out(desk, job, error.partial, left)
        # Who has cancelled some of it does not ask for that again.
        if job.chance < 0.5 or job.cancel is not None:
            raise
        frame = await error.retry_failed()
    check_fan_out(desk, job, frame, DATABASES)


def check_fan_out(desk: Desk, job: Job, frame: pd.DataFrame, names: Sequence[str]) -> None:
    expect(set(frame["nonce"]), {job.nonce}, "the nonce")
    wanted = [row for name in names for row in desk.facts[name]["v"][: job.rows]]
    expect(list(frame["v"]), wanted, "the rows of all")
    expect(list(frame["n"]), [*range(job.rows)] * len(names), "their numbers")
    expect(list(frame["database"]), list(frame["place"]), "where the rows are from")


async def limit(desk: Desk, job: Job) -> None:
    sql = marked(job, "select n, place, v, x, maybe from facts order by n")
    frame = await desk.pg.query(sql, on=job.database, limit=job.rows)
    expect_frame(frame, desk.facts[job.database][: job.rows], "the first rows")


async def refused(desk: Desk, job: Job) -> None:
    """A mistake, of which the server has to tell."""
    try:
        await desk.pg.query(marked(job, f"select {job.rows} / (n - n) from facts"), on=job.database)
    except QueryError as error:
        expect(error.sqlstate, "22012", "what the server says")
    else:
        raise Wrong("a division by zero has an answer")


async def time_limit(desk: Desk, job: Job) -> None:
    sql = marked(job, f"select pg_sleep(20), '{job.nonce}'")
    try:
        await desk.pg.query(sql, on=job.database, timeout=0.1)
    except QueryTimeout:
        return
    raise Wrong("--timeout 0.1 let twenty seconds pass")


async def to_file(desk: Desk, job: Job) -> None:
    """Rows into a file: all of them, or no file."""
    path = desk.folder / f"{job.nonce}.parquet"
    sql = marked(job, "select n, place, v, x, maybe from facts order by n")
    try:
        await desk.pg.query(sql, on=job.database, to=str(path))
    except BaseException:
        if path.exists():
            raise Wrong(f"{path.name} is there although the cell failed") from None
        raise
    found = pd.read_parquet(path)
    path.unlink()
    wanted = desk.facts[job.database]
    expect_frame(found.astype(wanted.dtypes), wanted, "the rows of the file")


async def parallel(desk: Desk, job: Job) -> None:
    sql = marked(job, "select n, place, v, x, maybe from facts")
    frame = await desk.pg.query(sql, on=job.database, parallel=3)
    frame = frame.sort_values("n", ignore_index=True)
    expect_frame(frame, desk.facts[job.database], "the parts of the table")


async def snapshot(desk: Desk, job: Job) -> None:
    """Writes of others go on, and are not seen: by a client of its own, opened and closed."""
    async with Client() as pg:
        for settings in desk.pg.databases.values():
            await pg.add(settings)
        async with pg.snapshot(*DATABASES, seconds=60):
            sql = marked(job, "select count(*) as rows, max(id) as last from ledger")
            before, after = [await pg.query(sql, on=DATABASES) for _ in range(2)]
    expect_frame(after, before, "what others wrote")


READING: Mapping[str, Cell] = {
    "read": read,
    "values": values,
    "big read": big_read,
    "fan-out": fan_out,
    "limit": limit,
    "refused": refused,
    "time limit": time_limit,
    "file": to_file,
    "parallel": parallel,
    "snapshot": snapshot,
}
