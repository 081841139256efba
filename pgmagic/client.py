"""What a notebook holds: databases, their pools, and one way to ask them. Knows no IPython."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, get_args

from pgmagic import columns
from pgmagic.answers import Answers, assemble, stamp
from pgmagic.columns import Budget, FrameOptions, outgoing
from pgmagic.dask.lazy import lazy
from pgmagic.database.configuration import Configuration, load
from pgmagic.database.passwords import Ask
from pgmagic.database.settings import DatabaseSettings
from pgmagic.dispatch import dispatch, write
from pgmagic.environment import VARIABLES
from pgmagic.errors import CellError, FanOutError, RecordingError
from pgmagic.export import Export
from pgmagic.language.destination import destination
from pgmagic.language.held import as_held, refusal
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import Plan, plan
from pgmagic.language.saved import SavedQueries, SavedQuery
from pgmagic.language.statements import read
from pgmagic.meeting import Meeting
from pgmagic.outcome import Answer, Failure, Outcome
from pgmagic.pools import Pools
from pgmagic.receipts import Origin, Receipt, receipt
from pgmagic.recording import (
    Index,
    Recorder,
    Recordings,
    Replayer,
    Room,
    folder_to_read,
    folder_to_write,
    mode_of,
)
from pgmagic.watch import Watch
from pgmagic.writing import IfExists, Writing

__all__ = ["Client"]

Live: TypeAlias = Callable[[], Awaitable[tuple[Outcome, ...]]]


class Tape(Protocol):
    """Stands between the client and its databases: keeps what they answer, or answers itself."""

    used: set[str]
    """The names of the recordings that were written or read."""

    def prepared(self, plan: Plan) -> Plan:
        """Change how a plan runs, where that is needed."""

    async def outcomes(self, plan: Plan, live: Live) -> tuple[Outcome, ...]:
        """Give one outcome for each database of the plan; `live` asks them."""


LARGE = 100_000  # rows from which the speed of the decoder is felt
SMALL = 10_000  # rows of which a frame is made in a few milliseconds
RECEIPTS = 10_000  # kept at most
OF_NOTEBOOKS = {"background", "into", "stats"}  # what a program has of its own
UNRECORDED = "not recorded: the rows of --dask are read later, by its workers"


class Client(Pools):
    """Databases and their pools, on the event loop that first uses them.

    async with pgmagic.Client.from_config() as pg:
        frame = await pg.query("select count(*) from flights", on=["ewr", "jfk"])

    `ask` is called where a server wants a password and no other place has one; it is given the
    account, `user@host:port/database`. `max_result_bytes` is the memory that the rows of one cell
    may take, on all its databases together: by itself a quarter of what is free when the cell
    begins, without limit where it is 0.

    `receipts` are of the last ten thousand queries, the newest last; `origin` says which cell asks.
    `saved` are the queries that others can read like tables, `recordings` is the folder that the
    configuration names for them.
    """

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        ask: Ask | None = None,
        max_result_bytes: int | None = None,
    ) -> None:
        super().__init__(configuration, ask=ask)
        self.max_result_bytes = max_result_bytes
        self.receipts: deque[Receipt] = deque(maxlen=RECEIPTS)
        self.origin: Callable[[], Origin] = Origin
        self.tape: Tape | None = None
        self.saved = SavedQueries()
        self.recordings: Path | None = configuration.recordings if configuration else None
        self._said_slow: set[str] = set()

    @classmethod
    def from_config(
        cls, start: Path | None = None, *, ask: Ask | None = None, notebook: Path | None = None
    ) -> Self:
        """Read `pgmagic.toml`, from `start` (the working directory) upwards.

        Records or replays where PGMAGIC_MODE or the file say so, beside the `notebook` where
        that is known. Raises `SettingsError` that names the file and the key.
        """
        configuration = load(start)
        client = cls(configuration, ask=ask)
        where = (VARIABLES, configuration.recordings, notebook)
        match mode_of(VARIABLES, configuration.mode):
            case "record":
                client.record(folder_to_write(*where))
            case "replay":
                client.replay(folder_to_read(*where))
        return client

    def record(self, folder: Path, room: Room | None = None) -> Recorder:
        """Keep every answer from now on in a folder, in `room` for so much of them.

        Raises `RecordingError` in a replay.
        """
        if self.replaying:
            raise RecordingError("this is a replay: there is nothing new to record")
        recorder = Recorder(
            Recordings(folder), origin=lambda: self.origin(), index=self._index, room=room
        )
        self.tape, self.recordings = recorder, folder
        return recorder

    def stop_recording(self) -> None:
        """Keep no more answers."""
        if not self.replaying:
            self.tape = None

    def replay(self, folder: Path) -> Replayer:
        """Answer from now on from the recordings in a folder, and ask no database any more.

        The databases, their groups and the default are those that were recorded. Raises
        `RecordingError` where the folder holds no recording.
        """
        replayer = Replayer(Recordings(folder), origin=lambda: self.origin())
        index = replayer.recordings.index
        self.databases = {
            name: DatabaseSettings(name=name, read_only=read_only)
            for name, read_only in index.databases.items()
        }
        self.groups, self.default = dict(index.groups), index.default
        self.tape, self.replaying = replayer, True
        return replayer

    def _index(self) -> Index:
        """Say what targets mean by now."""
        databases = {name: settings.read_only for name, settings in self.databases.items()}
        return Index(databases=databases, groups=dict(self.groups), default=self.default)

    async def query(
        self,
        sql: str,
        *,
        on: str | Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run SQL on one database, or on several at once, and give a DataFrame.

        `on` are targets as after `%%pg`; `values` has what `{name}` stands for; the options are
        those of the magic, with `_` for `-`: `write=True`, `limit=10`, `as_="arrow"`. There is no
        `into` and no `stats`, which belong to a notebook, and tasks stand for `background`.
        Raises `QueryError` or `Unavailable` for one database, `FanOutError` for several.
        """
        known = {field.name for field in fields(Options)} - OF_NOTEBOOKS
        for name in options:
            if name not in known:
                raise TypeError(f"query() has no option {name!r}")
        cell = Cell(
            sql=sql,
            targets=(on,) if isinstance(on, str) else tuple(on),
            options=Options(**options),
        )
        return (await self.run(self.plan(cell, values or {}))).value

    def save(self, name: str, sql: str, *, values: Mapping[str, Any] | None = None) -> SavedQuery:
        """Keep a SELECT, for later queries to read from `name` like from a table. Runs nothing.

        `values` has what `{name}` stands for, now and whenever the query is read. Raises
        `CellError` for anything but one SELECT that only reads, and where it would read itself.
        """
        return self.saved.save(name, sql, values)

    async def write(
        self,
        frame: Any,
        on: str | Sequence[str] = (),
        *,
        table: str,
        if_exists: IfExists = "fail",
        watch: Watch | None = None,
    ) -> tuple[Answer, ...]:
        """Write a pandas, polars or Arrow frame into a table, on all databases or on none.

        `table` is a name as in SQL, with its schema or without. Where there is such a table,
        "append" adds to it, its columns by name, and "replace" puts another one there. NaN, NaT
        and NA of pandas become NULL. Raises as `query` does, and then nothing has changed.
        """
        if if_exists not in get_args(IfExists):
            raise CellError(f"if_exists takes {', '.join(get_args(IfExists))}, not {if_exists!r}")
        targets = self.targets((on,) if isinstance(on, str) else on)
        if held := [name for name in targets if name in self.snapshots]:
            raise refusal(held, "what is written would stay unseen by the cells after it")
        ready = await asyncio.to_thread(outgoing, frame)
        meeting, watch = Meeting(targets), watch or Watch()
        writings = [
            Writing(
                database=name,
                pool=self.pool(name),
                meeting=meeting,
                watch=watch,
                outgoing=ready,
                table=table,
                if_exists=if_exists,
                together=len(targets) > 1,
            )
            for name in targets
        ]
        outcomes = await write(writings, meeting, watch)
        answers = tuple(outcome for outcome in outcomes if isinstance(outcome, Answer))
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        if not failures:
            return answers
        if len(outcomes) == 1:
            raise failures[0].error

        async def again() -> Any:
            # Those that have committed must not be written to once more.
            left = [failure.database for failure in failures]
            await self.write(frame, left, table=table, if_exists=if_exists)

        raise FanOutError(outcomes, failures, retry=again)

    def plan(self, cell: Cell, namespace: Mapping[str, Any]) -> Plan:
        """Decide what a cell does, without touching a database. Raises `CellError`."""
        if cell.options.save is not None:
            raise CellError("--save runs nothing, and this is to run; Client.save() keeps a query")
        targets = self.targets(cell.targets)
        reading = read(
            cell.sql,
            namespace,
            standard_strings=self._standard_strings(cell, targets),
            saved=self.saved,
        )
        if reading.rest is not None:
            raise CellError(
                "what follows can't be read before this has run: it may change how strings are "
                "written",
                cell=cell.sql,
                offset=reading.statements[-1].start,
                hint="put the rest into the next cell of a --session",
            )
        read_only = {name: self.databases[name].read_only for name in targets}
        decided = plan(cell, reading.statements, targets, read_only, reading.warnings)
        return as_held(decided, self.snapshots)

    async def run(self, plan: Plan, watch: Watch | None = None) -> Answers:
        """Run a plan on all its databases at once. `watch` can be looked at while it runs.

        Raises the database's own error where there is one target, `FanOutError` where there are
        several and not all answered, unless the cell says `--partial`.
        """
        if plan.cell.options.dask:
            answers = await lazy(self, plan)
            if self.tape is not None:
                answers = replace(answers, notes=(*answers.notes, UNRECORDED))
            return answers
        return await self._finish(plan, (), watch or Watch())

    async def _finish(self, plan: Plan, known: Sequence[Outcome], watch: Watch) -> Answers:
        """Ask the databases that have not answered yet, and put all answers together."""
        plan = as_held(plan, self.snapshots)  # which may be younger than the plan
        started = time.monotonic()
        kept = [outcome for outcome in known if isinstance(outcome, Answer)]
        answered: dict[str, Outcome] = {answer.database: answer for answer in kept}
        budget = Budget(self.max_result_bytes)
        budget.add(sum(answer.nbytes for answer in kept))
        left = replace(
            plan, steps=tuple(step for step in plan.steps if step.database not in answered)
        )
        if self.tape is not None:
            left = self.tape.prepared(left)
        options = {name: self._frame_options(plan, name) for name in plan.targets}
        with _export(plan) as export:
            live = partial(dispatch, left, self.pool, options, watch, budget, export)
            asked, written = await self._noted(left, watch, live)
            answered |= {outcome.database: outcome for outcome in asked}
            outcomes = tuple(answered[name] for name in plan.targets)
            files = None
            if export and not any(isinstance(outcome, Failure) for outcome in outcomes):
                files = export.commit()
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                self.saved.advise(outcome.error)
        # Those who try again, perhaps more than once, want what has come already.
        keep = bool(known) or any(isinstance(outcome, Failure) for outcome in outcomes)
        rows = sum(progress.rows for progress in watch.progress.values())
        if export or (rows < SMALL and not self.replaying):  # which counts no rows on their way
            value, notes = assemble(plan, outcomes, options, files, keep=keep)
        else:  # in a thread: it must not hold up the loop, and with it the interrupt
            value, notes = await asyncio.to_thread(assemble, plan, outcomes, options, keep=keep)
        stamp(value, written)
        answers = Answers(
            plan=plan,
            outcomes=outcomes,
            value=value,
            notes=(*plan.warnings, *notes, *self._slow(watch)),
            elapsed=time.monotonic() - started,
        )
        if not answers.failures:
            return answers
        if len(outcomes) == 1:
            raise answers.failures[0].error
        if plan.cell.options.partial and len(answers.failures) < len(outcomes):
            return answers

        async def retry() -> Any:
            # Nothing is left of a file that was not complete: then all are asked again.
            known = () if export else outcomes
            return (await self._finish(plan, known, Watch())).value

        raise FanOutError(outcomes, answers.failures, partial=value, retry=retry)

    async def _noted(
        self, plan: Plan, watch: Watch, live: Live
    ) -> tuple[tuple[Outcome, ...], Receipt]:
        """Ask, and keep a receipt of it, also where it is cancelled."""
        origin, began, started = self.origin(), datetime.now(UTC), time.monotonic()

        def noted(outcomes: Sequence[Outcome], error: BaseException | None = None) -> Receipt:
            elapsed = time.monotonic() - started
            kept = receipt(
                plan, outcomes, origin=origin, started=began, elapsed=elapsed, error=error
            )
            self.receipts.append(kept)
            return kept

        try:
            outcomes = await (live() if self.tape is None else self.tape.outcomes(plan, live))
        except BaseException as error:
            noted(tuple(watch.outcomes.values()), error)
            raise
        return outcomes, noted(outcomes)

    def _slow(self, watch: Watch) -> tuple[str, ...]:
        """Say at a large result why it was slower than it might be, everything once."""
        large = [name for name, progress in watch.progress.items() if progress.rows >= LARGE]
        reasons = [
            f"{name} has no binary COPY: its rows come by a slower way"
            for name in large
            if (pool := self._pools.get(name)) and pool.has_copy is False
        ]
        if large and not columns.accelerated:
            reasons.append(
                "read without the compiled decoder; installed with a C compiler it is faster"
            )
        new = tuple(reason for reason in reasons if reason not in self._said_slow)
        self._said_slow.update(new)
        return new

    def _standard_strings(self, cell: Cell, targets: Sequence[str]) -> bool:
        """How the session of a cell, where it has one, writes its strings by now."""
        if (name := cell.options.session) is None:
            return True
        pool = self._pools.get(targets[0])
        session = pool.sessions.get(name) if pool else None
        if session is None or session.is_closed:
            return True
        settings = session.connection.get_settings()
        return bool(settings.standard_conforming_strings == "on")

    def _frame_options(self, plan: Plan, database: str) -> FrameOptions:
        options = plan.cell.options
        return FrameOptions(
            numeric=options.numeric,
            json=options.json,
            tz=options.tz,
            limit=options.limit,
            as_=options.as_,
            dtypes=options.dtypes,
        )


def _export(plan: Plan) -> AbstractContextManager[Export | None]:
    """Begin what the cell writes to files, where it does."""
    options = plan.cell.options
    if options.to is None:
        return nullcontext()
    return Export(destination(options.to), tag=options.tag)
