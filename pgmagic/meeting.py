"""Where the databases of one cell wait for each other."""

import asyncio
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from pgmagic.errors import NotCommitted

__all__ = ["Meeting"]


class Meeting:
    """Lets every database bring something, and go on when all that are left have brought it.

    A database that fails leaves, so that the others never wait for it. One that is late comes when
    it can, and meets what was brought before it.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._present = dict.fromkeys(self._names)
        self._late: set[str] = set()
        self._brought: dict[Hashable, dict[str, Any]] = {}
        self._complete: dict[Hashable, asyncio.Future[Mapping[str, Any]]] = {}

    async def arrive(self, item: Hashable, name: str, value: Any = None) -> Mapping[str, Any]:
        """Bring `value`; give what everybody brought, in the order in which they were named.

        Those who are late are given what has been brought by then.
        """
        if item not in self._complete:
            self._brought[item] = {}
            self._complete[item] = asyncio.get_running_loop().create_future()
        self._brought[item][name] = value
        self._look(item)
        # Shielded: one that is cancelled while it waits must not cancel the others' wait.
        complete = await asyncio.shield(self._complete[item])
        if name in complete:
            return complete
        brought = self._brought[item]
        return {each: brought[each] for each in self._names if each in brought}

    async def vote(self, name: str) -> None:
        """Go on only where every database has come this far.

        Raises `NotCommitted`, which names those that failed.
        """
        voters = await self.arrive("commit", name)
        if failed := [each for each in self._names if each not in voters]:
            raise NotCommitted(f"rolled back, because {', '.join(failed)} failed", database=name)

    def be_late(self, name: str) -> None:
        """Let the others go on: what they hold is what this database waits for."""
        self._late.add(name)
        for item in self._complete:
            self._look(item)

    def leave(self, name: str) -> None:
        """Go without waiting for anybody: this database failed, or is done."""
        if name in self._present:
            del self._present[name]
            for item in self._complete:
                self._look(item)

    def _look(self, item: Hashable) -> None:
        brought, complete = self._brought[item], self._complete[item]
        if not complete.done() and brought.keys() >= self._present.keys() - self._late:
            # Fixed here, once, so that all decide on the same.
            complete.set_result({name: brought[name] for name in self._present if name in brought})
