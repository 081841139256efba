"""A TCP proxy before a server, for what goes wrong between two machines.

    async def test_something(database, fault_proxy):
        proxy = await fault_proxy(database)
        connection = await asyncpg.connect(proxy.dsn)
        proxy.blackhole = True

A setting holds from the moment it is made, for connections that are open as well.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self, TypeAlias

import pytest
import pytest_asyncio

from tests.servers import TestDatabase

if TYPE_CHECKING:
    import trustme

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
CHUNK = 16 * 1024
IN_FLIGHT = 64  # chunks on their way in one direction, where there is latency


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and passes bytes to a database, or does not.

    latency     seconds that each chunk is under way, in both directions; throughput is kept
    rate        bytes per second towards the client
    cut_after   bytes towards the client until its connection is reset
    blackhole   bytes are read and thrown away, and the connections stay open
    stall       nothing is read: buffers fill up, and writers wait
    refuse      new connections are reset at once
    no_copy     the server does not know the format that is asked of COPY, if that is binary

    With `tls` the proxy encrypts, on behalf of a server that can't. With `tcp` the server itself is
    reached over TCP, where it may know TLS, and not by its Unix socket.
    """

    def __init__(
        self, database: TestDatabase, *, tls: ssl.SSLContext | None = None, tcp: bool = False
    ) -> None:
        self.database = database
        self.latency = 0.0
        self.rate: float | None = None
        self.cut_after: int | None = None
        self.blackhole = False
        self.refuse = False
        self.no_copy = False
        self._forgets = 0
        self.accepted = 0  # connections so far; a cancel request is one of its own
        self.bytes_down = 0  # towards clients, so far
        self._tls = tls
        self._tcp = tcp
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def dsn(self) -> str:
        """A DSN of the database, by way of the proxy."""
        return self.database.tcp_dsn.replace(f":{self.database.port}/", f":{self.port}/")

    @property
    def stall(self) -> bool:
        return not self._flowing.is_set()

    @stall.setter
    def stall(self, stall: bool) -> None:
        (self._flowing.clear if stall else self._flowing.set)()

    def forget_all(self) -> None:
        """Swallow the bytes of all connections that are open, as a forgetful firewall does."""
        self._forgets += 1

    def reset_all(self) -> None:
        """Reset every connection that is open."""
        for client in self._links.values():
            _reset(client)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    # -- one connection

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refuse:
            _reset(client)
            return
        link = asyncio.current_task()
        assert link is not None
        self._links[link] = client
        try:
            # Left to streams, a cancelled handler would be logged as an error.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._serve(reader, client)
        finally:
            del self._links[link]
            await _close(client)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        first = await self._negotiate(reader, client)
        answers, upstream = await self._reach()
        upstream.write(first)
        directions = [
            asyncio.create_task(self._pump(reader, upstream)),
            asyncio.create_task(self._pump(answers, client, down=True)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            upstream.close()  # at once: the rest may be cancelled
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            await _close(upstream)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._tcp:
            return await asyncio.open_connection("127.0.0.1", self.database.port)
        path = f"{self.database.host}/.s.PGSQL.{self.database.port}"
        return await asyncio.open_unix_connection(path)

    async def _negotiate(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> bytes:
        """Answer a request for TLS ourselves; give what the server should see of it."""
        if self._tls is None:
            return b""
        first = await reader.readexactly(len(SSL_REQUEST))
        if first != SSL_REQUEST:
            return first
        client.write(b"S")
        await client.drain()
        await client.start_tls(self._tls)
        return b""

    # -- one direction

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool = False
    ) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        reading = asyncio.create_task(self._read(reader, chunks))
        forgets = self._forgets
        try:
            while chunk := await self._arrival(chunks):
                if self.blackhole or forgets < self._forgets:
                    continue
                if down and not self._pass_down(chunk, writer):
                    return
                if not down:
                    if self.no_copy:  # of the same length
                        chunk = chunk.replace(b"(FORMAT binary)", b"(FORMAT absent)")
                    writer.write(chunk)
                await writer.drain()
                if down and self.rate:
                    await asyncio.sleep(len(chunk) / self.rate)
        finally:
            reading.cancel()

    async def _read(
        self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        chunk = b"-"
        while chunk:
            await self._flowing.wait()
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = b""
            now = asyncio.get_running_loop().time()
            await chunks.put((now + self.latency, chunk))

    async def _arrival(self, chunks: asyncio.Queue[tuple[float, bytes]]) -> bytes:
        due, chunk = await chunks.get()
        delay = due - asyncio.get_running_loop().time()
        if delay > 0:
            await asyncio.sleep(delay)
        return chunk

    def _pass_down(self, chunk: bytes, client: asyncio.StreamWriter) -> bool:
        """Write towards the client; say whether the connection lives on."""
        cut = self.cut_after is not None and len(chunk) >= self.cut_after
        sent = chunk[: self.cut_after] if cut else chunk
        client.write(sent)
        self.bytes_down += len(sent)
        if cut:
            self.cut_after = None
            _reset(client)
        elif self.cut_after is not None:
            self.cut_after -= len(sent)
        return not cut


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a crashed machine or a firewall does."""
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        linger_for_no_time = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


StartProxy: TypeAlias = Callable[..., Awaitable[FaultProxy]]


@pytest_asyncio.fixture
async def fault_proxy() -> AsyncIterator[StartProxy]:
    """A factory: `await fault_proxy(database, tls=context)`; all end with the test."""
    async with AsyncExitStack() as stack:

        async def start(database: TestDatabase, **options: ssl.SSLContext) -> FaultProxy:
            return await stack.enter_async_context(FaultProxy(database, **options))

        yield start


@pytest.fixture(scope="session")
def certificate_authority() -> "trustme.CA":
    """An authority that only the tests trust: `.cert_pem.write_to_path(…)` for sslrootcert."""
    import trustme  # brings OpenSSL along, which few tests need

    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(certificate_authority: "trustme.CA") -> ssl.SSLContext:
    """What a server needs to prove that it is `localhost` and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate_authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context
