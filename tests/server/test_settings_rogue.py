"""A server that cannot prove who it is gets no password."""

import asyncio
import struct
from contextlib import asynccontextmanager

import pytest
import trustme

from pgmagic.database.connecting import connect
from pgmagic.database.resolver import resolve
from pgmagic.database.settings import DatabaseSettings

PASSWORD = "hunter2"
ASK_IN_CLEAR = b"R" + struct.pack("!ii", 8, 3)  # AuthenticationCleartextPassword


@asynccontextmanager
async def rogue():
    """Refuse TLS, ask for the password in clear, and keep what is said."""
    heard = bytearray()
    conversations: set[asyncio.Task[None]] = set()

    async def listen(reader, writer):
        conversations.add(asyncio.current_task())
        try:
            while data := await reader.read(1024):
                heard.extend(data)
                wants_tls = data == struct.pack("!ii", 8, 80877103)
                writer.write(b"N" if wants_tls else ASK_IN_CLEAR)
                if PASSWORD.encode() in heard:
                    break
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard
        await asyncio.wait_for(asyncio.gather(*conversations), timeout=5)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_without_tls_it_hears_nothing_but_the_wish_for_it(mode, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "root.crt")
    async with rogue() as (port, heard):
        settings = DatabaseSettings(
            name="x",
            host="127.0.0.1",
            port=port,
            user="u",
            sslmode=mode,
            sslrootcert=str(tmp_path / "root.crt"),
        )
        with pytest.raises(ConnectionError, match="rejected SSL"):
            await connect(resolve(settings, environ={"PGPASSWORD": PASSWORD}))
    assert bytes(heard) == struct.pack("!ii", 8, 80877103)


async def test_the_test_would_notice_a_password():
    async with rogue() as (port, heard):
        settings = DatabaseSettings(
            name="x", host="127.0.0.1", port=port, user="u", sslmode="prefer", connect_timeout=5
        )
        with pytest.raises(Exception, match="connection"):
            await connect(resolve(settings, environ={"PGPASSWORD": PASSWORD}))
    assert PASSWORD.encode() in heard
