"""A server that speaks PostgreSQL's protocol, and lies where it is told to.

    async with ScriptedServer({"copy": COPY_OUT + b"nonsense"}) as server:
        await server.ask()

Untouched it answers each statement with one row, 1. `startup`, `describe`, `execute`, `command`
and `copy` replace what it says at that point: bytes, or what gives an iterator of them, which may
have no end.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeAlias

from pgmagic.client import Client
from pgmagic.database.settings import DatabaseSettings
from tests.hostile import wire

__all__ = ["HONEST", "TIMEOUT", "Script", "ScriptedServer", "settings_of"]

TIMEOUT = 0.6  # seconds, for each thing that has a limit

Answer: TypeAlias = bytes | Callable[[], Iterator[bytes]]
Script: TypeAlias = Mapping[str, Answer]

INT4, NAME, TEXT_ARRAY = 23, 19, 1009
ONE = struct.pack("!i", 1)

HONEST: Script = {
    "startup": wire.greeting(),
    "describe": wire.PARSE_COMPLETE
    + wire.parameter_description()
    + wire.row_description(("one", INT4)),
    "execute": wire.BIND_COMPLETE + wire.command_complete("SELECT 0") + wire.ready(),
    "command": wire.command_complete("BEGIN") + wire.ready(b"T"),
    "copy": wire.COPY_OUT
    + wire.copy_data(wire.COPY_HEADER)
    + wire.copy_data(wire.copy_row(ONE))
    + wire.copy_data(wire.COPY_TRAILER)
    + wire.COPY_DONE
    + wire.command_complete("COPY 1")
    + wire.ready(b"T"),
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
        "password": lambda: "canary-of-hostile-servers",
    }
    place = {"name": "h", "host": "127.0.0.1", "port": port, "user": "u", "database": "d"}
    return DatabaseSettings(**(place | limits | changes))


class ScriptedServer:
    """Listens on a free port of 127.0.0.1 and says what the script says.

    `cut` closes each connection after so many bytes; `heard` is what clients said. `sent` counts
    the bytes of the longest connection.
    """

    def __init__(self, script: Script, *, cut: int | None = None) -> None:
        self.script = {**HONEST, **script}
        self.cut = cut
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

    async def ask(self, sql: str = "select 1 as one", **options: Any) -> Any:
        """Ask as a program would, with a client of its own. Raises what the client raises."""
        settings = {name: options.pop(name) for name in ("sslmode",) if name in options}
        async with Client() as client:
            await client.add(settings_of(self.port, **settings))
            client.max_result_bytes = 8 << 20
            return await client.query(sql, on="h", **options)

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
        (length,) = struct.unpack("!i", await self._reader.readexactly(4))
        startup = await self._reader.readexactly(max(0, length - 4))
        if startup.startswith(struct.pack("!i", 80877102)):
            return  # a request to cancel: it is not heard
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
                case b"Q" if b"TO STDOUT" in payload:
                    await self._say("copy")
                case b"Q":
                    await self._say("command")
                case b"X":
                    return

    async def _say(self, point: str) -> None:
        answer = self._server.script[point]
        for part in [answer] if isinstance(answer, bytes) else answer():
            await self._write(part)

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
