"""The faults of tests/faults, with a canary for the password of both servers."""

import asyncio
import contextlib
import io
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import CodeType
from typing import Any, Self
from unittest.mock import patch

from pgmagic.client import Client
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SandboxError
from pgmagic.sandbox.binaries import Binaries
from tests.faults import catalogue, trial
from tests.faults.catalogue import Fault, Record
from tests.faults.trial import Told, Trial
from tests.faults.world import World, opened
from tests.proxy import FaultProxy
from tests.secrets.canary import CANARY, WRONG, leaks, leaks_in_files
from tests.secrets.keys import serving
from tests.secrets.sources import Surroundings, surrounded
from tests.secrets.told import told_by, told_by_client, told_by_frame
from tests.servers import TestDatabase

__all__ = [
    "LOGGERS",
    "ROLE",
    "CanaryClient",
    "Search",
    "logged",
    "opened_with_canary",
    "run_under",
]

ROLE = "canary"
LOGGERS = ("", "pgmagic", "asyncpg", "asyncio", "asyncpg.pool", "concurrent.futures")
LARGE = 20_000  # rows: a larger frame is searched in its attrs alone


@dataclass(slots=True)
class Search:
    """What was told in one run, and where in it a canary stands."""

    searched: int = 0
    found: list[str] = field(default_factory=list, repr=False)  # else it would be found in itself

    def look(self, where: str, texts: Iterable[Any]) -> None:
        """Search texts that were told somewhere."""
        for text in texts:
            if text:
                self.searched += 1
            if leaked := leaks(text):
                self.found.append(f"{where}: {leaked[0]!r} in {text[:2000]!r}")


@contextmanager
def opened_with_canary(binaries: Binaries) -> Iterator[World]:
    """Start the servers of the faults; whoever asks them signs in by the canary.

    Over TLS they want a client's key as well, where their build knows it.
    """
    quoted = CANARY.replace("'", "''")
    role = f"create role {ROLE} login superuser password '{quoted}'"
    with ExitStack() as stack:
        try:
            world = stack.enter_context(opened(binaries, **serving()))
        except SandboxError as error:
            if "SSL is not supported" not in str(error):
                raise
            world = stack.enter_context(opened(binaries))
        for database in (world.far, world.near):
            asyncio.run(_execute(database, role))
        mine = {"user": ROLE, "password": CANARY}
        yield replace(world, far=replace(world.far, **mine), near=replace(world.near, **mine))


async def _execute(database: TestDatabase, sql: str) -> None:
    async with database.connection() as connection:
        await connection.execute(sql)


def run_under(
    fault: Fault, world: World, source: str, seed: int, modes: tuple[str, ...] = ()
) -> tuple[Record, Search]:
    """Let a fault happen whose passwords come from one place; search all that is told.

    `modes` are those of tracebacks, all of them by itself.
    """
    search = Search()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outside = folder / "outside"
        outside.mkdir()
        around = stack.enter_context(surrounded(source, outside))
        kept: list[CanaryTrial] = []

        def make(**options: Any) -> CanaryTrial:
            where = folder / "told" / "recordings"
            kept.append(CanaryTrial(**options, recordings=where, looking=search))
            return kept[-1]

        stack.enter_context(patch.object(catalogue, "Trial", make))
        stack.enter_context(patch.object(trial, "Client", lambda: CanaryClient(search)))
        stack.enter_context(patch.object(trial, "settings_of", _settings_by(around)))
        if source == "sslpassword":  # a server knows no TLS on a Unix socket
            stack.enter_context(patch.object(trial, "FaultProxy", partial(FaultProxy, tcp=True)))
        streams = stack.enter_context(_streams())
        stack.enter_context(logged(search))
        record = catalogue.run(fault, world, seed)
        for each in kept:
            each.search(search, modes)
        search.look("streams", (stream.getvalue() for stream in streams))
        search.look("violation", [record.violation])
        search.found += leaks_in_files(folder / "told")
        search.searched += sum(path.is_file() for path in (folder / "told").rglob("*"))
    return record, search


class CanaryClient(Client):
    """Answers the question for a password, and is searched before any of its databases goes."""

    def __init__(self, search: Search) -> None:
        super().__init__(ask=self._answer)
        self._search = search

    async def _answer(self, account: str) -> str:
        return CANARY

    async def remove(self, *names: str) -> None:
        self._search.look("client", told_by_client(self))
        await super().remove(*names)

    async def close(self, *names: str) -> None:
        self._search.look("client", told_by_client(self))
        await super().close(*names)


@dataclass(slots=True, kw_only=True, repr=False)
class CanaryTrial(Trial):
    """A trial that records, and can be searched when it has ended."""

    recordings: Path
    looking: Search
    _stopped_at: set[tuple[tuple[CodeType, int], ...]] = field(default_factory=set)

    def __repr__(self) -> str:
        """Tell nothing: frames of faults hold the trial, and what it has is searched by itself."""
        return "<the trial>"

    async def __aenter__(self) -> Self:
        await Trial.__aenter__(self)
        self.client.record(self.recordings)
        return self

    def error_of(self, task: asyncio.Task[Any]) -> BaseException | None:
        """Search what a cancelled cell shows at once, once for each place where one may be."""
        if stopped := _stopped(task):
            place = tuple(
                (frame.f_code, number) for frame, number in walk_tb(stopped.__traceback__)
            )
            if place not in self._stopped_at:
                self._stopped_at.add(place)
                self.looking.look("stopped", told_by(stopped, "Plain"))
        return Trial.error_of(self, task)

    def search(self, search: Search, modes: tuple[str, ...]) -> None:
        """Search one cell's answer of each shape, and one error of each wording."""
        kinds: dict[str, Told] = {}
        for told in self.told:
            kinds.setdefault(_kind(told), told)
        for kind, told in kinds.items():
            if told.error is not None:
                search.look(kind, told_by(told.error, *modes))
            elif getattr(told.value, "size", 0) < LARGE:
                search.look(kind, told_by_frame(told.value))
        attrs = (repr(getattr(told.value, "attrs", "")) for told in self.told)
        search.look("attrs", attrs)


def _stopped(task: asyncio.Task[Any]) -> BaseException | None:
    """Give what a task was cancelled by, with its frames."""
    try:
        return None if not task.cancelled() else task.result()
    except asyncio.CancelledError as stopped:
        return stopped


def _kind(told: Told) -> str:
    if told.error is not None:
        return re.sub(r"\d+", "0", repr(told.error))
    return f"an answer of shape {getattr(told.value, 'shape', None)} of {told.targets}"


def _settings_by(around: Surroundings) -> Any:
    """Say how to reach a database; a password that is not the canary becomes the wrong one."""

    def settings_of(name: str, where: TestDatabase, /, **changes: Any) -> DatabaseSettings:
        given = changes.pop("password", None)
        place = {
            "name": name,
            "host": "127.0.0.1",
            "port": where.port,
            "user": where.user,
            "database": where.name,
            "sslmode": "disable",
        }
        secret = CANARY if given is None or given() == CANARY else WRONG
        return DatabaseSettings(**(place | around.settings(name, secret) | changes))

    return settings_of


@contextmanager
def _streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


class _Log(logging.Handler):
    def __init__(self, search: Search) -> None:
        super().__init__(logging.DEBUG)
        self._search = search

    def emit(self, record: logging.LogRecord) -> None:
        self._search.look("log", (self.format(record), repr(record.__dict__)))


@contextmanager
def logged(search: Search) -> Iterator[None]:
    """Search what all loggers say at DEBUG."""
    handler = _Log(search)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    logging.getLogger().addHandler(handler)
    try:
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
