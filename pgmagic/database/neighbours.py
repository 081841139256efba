"""Pools whose connections stand on one server share its places.

A server lets in `max_connections` and no more, whichever of its databases they are for: those
that are idle in one pool can keep another one out.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from pgmagic.database.connection import Connection
from pgmagic.database.endpoint import Address
from pgmagic.database.tls import is_local

__all__ = ["Neighbour", "Neighbours", "same_server"]

CLOSE_TIMEOUT = 2.0  # seconds to say good-bye


class Neighbour(Protocol):
    """The connections of one pool, as others on its server see them."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where they lead, nothing as long as that is not known."""

    @property
    def idle(self) -> int:
        """How many wait for somebody who needs them."""

    @property
    def busy(self) -> int:
        """How many are lent, being reset or being opened: sooner or later they are idle."""

    def longest_idle(self) -> Connection | None:
        """Give the one that nobody has needed for the longest time."""


class Neighbours:
    """The pools of one program, among which those on the same server find each other.

    Only connections that are idle are given up, one for each that is needed. Those who wait for
    one are woken in the order in which they came.
    """

    def __init__(self) -> None:
        self._pools: dict[Neighbour, asyncio.AbstractEventLoop] = {}
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._expected: list[Neighbour] = []  # those for whom a place is being made

    def join(self, pool: Neighbour) -> None:
        """Count a pool among those of the running loop."""
        self._pools[pool] = asyncio.get_running_loop()

    def leave(self, pool: Neighbour) -> None:
        self._pools.pop(pool, None)

    def stir(self) -> None:
        """Let those who wait look again: a connection came back, or is gone. From the loop."""
        for waiting in tuple(self._waiting):
            if not waiting.done():
                waiting.set_result(None)

    async def make_room(
        self, pool: Neighbour, *, beside: bool, timeout: float, may_wait: Callable[[], bool]
    ) -> bool:
        """Close an idle connection on the server of `pool`; False where that can't be.

        Waits `timeout` seconds at most for one that is busy now, unless `may_wait` objects. A pool
        uses its own connections first, but for one that is to stand `beside` them.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    if pool.idle and not beside:
                        return True  # it came back meanwhile
                    others = self._on_server_of(pool)
                    if idle := _longest_idle(others):
                        await self._give_up(idle, pool)
                        return True
                    busy = any(each.busy or each in self._expected for each in others)
                    if not busy or (pool.busy and not beside) or not may_wait():
                        return False
                    await self._change()
        return False

    async def _give_up(self, connection: Connection, pool: Neighbour) -> None:
        """Say good-bye, and wait until the server has closed: then the place is free."""
        connection.retired = True
        self._expected.append(pool)
        try:
            await connection.close(timeout=CLOSE_TIMEOUT)
        except Exception:
            connection.terminate()  # it does not answer: its place may stay taken for a while
        except BaseException:
            connection.terminate()
            raise
        finally:
            self._expected.remove(pool)

    def _on_server_of(self, pool: Neighbour) -> list[Neighbour]:
        loop = self._pools.get(pool)
        return [
            each
            for each, its_loop in self._pools.items()
            if its_loop is loop
            and any(same_server(one, other) for one in each.addresses for other in pool.addresses)
        ]

    async def _change(self) -> None:
        changed = asyncio.get_running_loop().create_future()
        self._waiting[changed] = None
        try:
            await changed
        finally:
            del self._waiting[changed]


def same_server(one: Address, other: Address) -> bool:
    """Say whether two addresses are most likely of one server.

    Two ways to this machine with the same port are: a server has its socket and TCP.
    """
    if one.port != other.port or (one.is_socket and other.is_socket):
        return one == other
    return one.host.lower() == other.host.lower() or (is_local(one.host) and is_local(other.host))


def _longest_idle(pools: Iterable[Neighbour]) -> Connection | None:
    idle = [connection for pool in pools if (connection := pool.longest_idle())]
    return min(idle, key=lambda connection: connection.idle_since or 0.0, default=None)
