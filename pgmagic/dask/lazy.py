"""From a cell with `--dask` to a lazy frame: every database is asked, none is read."""

import asyncio
import importlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pgmagic.answers import Answers
from pgmagic.columns import Agreement, FixedFrame, FrameOptions, agree
from pgmagic.dask.home import home
from pgmagic.dask.partition import Partition, Source
from pgmagic.dask.survey import Survey, survey
from pgmagic.database.borrowed import BorrowedSnapshot
from pgmagic.errors import CellError, FanOutError, PgMagicError
from pgmagic.language.division import Divisible, divisible
from pgmagic.language.plan import Plan
from pgmagic.outcome import Answer, Failure, Outcome, Result
from pgmagic.pools import Pools

__all__ = ["lazy"]


async def lazy(pools: Pools, plan: Plan) -> Answers:
    """Plan the parts of a cell and give its frame; the outcomes count the parts.

    Raises the database's own error where there is one target, `FanOutError` where there are
    several, and `CellError` where Dask is not installed.
    """
    started = time.monotonic()
    collection = await asyncio.to_thread(_collection)  # takes a second, the first time
    whole = _divisible(plan)
    snapshots = {
        name: BorrowedSnapshot.of(held)
        for name, held in pools.snapshots.items()
        if name in plan.targets
    }
    surveys = await _ask(pools, plan, whole, snapshots)
    agreement = agree({name: each.columns for name, each in surveys.items()})
    if not agreement.columns:
        raise CellError("--dask gives rows, and this statement has none")
    parts = {name: _parts(name, each) for name, each in surveys.items()}
    source = _source(pools, plan, whole, agreement, snapshots)
    # A scheduler may work in this process: then the databases are those that the caller knows.
    known = {name: pools.databases[name] for name in plan.targets}
    await asyncio.to_thread(lambda: home().learn(known))
    elapsed = time.monotonic() - started
    return Answers(
        plan=plan,
        outcomes=tuple(_answer(name, parts[name], elapsed) for name in plan.targets),
        value=collection(list(_in_turns(parts)), source),
        notes=(*plan.warnings, *agreement.notes, *_notes(surveys)),
        elapsed=elapsed,
    )


def _collection() -> Any:
    try:
        return importlib.import_module("pgmagic.dask.collection").collection
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("pgmagic"):
            raise
        raise CellError(
            "--dask needs the package dask", hint="pip install 'pgmagic[dask]'"
        ) from None


def _divisible(plan: Plan) -> Divisible | None:
    """Take the statement apart where its text allows; it must where parts are asked for."""
    options = plan.cell.options
    try:
        return divisible(plan.statements[0])
    except CellError:
        if options.partitions is None and options.by is None:
            return None
        raise


async def _ask(
    pools: Pools,
    plan: Plan,
    whole: Divisible | None,
    snapshots: Mapping[str, BorrowedSnapshot],
) -> dict[str, Survey]:
    """Ask all databases at the same time; raise where one can't say."""
    found: dict[str, Survey] = {}

    async def ask(name: str) -> Outcome:
        started = time.monotonic()
        try:
            found[name] = await survey(pools.pool(name), plan, whole, snapshots.get(name))
        except PgMagicError as error:
            return Failure(database=name, error=error, elapsed=time.monotonic() - started)
        return Answer(database=name, results=(), elapsed=time.monotonic() - started)

    tasks = [asyncio.create_task(ask(name)) for name in plan.targets]
    try:
        outcomes = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()  # does nothing to those that are done
        await asyncio.wait(tasks)
    failures = [each for each in outcomes if isinstance(each, Failure)]
    if not failures:
        return {name: found[name] for name in plan.targets}
    if len(outcomes) == 1:
        raise failures[0].error

    async def retry() -> Any:
        return (await lazy(pools, plan)).value

    raise FanOutError(outcomes, failures, retry=retry)


def _source(
    pools: Pools,
    plan: Plan,
    whole: Divisible | None,
    agreement: Agreement,
    snapshots: Mapping[str, BorrowedSnapshot],
) -> Source:
    options = plan.cell.options
    return Source(
        reading=uuid.uuid4().hex,
        statement=plan.statements[0],
        whole=whole,
        frame=FixedFrame(
            columns=agreement.columns,
            databases=plan.targets,
            tag=options.tag if len(plan.targets) > 1 else None,
            options=FrameOptions(numeric=options.numeric, json=options.json, tz=options.tz),
        ),
        timeout=options.timeout,
        most=options.max_connections_per_database,
        sandbox=frozenset(pools.groups.get("sandbox", ())),
        snapshots=snapshots,
    )


def _parts(name: str, found: Survey) -> list[Partition]:
    if found.cut is None:
        return [Partition(database=name, predicate=None, rows=found.rows)]
    return [
        Partition(
            database=name,
            predicate=each.predicate,
            rows=None if found.rows is None else round(found.rows * each.share),
        )
        for each in found.cut.ranges
    ]


def _in_turns(parts: Mapping[str, Sequence[Partition]]) -> Iterator[Partition]:
    """Give the first part of each database, then the second of each: no worker waits for one."""
    for turn in zip_longest(*parts.values()):
        yield from (part for part in turn if part is not None)


def _answer(name: str, parts: Sequence[Partition], elapsed: float) -> Answer:
    tag = f"{len(parts):,} partition" + "s" * (len(parts) != 1)
    return Answer(database=name, results=(Result(tag=tag),), elapsed=elapsed)


def _notes(surveys: Mapping[str, Survey]) -> Iterator[str]:
    for name, each in surveys.items():
        if each.cut is not None and each.cut.note is not None:
            yield f"{name}: {each.cut.note}" if len(surveys) > 1 else each.cut.note
