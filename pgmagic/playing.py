"""Let a client know the databases of the sandbox."""

from functools import partial
from typing import TYPE_CHECKING

from pgmagic.database.settings import DatabaseSettings
from pgmagic.pools import Pools

if TYPE_CHECKING:
    from pgmagic.sandbox.databases import Sandbox

__all__ = ["add_sandbox"]


async def add_sandbox(client: Pools, sandbox: "Sandbox") -> None:
    """Add the databases of servers that run, and the group `@sandbox` of all of them."""
    for name, address in sandbox.databases.items():
        await client.add(
            DatabaseSettings(
                name=name,
                host=address.host,
                port=address.port,
                user=address.user,
                database=address.database,
                password=partial(getattr, address, "password"),
            )
        )
    client.groups["sandbox"] = tuple(sandbox.databases)
