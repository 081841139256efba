"""What a task is given: which rows of which database, and all that goes for every part.

Both travel to workers and stand in the graph. They hold names of databases, never how to reach
one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgmagic.columns import FixedFrame
from pgmagic.database.borrowed import BorrowedSnapshot
from pgmagic.language.division import Divisible
from pgmagic.language.statement import Statement

__all__ = ["Partition", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One part: the rows of one database of which `predicate` holds, all where it is None.

    `rows` is about how many the planner expects, None where it was not asked.
    """

    database: str
    predicate: str | None
    rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What all parts of one frame share.

    `most` are the connections of all workers together to each database, None for as many as the
    pool of one may have. `timeout` is in seconds, for each part. `sandbox` are the databases that
    belong to the sandbox of the machine, `snapshots` are what databases are held at.
    """

    reading: str  # a name that no other reading has
    statement: Statement
    whole: Divisible | None
    frame: FixedFrame
    timeout: float | None
    most: int | None
    sandbox: frozenset[str]
    snapshots: Mapping[str, BorrowedSnapshot] = field(default_factory=dict)

    def __dask_tokenize__(self) -> Any:
        # Reading again is not the same: the rows may have changed.
        return "pgmagic", self.reading
