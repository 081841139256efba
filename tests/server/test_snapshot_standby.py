"""A standby exports snapshots too: since version 10 that takes no write."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgmagic.client import Client
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import QueryError
from pgmagic.sandbox.account import Account
from pgmagic.sandbox.server import Server


@pytest.fixture
def standby(own_server: Server) -> Iterator[Server]:
    """A server that replays what `own_server` writes."""
    account, binaries = Account.choose(), own_server.binaries
    folder = Path(tempfile.mkdtemp(prefix="pgmagic-test-"))
    folder.chmod(0o711)
    data = folder / f"data{binaries.major}"
    data.mkdir(0o700)
    account.own(data)
    copied = account.run(
        binaries.bindir / "pg_basebackup",
        *("-d", own_server.dsn(), "-D", str(data), "-R", "-c", "fast", "--no-sync"),
    )
    assert copied.returncode == 0, copied.stderr
    kept = {"user": own_server.user, "password": own_server.password}
    (folder / f"{data.name}.json").write_text(json.dumps(kept))
    try:
        with Server(folder, binaries=binaries) as started:
            yield started
    finally:
        shutil.rmtree(folder)


def at(name: str, server: Server) -> DatabaseSettings:
    return DatabaseSettings(
        name=name,
        host=server.host,
        port=server.port,
        user=server.user,
        database="postgres",
        password=lambda: server.password,
    )


async def test_a_standby_is_held_while_it_replays(own_server, standby):
    async with Client() as client:
        await client.add(at("primary", own_server))
        await client.add(at("standby", standby))
        await client.query(
            "create table t as select n from generate_series(1, 1000) n", on="primary", write=True
        )
        await replayed(client, 1000)
        async with client.snapshot("standby") as (snapshot,):
            assert snapshot.position.wal is not None
            await client.query("delete from t where n > 400", on="primary", write=True)
            held = asyncio.create_task(replayed_beside(standby, 400))
            for parallel in (None, 3):
                frame = await client.query("select n from t", on="standby", parallel=parallel)
                assert len(frame) == 1000
            await held
            assert len(await client.query("select n from t", on="standby")) == 1000
        assert len(await client.query("select n from t", on="standby")) == 400


async def replayed(client: Client, rows: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                if len(await client.query("select n from t", on="standby")) == rows:
                    return
            except QueryError:
                pass  # not there yet


async def replayed_beside(standby: Server, rows: int) -> None:
    """Wait, beside the snapshot, until the standby has so many rows."""
    async with Client() as client:
        await client.add(at("standby", standby))
        await replayed(client, rows)
