"""Every write has a number, and what is said of it must agree with the table."""

from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING

from pgmagic.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    NotCommitted,
    PoolTimeout,
    QueryError,
)

if TYPE_CHECKING:
    import asyncpg

__all__ = ["TABLE", "Ledger", "Said", "said_of"]

# No key: a write that is sent twice has to be seen.
TABLE = "create table ledger (id int, part int, of int)"

FOUND = """
    select id, count(*) as rows, count(distinct part) as parts, max(of) as of
    from ledger group by id
"""


class Said(IntEnum):
    """What became of a write, by what pgmagic said."""

    NOTHING = 0  # it was never begun
    DONE = 1
    NOT_DONE = 2
    UNKNOWN = 3


class Ledger:
    """The writes of one database: their numbers, and what was said of each.

    A write puts as many rows as it says in `of` into the table, all or none.
    """

    def __init__(self) -> None:
        self._said = bytearray()  # one byte a write: an hour of them must not look like a leak

    def begin(self) -> int:
        """Give the number of a new write. Until something is said of it, it is unknown."""
        self._said.append(Said.UNKNOWN)
        return len(self._said) - 1

    def say(self, number: int, said: Said) -> None:
        self._said[number] = said

    def said(self, number: int) -> Said:
        return Said(self._said[number])

    def counts(self) -> Counter[Said]:
        """Count the writes by what was said of them."""
        return Counter({said: self._said.count(said) for said in Said if said in self._said})

    async def verify(self, connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
        """Compare with the table when all writes have ended; say what is wrong."""
        wrong, found = [], set()
        for number, rows, parts, of in await connection.fetch(FOUND):
            found.add(number)
            if rows > parts:
                wrong.append(f"write {number} came twice: {rows} rows of {of}")
            elif rows < of:
                wrong.append(f"write {number} came in part: {rows} rows of {of}")
            elif self._said[number] == Said.NOT_DONE:
                wrong.append(f"write {number} was reported as not done, and is there")
        wrong += [
            f"write {number} was reported as done, and is not there"
            for number, said in enumerate(self._said)
            if said == Said.DONE and number not in found
        ]
        return wrong


def said_of(error: BaseException) -> Said:
    """Say what an error means for the write that it came from, as the documentation has it."""
    match error:
        case ConnectionLost(sent=False) | CircuitOpen() | ConnectFailed() | PoolTimeout():
            return Said.NOT_DONE
        case QueryError() | NotCommitted():
            return Said.NOT_DONE
        case _:  # a connection lost while it ran, a time limit, a cancellation
            return Said.UNKNOWN
