"""Stand between the wire and the driver: it gets nothing that `framing` refuses.

asyncpg makes its protocols itself; what it lets its caller choose is the event loop. The one given
to it is the real one, whose connections are watched.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from asyncpg.protocol import Protocol

from pgmagic.database.framing import Framing, ProtocolBroken

__all__ = ["GuardedLoop"]


class GuardedLoop:
    """An event loop whose connections to servers are read along with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(
        self, factory: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        transport, protocol = await self._loop.create_connection(
            lambda: guarded(factory()), *args, **kwargs
        )
        return GuardedTransport(transport), protocol

    async def create_unix_connection(
        self, factory: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        return await self._loop.create_unix_connection(lambda: guarded(factory()), *args, **kwargs)

    async def start_tls(self, transport: Any, *args: Any, **kwargs: Any) -> Any:
        plain = transport.itself if isinstance(transport, GuardedTransport) else transport
        secured = await self._loop.start_tls(plain, *args, **kwargs)
        return None if secured is None else GuardedTransport(secured)


class GuardedTransport:
    """A transport that guards the protocol it is handed over to, after TLS was negotiated."""

    def __init__(self, transport: Any) -> None:
        self.itself = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self.itself, name)

    def close(self) -> None:
        """Hang up at once: TLS would wait 30 seconds for a server to say good-bye as well."""
        self.itself.abort()  # asyncpg closes where it gives up, and has nothing left to send

    def set_protocol(self, protocol: Any) -> None:
        self.itself.set_protocol(guarded(protocol, self.itself))


def guarded(protocol: Any, transport: Any = None) -> Any:
    """Let `Framing` see all bytes before asyncpg's protocol does; others stay as they are.

    Where there is no `transport` yet, it is the one that the protocol is given.
    """
    if not isinstance(protocol, Protocol) or "data_received" in vars(protocol):
        return protocol
    watched: Any = protocol  # its methods are replaced
    connection_made, receive = watched.connection_made, watched.data_received
    framing, broken = Framing(), False

    def take_transport(given: Any) -> None:
        nonlocal transport
        transport = given
        connection_made(given)

    def data_received(data: bytes) -> None:
        nonlocal broken
        if broken:
            return
        try:
            framing.feed(data)
            receive(data)
        except Exception as error:  # of the driver's own, asyncio would print a traceback
            broken = True
            if not isinstance(error, ProtocolBroken):
                error = ProtocolBroken(f"the driver failed at it ({type(error).__name__})")
            watched.connection_lost(error)
            transport.abort()

    watched.framing = framing
    watched.connection_made = take_transport
    watched.data_received = data_received
    return watched
