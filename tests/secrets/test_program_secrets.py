"""Each place of a password, under each kind of fault: what is told holds nothing of it."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from IPython.core.ultratb import FormattedTB

from pgmagic.client import Client
from pgmagic.errors import PgMagicError
from tests.hostile import wire
from tests.hostile.lies import LIES
from tests.hostile.scripted import ScriptedServer, settings_of
from tests.proxy import FaultProxy
from tests.secrets.canary import CANARY, WRONG, leaks
from tests.secrets.sources import SOURCES, Surroundings, settings_from, surrounded
from tests.secrets.told import MODES, told_by, told_by_client, told_by_frame
from tests.servers import Administrator, TestDatabase

ROLE = "canary"
EVERY_PAIR = "PGMAGIC_EVERY_PAIR"
LOGGERS = (None, "pgmagic", "asyncpg", "asyncio", "asyncpg.pool")

SCRIPTS = {
    "garbage": {"startup": bytes(range(256))},
    "cleartext": {"startup": wire.authentication(3)},
    "cleartext, then garbage": {"startup": wire.authentication(3) + b"\xff" * 50},
    "MD5, then silence": {"startup": wire.authentication(5, b"salt")},
    "no version": {"startup": wire.greeting(server_version="banana")},
    "SCRAM that is none": LIES["continues SCRAM with nonsense"],
    "a description that is none": LIES["describes a column without a name"],
    "rows that are none": LIES["copies half a number"],
}
ON_THE_SERVER = {
    "works": "select 1 as one",
    "a syntax error": "selec 1",
    "a failing function": "do $$ begin raise exception 'no <b>'; end $$",
    "a statement that takes too long": "select pg_sleep(9)",
}
ON_THE_WAY = ("refused", "black hole", "cut", "reset", "no TLS", "no database", "no such role")


@pytest.fixture(scope="module")
def role(administrator: Administrator) -> Iterator[str]:
    secret = CANARY.replace("'", "''")
    administrator.execute("set standard_conforming_strings = on")
    administrator.execute(f"create role {ROLE} login password '{secret}'")
    yield ROLE
    administrator.execute(f"drop role {ROLE}")


async def ask(client: Client, sql: str, *modes: str) -> list[Any]:
    """Ask, and give all that is told of it."""
    try:
        frame = await asyncio.wait_for(client.query(sql, on="h"), timeout=8)
    except TimeoutError:
        raise
    except Exception as error:
        # What is no error of ours is told by its frames.
        return [*told_by(error, *modes)]
    return [*told_by_frame(frame)]


@pytest.fixture
def around(source: str, tmp_path: Path) -> Iterator[Surroundings]:
    with surrounded(source, tmp_path) as surroundings:
        yield surroundings


@pytest.mark.parametrize("secret", [CANARY, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize("source", SOURCES)
async def test_nothing_that_is_told_holds_the_password(
    source: str,
    secret: str,
    database: TestDatabase,
    role: str,
    around: Surroundings,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    loop = asyncio.get_running_loop()
    stray: list[str] = []
    loop.set_exception_handler(lambda _, context: stray.append(repr(context)))

    async def answer(account: str) -> str:
        return secret

    async def try_out(kind: str, sql: str, port: int, **changes: Any) -> None:
        where = {"host": "127.0.0.1", "port": port, "user": role, "database": database.name}
        where |= {name: changes.pop(name) for name in tuple(changes) if name in where}
        limits = {"connect_timeout": 0.3, "acquire_timeout": 0.6, "command_timeout": 0.5}
        settings = settings_from(source, secret, where, around, **(limits | changes))
        async with Client(ask=answer) as client:
            await client.add(settings)
            # Each kind of fault meets each mode, in one place or another.
            texts = await ask(client, sql, MODES[(SOURCES.index(source) + len(tried)) % len(MODES)])
            texts += [*told_by_client(client)]
        for text in texts:
            assert leaks(text) == [], f"{kind}: {text!r}"
        tried.append(kind)

    tried: list[str] = []
    # Who is not let in asks nothing.
    statements = ON_THE_SERVER if secret == CANARY else dict([*ON_THE_SERVER.items()][:1])
    for kind, sql in statements.items():
        await try_out(kind, sql, database.port, statement_timeout=0.2)
    for kind, script in turn(SCRIPTS, source, secret).items():
        async with ScriptedServer(script) as server:
            await try_out(kind, "select 1", server.port)
            # Who has not been asked yet, or cannot open the key, sends none.
            silent = source == "prompt" or (source, secret) == ("sslpassword", WRONG)
            if kind == "cleartext" and not silent:
                assert leaks(bytes(server.heard)), "the test would not notice a password"
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(database))
        for kind in turn(dict.fromkeys(ON_THE_WAY), source, secret):
            proxy.blackhole, proxy.refuse = kind == "black hole", kind == "reset"
            proxy.cut_after = 40 if kind == "cut" else None
            changes: dict[str, Any] = {
                "no TLS": {"sslmode": "require"},
                "no database": {"database": "nowhere"},
                "no such role": {"user": "nobody"},
            }.get(kind, {})
            port = free_port() if kind == "refused" else proxy.port
            await try_out(kind, "select 1", port, **changes)
    gc.collect()
    told = [caplog.text, *map(repr, (record.__dict__ for record in caplog.records)), *stray]
    out, err = capfd.readouterr()
    assert len(tried) > len(statements)
    assert [text for text in [*told, out, err] if leaks(text)] == []
    assert "pgmagic.events" in {record.name for record in caplog.records}


@pytest.mark.parametrize("how", ["stopped", "out of time"])
async def test_a_cancellation_while_it_connects_shows_no_password(how):
    """A server that says nothing: whoever waits holds the password, in frames of the driver."""
    async with ScriptedServer({"startup": b""}) as server, Client() as client:
        await client.add(settings_of(server.port, password=lambda: CANARY, connect_timeout=5))
        cell = asyncio.ensure_future(client.query("select 1", on="h"))
        while not server.heard:  # it has sent who it is
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0 if how == "out of time" else None):
                if how == "stopped":
                    cell.cancel()
                await cell
        except (TimeoutError, asyncio.CancelledError) as stopped:
            texts = [*told_by(stopped)]
    assert any("connecting.py" in text for text in texts if isinstance(text, str))
    assert [text for text in texts if leaks(text)] == []


@pytest.mark.parametrize("variable", ["PGMAGIC_CONFIG", "PGMAGIC_MODE"])
def test_a_mistake_in_a_variable_does_not_show_the_others(variable, monkeypatch, tmp_path):
    monkeypatch.setenv("PGPASSWORD", CANARY)
    monkeypatch.setenv(variable, "nowhere")
    with pytest.raises(PgMagicError) as mistake:
        Client.from_config(tmp_path)
    assert [text for text in told_by(mistake.value) if leaks(text)] == []


@pytest.mark.parametrize("kind", [ValueError, OSError, KeyError])
async def test_a_callable_that_fails_is_not_quoted(kind, tmp_path):
    def rotate() -> str:
        token = CANARY
        raise kind(f"{token} has expired")

    async with ScriptedServer({}) as server, Client() as client:
        await client.add(settings_of(server.port, password=rotate))
        texts = await ask(client, "select 1")
    assert "password" in texts[0]
    assert [text for text in texts if leaks(text)] == []


async def test_the_search_would_find_it_in_a_frame():
    def fail(password: str) -> None:
        raise RuntimeError("no")

    try:
        fail(CANARY)
    except RuntimeError as error:
        texts = [*told_by(error)]
    assert any(leaks(text) for text in texts)
    shown = FormattedTB(mode="Verbose", theme_name="nocolor")
    try:
        fail(CANARY)
    except RuntimeError:
        assert leaks(shown.stb2text(shown.structured_traceback(*sys.exc_info())))


@pytest.mark.parametrize("mode", ["Verbose", "rich"])
def test_the_search_sees_the_variables_that_a_mode_shows(mode):
    def fail(password: str) -> None:
        raise RuntimeError("no")

    try:
        fail(CANARY)
    except RuntimeError as error:
        plain, shown = (
            [text for text in told_by(error, each) if leaks(text)] for each in ("Plain", mode)
        )
    assert len(shown) == len(plain) + 1


def turn(kinds: dict[str, Any], source: str, secret: str) -> dict[str, Any]:
    """Give every sixth kind: each meets several sources, with a right password and a wrong one.

    `python -m tests.secrets --lies` lets every kind meet every source.
    """
    if os.environ.get(EVERY_PAIR):
        return kinds
    first = SOURCES.index(source) + (secret == WRONG)
    return {kind: each for n, (kind, each) in enumerate(kinds.items()) if (n + first) % 6 == 0}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
