"""A server that speaks PostgreSQL's protocol, and lies where it is told to.

    async with ScriptedServer({"copy": COPY_OUT + b"nonsense"}) as server:
        await server.ask()

Untouched it answers `select 7 as one` with one row, 7. Each of `startup`, `describe`, `execute`,
`command` (a BEGIN), `probe` (whether there is COPY), `copy`, `done` (after the CopyDone of an
honest copy), `reset` (of a connection that goes back to its pool), `tls` (a wish for TLS), `hello`
(how the client begins it) and `cancel` (the CancelRequest of a second connection) replaces what it
says at that point: bytes, or what gives an iterator of them, which may have no end, and hangs up
where it raises EOFError.
"""

import asyncio
import contextlib
import re
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self, TypeAlias

import psutil

from pgmagic.client import Client
from pgmagic.columns import abilities
from pgmagic.database.settings import DatabaseSettings
from tests.hostile import wire

__all__ = [
    "CANARY",
    "HONEST",
    "TIMEOUT",
    "WANTS_CANCEL",
    "Answer",
    "Script",
    "ScriptedServer",
    "copied",
    "settings_of",
]

TIMEOUT = 0.6  # seconds, for each thing that has a limit
CANARY = "canary-of-hostile-servers"  # the password

Answer: TypeAlias = bytes | Callable[[], Iterator[bytes]]
Script: TypeAlias = Mapping[str, Answer]

INT4, NAME, TEXT_ARRAY = 23, 19, 1009
ONE = struct.pack("!i", 1)
WANTS_TLS, WANTS_CANCEL = struct.pack("!i", 80877103), struct.pack("!i", 80877102)
PROBE = abilities.PROBE.encode() + b"\0"
NUMBER = re.compile(rb"select (\d+) as one")


def copied(value: bytes) -> bytes:
    """Write a COPY of one value, up to its CopyDone."""
    rows = (wire.COPY_HEADER, wire.copy_row(value), wire.COPY_TRAILER)
    return wire.COPY_OUT + b"".join(map(wire.copy_data, rows)) + wire.COPY_DONE


HONEST: Script = {
    "startup": wire.greeting(),
    "describe": wire.PARSE_COMPLETE
    + wire.parameter_description()
    + wire.row_description(("one", INT4)),
    "execute": wire.BIND_COMPLETE + wire.command_complete("SELECT 0") + wire.ready(),
    "command": wire.command_complete("BEGIN") + wire.ready(b"T"),
    "probe": copied(ONE) + wire.command_complete("COPY 1") + wire.ready(),
    "done": wire.command_complete("COPY 1") + wire.ready(b"T"),
    "reset": wire.command_complete("DISCARD SEQUENCES") + wire.ready(),
    "tls": b"N",
    "hello": b"",
    "cancel": b"",
}
LIMITS = (
    wire.PARSE_COMPLETE
    + wire.parameter_description(TEXT_ARRAY, TEXT_ARRAY)
    + wire.row_description(("name", NAME))
)


def settings_of(port: int, **changes: Any) -> DatabaseSettings:
    """Say how to reach a server on this machine that nobody trusts."""
    limits: dict[str, Any] = {
        "connect_timeout": TIMEOUT,
        "acquire_timeout": 4 * TIMEOUT,  # a refused connection is tried again
        "command_timeout": TIMEOUT,
        "fail_max": 1000,
        "sslmode": "disable",
        "password": lambda: CANARY,
    }
    place = {"name": "h", "host": "127.0.0.1", "port": port, "user": "u", "database": "d"}
    return DatabaseSettings(**(place | limits | changes))


