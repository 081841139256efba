"""Where the databases of one cell wait for each other."""

import asyncio
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

__all__ = ["Meeting"]


class Meeting:
    """Lets every database bring something, and go on when all that are left have brought it.

    A database that fails leaves, so that the others never wait for it.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._present = dict.fromkeys(names)
        self._brought: dict[Hashable, dict[str, Any]] = {}
        self._complete: dict[Hashable, asyncio.Event] = {}
        self.left: list[str] = []

    async def arrive(self, item: Hashable, name: str, value: Any = None) -> Mapping[str, Any]:
        """Bring `value`; give what everybody brought, in the order in which they were named."""
        brought = self._brought.setdefault(item, {})
        complete = self._complete.setdefault(item, asyncio.Event())
        brought[name] = value
        self._look(item)
        await complete.wait()
        return {present: brought[present] for present in self._present if present in brought}

    def leave(self, name: str) -> None:
        """Go without waiting for anybody: this database failed."""
        if name in self._present:
            del self._present[name]
            self.left.append(name)
            for item in self._complete:
                self._look(item)

    def _look(self, item: Hashable) -> None:
        if self._brought[item].keys() >= self._present.keys():
            self._complete[item].set()
