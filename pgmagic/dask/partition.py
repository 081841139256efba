"""What a task is given: which rows of which database, and all that goes for every part.

Both travel to workers and stand in the graph. They hold names of databases, never how to reach
one.
"""

from dataclasses import dataclass, field
from typing import Any

from pgmagic.columns import FixedFrame
from pgmagic.language.division import Divisible
from pgmagic.language.statement import Statement

__all__ = ["Partition", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One part: the rows of one database of which `predicate` holds, all where it is None.

    `rows` is about how many the planner expects, None where it was not asked. `begin` is the SQL
    that begins a transaction in the snapshot that is held of the database.
    """

    database: str
    predicate: str | None
    rows: int | None
    begin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What all parts of one frame share.

    `most` are the connections of all workers together to each database, None for as many as the
    pool of one may have. `timeout` is in seconds, for each part. `sandbox` are the databases that
    belong to the sandbox of the machine.
    """

    reading: str  # a name that no other reading has
    statement: Statement
    whole: Divisible | None
    frame: FixedFrame
    timeout: float | None
    most: int | None
    sandbox: frozenset[str]

    def __dask_tokenize__(self) -> Any:
        # Reading again is not the same: the rows may have changed.
        return "pgmagic", self.reading
