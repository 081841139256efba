"""The proxies in a process of their own: what is counted in ours belongs to pgmagic alone."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

from tests.proxy import FaultProxy
from tests.servers import TestDatabase

__all__ = ["Proxies"]


class Proxies:
    """One proxy before each database, by name; `ports` are those that they listen on.

    Every command is done when the call returns. The process ends with ours, whatever happens.
    """

    def __init__(self, databases: Mapping[str, TestDatabase]) -> None:
        self._behind = {name: (each.host, each.port) for name, each in databases.items()}
        self._turn = asyncio.Lock()
        self.ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", __spec__.name, json.dumps(self._behind)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.ports = await self._answer()
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def set(self, database: str, **settings: Any) -> None:
        """Set attributes of a `FaultProxy`."""
        await self._tell(database, settings)

    async def reset(self, database: str, **settings: Any) -> None:
        """Reset all connections to a database, and then set attributes."""
        await self._tell(database, {"reset_all": True} | settings)

    async def _tell(self, database: str, what: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        async with self._turn:
            self._process.stdin.write(json.dumps([database, what]).encode() + b"\n")
            await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())


async def main(behind: Mapping[str, tuple[str, int]]) -> None:
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with AsyncExitStack() as stack:
        proxies = {
            name: await stack.enter_async_context(
                # It passes bytes only, and needs to know nobody's name.
                FaultProxy(TestDatabase(host=host, port=port, user="", password="", name=""))
            )
            for name, (host, port) in behind.items()
        }
        print(json.dumps({name: proxy.port for name, proxy in proxies.items()}), flush=True)
        while command := await commands.readline():
            name, settings = json.loads(command)
            if settings.pop("reset_all", False):
                proxies[name].reset_all()
            for setting, value in settings.items():
                setattr(proxies[name], setting, value)
            print("true", flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