class ScriptedServer:
    """Listens on a free port of 127.0.0.1 and says what the script says.

    `cut` closes each connection after so many bytes; `secured` is for TLS, which begins where the
    script agrees to it; a `deaf` one reads nothing after that. `heard` is what clients said.
    `sent` counts the bytes of the longest connection.
    """

    def __init__(
        self,
        script: Script,
        *,
        cut: int | None = None,
        secured: ssl.SSLContext | None = None,
        deaf: bool = False,
    ) -> None:
        self.script = {**HONEST, **script}
        self.cut = cut
        self.secured = secured
        self.deaf = deaf
        self.heard = bytearray()
        self.sent = 0
        self._conversations: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for conversation in list(self._conversations):
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def let_nobody_in(self) -> None:
        """Refuse further connections."""
        self._server.close()

    async def until_deserted(self) -> None:
        """Wait until every client has hung up. Fails where one stays."""
        async with asyncio.timeout(5):
            while self._is_met() if self.deaf else self._conversations:
                await asyncio.sleep(0.01)

    def _is_met(self) -> bool:
        """Whether a client, which is in this process, has a socket open that leads here."""
        sockets = psutil.Process().net_connections("tcp4")
        return any(each.raddr and each.raddr.port == self.port for each in sockets)

    async def ask(self, sql: str = "select 1 as one", **settings: Any) -> Any:
        """Ask as a program would, with a client of its own. Raises what the client raises."""
        async with self.client(**settings) as client:
            return await client.query(sql, on="h")

    @contextlib.asynccontextmanager
    async def client(self, **settings: Any) -> AsyncIterator[Client]:
        """Give a client that knows it by the name of h."""
        async with Client() as client:
            await client.add(settings_of(self.port, **settings))
            client.max_result_bytes = 8 << 20
            yield client

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._conversations.add(me)
        conversation = _Conversation(self, reader, writer)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await conversation.go_on()
        finally:
            self._conversations.discard(me)
            self.sent = max(self.sent, conversation.sent)
            writer.transport.abort()


class _Conversation:
    def __init__(
        self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.sent = 0
        self._server = server
        self._reader = reader
        self._writer = writer

    async def go_on(self) -> None:
        startup = await self._hear_startup()
        if startup.startswith(WANTS_TLS):
            await self._agree(await self._say("tls"))
            startup = await self._hear_startup()
        if startup.startswith(WANTS_CANCEL):
            await self._say("cancel")
            await self._hear_out()
        if self._server.deaf:
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await self._say("startup")
        described = b""
        while True:
            kind = await self._reader.readexactly(1)
            (length,) = struct.unpack("!i", await self._reader.readexactly(4))
            payload = await self._reader.readexactly(length - 4)
            self._server.heard += kind + payload
            match kind:
                case b"P":
                    described = payload
                case b"H" if b"current_setting(name)" in described:
                    await self._write(LIMITS)
                case b"H":
                    await self._say("describe")
                case b"S":
                    await self._say("execute")
                case b"Q" if payload == PROBE:
                    await self._say("probe")
                case b"Q" if b"TO STDOUT" in payload and "copy" not in self._server.script:
                    found = NUMBER.search(payload)
                    await self._write(copied(struct.pack("!i", int(found[1]) if found else 1)))
                    await self._say("done")
                case b"Q" if b"TO STDOUT" in payload:
                    await self._say("copy")
                case b"Q" if b"reset all" in payload:
                    await self._say("reset")
                case b"Q":
                    await self._say("command")
                case b"X":
                    return

    async def _agree(self, said: bytes) -> None:
        """Begin TLS where that was said and can be; go on in clear where it was refused."""
        if said.startswith(b"S") and self._server.secured:
            await self._writer.start_tls(self._server.secured)
        elif said != b"N":
            self._server.heard += await self._reader.read(65_536)
            await self._say("hello")
            await self._hear_out()

    async def _hear_startup(self) -> bytes:
        (length,) = struct.unpack("!i", await self._reader.readexactly(4))
        startup = await self._reader.readexactly(max(0, length - 4))
        self._server.heard += startup
        return startup

    async def _hear_out(self) -> None:
        """Listen until the client hangs up, and hang up as well."""
        while data := await self._reader.read(65_536):
            self._server.heard += data
        raise EOFError

    async def _say(self, point: str) -> bytes:
        """Give the first part of what was said."""
        answer = self._server.script[point]
        first: bytes | None = None
        for part in [answer] if isinstance(answer, bytes) else answer():
            first = part if first is None else first
            await self._write(part)
        return first or b""

    async def _write(self, data: bytes) -> None:
        cut = self._server.cut
        if cut is not None and self.sent + len(data) >= cut:
            self._writer.write(data[: cut - self.sent])
            self.sent = cut
            await self._writer.drain()
            self._writer.close()
            raise EOFError
        self._writer.write(data)
        self.sent += len(data)
        await self._writer.drain()
