"""A real conversation, in which one message at a time is not as the server sent it."""

import asyncio
import contextlib
import itertools
import random
import struct
import time
from typing import Any, Self

import pytest

from pgmagic.client import Client
from pgmagic.errors import PgMagicError
from tests.hostile.scripted import TIMEOUT, settings_of
from tests.servers import TestDatabase

SQL = "select n, repeat('x', n) as word, now() as at from generate_series(1, 10) as n"
LIMIT = 2.0 + 6 * TIMEOUT + 2.0  # seconds, where many share two processors
AT_ONCE = 32


def flip(message: bytes, dice: random.Random) -> bytes:
    """Change a byte."""
    place = dice.randrange(len(message))
    changed = message[place] ^ (1 << dice.randrange(8))
    return message[:place] + bytes([changed]) + message[place + 1 :]


def shorten(message: bytes, dice: random.Random) -> bytes:
    """Take a part away, and say so in the length."""
    rest = message[: dice.randint(5, len(message))]
    return rest[:1] + struct.pack("!i", len(rest) - 1) + rest[5:]


def lie(message: bytes, dice: random.Random) -> bytes:
    """Claim another length."""
    length = dice.choice([0, 3, 4, 5, len(message), 30_000, 1 << 20, -1, (1 << 31) - 1])
    return message[:1] + struct.pack("!i", length) + message[5:]


def drop(message: bytes, dice: random.Random) -> bytes:
    return b""


def repeat(message: bytes, dice: random.Random) -> bytes:
    return message * dice.choice([2, 100])


def rename(message: bytes, dice: random.Random) -> bytes:
    """Make another kind of message of it."""
    return bytes([dice.choice(b"RKSZENTDCdcGHWtnsI123A")]) + message[1:]


def precede(message: bytes, dice: random.Random) -> bytes:
    """Say something else first."""
    stranger = dice.choice([b"Z\0\0\0\5I", b"C\0\0\0\7OK\0", b"c\0\0\0\4", b"N\0\0\0\5\0"])
    return stranger + message


MUTATIONS = (flip, shorten, lie, drop, repeat, rename, precede)


class Mutator:
    """Passes a conversation on, but for the message of one number, counted from 0."""

    def __init__(self, database: TestDatabase, number: int, mutation: Any, seed: int) -> None:
        self._database = database
        self._number = number
        self._mutation = mutation
        self._dice = random.Random(seed)
        self._links: set[asyncio.Task[Any]] = set()
        self.passed = 0  # on the longest connection

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _link(self, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._links.add(me)
        path = f"{self._database.host}/.s.PGSQL.{self._database.port}"
        server, upstream = await asyncio.open_unix_connection(path)
        ways = [
            asyncio.ensure_future(self._up(client, upstream)),
            asyncio.ensure_future(self._down(server, writer)),
        ]
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            upstream.transport.abort()  # at once: the rest may be cancelled
            writer.transport.abort()
            self._links.discard(me)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            for number in itertools.count():
                head = await reader.readexactly(5)
                (length,) = struct.unpack_from("!i", head, 1)
                message = head + await reader.readexactly(length - 4)
                if number == self._number:
                    message = self._mutation(message, self._dice)
                self.passed = max(self.passed, number + 1)
                writer.write(message)
                await writer.drain()


async def ask(database: TestDatabase, mutator: Mutator) -> Any:
    """Ask through the mutator; give the frame or the one error of ours."""
    started = time.monotonic()
    got: Any
    settings = settings_of(
        mutator.port,
        user=database.user,
        database=database.name,
        password=lambda: database.password,
    )
    async with Client() as client:
        await client.add(settings)
        try:
            got = await asyncio.wait_for(client.query(SQL, on="h"), timeout=10)
        except PgMagicError as error:
            got = error
    assert time.monotonic() - started < LIMIT + 2.0, "closing included"
    return got


async def test_a_message_that_was_changed_gives_one_error_or_rows(database: TestDatabase):
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context)))
    async with Mutator(database, -1, drop, 0) as honest:
        whole = await ask(database, honest)
    assert len(whole) == 10
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, mutation: Any) -> Any:
        async with turns, Mutator(database, number, mutation, seed=number) as mutator:
            return await ask(database, mutator)

    dice = random.Random(9)
    plans = [(n, each) for n in range(honest.passed) for each in dice.sample(MUTATIONS, 2)]
    got = await asyncio.gather(*itertools.starmap(one, plans))
    errors = [each for each in got if isinstance(each, PgMagicError)]
    assert len(got) == 2 * honest.passed > 100
    assert len(errors) > len(got) // 4
    assert told == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_changes_something(mutation):
    message = b"d" + struct.pack("!i", 12) + b"12345678"
    changed = [mutation(message, random.Random(seed)) for seed in range(20)]
    assert any(each != message for each in changed)
