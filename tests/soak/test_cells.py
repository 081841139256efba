"""That every cell of the soak sees a wrong answer, and that a leak is seen."""

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from pgmagic import Client
from tests.soak import leaks
from tests.soak.desk import FACTS, Desk, Wrong, facts
from tests.soak.leaks import (
    Footprint,
    Growth,
    Memory,
    left_in_pools,
    left_in_process,
    left_on_servers,
)
from tests.soak.ledger import TABLE, Ledger
from tests.soak.measures import settings_of
from tests.soak.reading import READING
from tests.soak.record import Record
from tests.soak.schedule import DATABASES, Job
from tests.soak.soak import CELLS, Soak

JOB = Job(kind="", database="ewr", nonce="feed", rows=100, chance=0.6, cancel=None, by_id=False)


def without_a_row(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(index=len(frame) // 2).reset_index(drop=True)


def with_a_row_twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[-1:]], ignore_index=True)


def in_another_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[::-1].reset_index(drop=True)


def with_a_wrong_value(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    column = "n" if "n" in frame else frame.columns[-1]
    changed.loc[len(frame) // 2, column] += 1
    return changed


class Liar:
    """Answers like the client that it has, but for the frames, which it changes."""

    def __init__(self, client: Client, lie) -> None:
        self._client, self._lie = client, lie

    async def query(self, sql: str, *, to: str | None = None, **options):
        frame = await self._client.query(sql, **options)
        changed = self._lie(frame) if isinstance(frame, pd.DataFrame) else frame
        if to is not None:
            changed.to_parquet(to)
        return changed


@pytest.fixture
async def truthful(database):
    """A client whose three databases are one: all have the rows of `ewr`."""
    rows = facts("ewr")
    async with database.connection() as connection, Client() as client:
        await connection.execute(f"{FACTS}; {TABLE}")
        plain = rows.astype(object).where(rows.notna(), None)
        await connection.copy_records_to_table("facts", records=plain.itertuples(index=False))
        for name in DATABASES:
            await client.add(settings_of(name, database))
        yield client


def desk_of(client, folder) -> Desk:
    return Desk(
        pg=client,
        ledgers={name: Ledger() for name in DATABASES},
        facts={name: facts("ewr") for name in DATABASES},
        folder=folder,
        session="s",
    )


ALL = (without_a_row, with_a_row_twice, in_another_order, with_a_wrong_value)
LIES = [
    (kind, lie)
    for kind, lies in {
        "read": ALL,
        "values": ALL,
        "big read": ALL,
        "limit": ALL,
        "file": ALL,
        "fan-out": ALL,
        "parallel": (without_a_row, with_a_row_twice, with_a_wrong_value),  # in any order
    }.items()
    for lie in lies
]


@pytest.mark.parametrize(("kind", "lie"), LIES)
async def test_a_wrong_answer_is_seen(truthful, tmp_path, kind, lie) -> None:
    with pytest.raises(Wrong):
        await READING[kind](desk_of(Liar(truthful, lie), tmp_path), JOB)


@pytest.mark.parametrize(
    "kind", ["read", "values", "big read", "limit", "file", "parallel", "refused", "time limit"]
)
async def test_a_right_answer_is_right(truthful, tmp_path, kind) -> None:
    await READING[kind](desk_of(truthful, tmp_path), JOB)


@pytest.mark.parametrize("kind", ["refused", "time limit"])
async def test_an_answer_in_place_of_an_error_is_seen(tmp_path, kind) -> None:
    async def query(*_, **__):
        return pd.DataFrame()

    with pytest.raises(Wrong):
        await READING[kind](desk_of(SimpleNamespace(query=query), tmp_path), JOB)


class Unheld(Client):
    """A client whose snapshots hold nothing, while somebody writes."""

    @asynccontextmanager
    async def snapshot(self, *targets, seconds=1.0):
        yield ()

    async def query(self, sql, **options):
        frame = await super().query(sql, **options)
        await super().query("insert into ledger values (1, 1, 1)", on="ewr", write=True)
        return frame


async def test_a_snapshot_that_sees_the_writes_of_others_is_seen(
    truthful, tmp_path, monkeypatch
) -> None:
    desk = desk_of(truthful, tmp_path)
    await READING["snapshot"](desk, JOB)
    monkeypatch.setattr("tests.soak.reading.Client", Unheld)
    with pytest.raises(Wrong):
        await READING["snapshot"](desk, JOB)


# -- leaks


@pytest.fixture
def at_once(monkeypatch):
    """Look, and do not wait for what may end yet."""
    monkeypatch.setattr(leaks, "SETTLED_WITHIN", 0.0)
    monkeypatch.setattr(leaks, "CLOSED_WITHIN", 0.0)


async def test_a_connection_in_use_is_a_leak(truthful, at_once) -> None:
    async with truthful.pool("ewr").acquire():
        assert "1 in use" in "".join(await left_in_pools(truthful))
    await truthful.pool("ewr").settle()
    assert await left_in_pools(truthful) == []


async def test_a_session_is_a_leak_at_the_end_only(truthful, at_once) -> None:
    await truthful.query("select 1", on="ewr", session="s")
    assert "1 sessions" in "".join(await left_in_pools(truthful))
    assert await left_in_pools(truthful, sessions=True) == []


@pytest.mark.parametrize(("backends", "active"), [(2, 0), (1, 1), (0, 0)])
async def test_a_backend_of_nobody_is_a_leak(truthful, at_once, backends, active) -> None:
    class World:
        def __init__(self, backends: int, active: int) -> None:
            self._backends, self._active = backends, active

        async def backends(self):
            return dict.fromkeys(DATABASES, 0) | {"ewr": self._backends}

        async def active(self):
            return dict.fromkeys(DATABASES, 0) | {"ewr": self._active}

    await truthful.query("select 1", on="ewr")
    await truthful.pool("ewr").settle()
    assert await left_on_servers(truthful, World(1, 0)) == []
    assert await left_on_servers(truthful, World(backends, active))


async def test_what_a_process_holds_is_seen(at_once) -> None:
    before = Footprint.now()
    assert await left_in_process(before, threads=0) == []
    task = asyncio.create_task(asyncio.sleep(60))
    with socket.socket() as listening:  # which is a file as well
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        found = " ".join(await left_in_process(before, threads=0))
    task.cancel()
    assert all(each in found for each in ("tasks", "sockets", "files"))


async def test_a_cancellation_that_nobody_asked_for_is_wrong(monkeypatch, tmp_path) -> None:
    async def cancelled(*_):
        raise asyncio.CancelledError

    monkeypatch.setitem(CELLS, "read", cancelled)
    record = Record()
    soak = Soak(
        seed=1, until=0.0, world=None, pg=None, folder=tmp_path, record=record, growth=Growth()
    )
    await soak._do(None, replace(JOB, kind="read"), 0.0)
    assert len(record.wrong) == 1


def test_growth_is_seen() -> None:
    growth = Growth()
    growth.samples = [
        Memory(at=minute * 60.0, resident=minute * 1000, allocated=5, arrow=0, blocks=7)
        for minute in range(30)
    ]
    assert growth.per_hour(lambda each: each.resident) == pytest.approx(60_000)
    assert growth.per_hour(lambda each: each.blocks) == 0
