"""What a worker has at hand, and how it compares what came with what must come.

The rows to compare with are made by Python, and not by a query.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from pgmagic import Client
from tests.soak.ledger import Ledger
from tests.soak.schedule import Job

__all__ = ["FACTS", "Cell", "Desk", "Wrong", "expect", "expect_frame", "facts", "marked"]

ROWS = 10_000  # of the table that is read
FACTS = "create table facts (n int primary key, place text, v text, x float8, maybe int)"


class Wrong(Exception):
    """A result that is not what it must be."""


@dataclass(slots=True, kw_only=True)
class Desk:
    """What one worker has at hand; `kept` is what it left in its session on each database."""

    pg: Client
    ledgers: Mapping[str, Ledger]
    facts: Mapping[str, pd.DataFrame]
    folder: Path
    session: str
    kept: dict[str, str] = field(default_factory=dict)


Cell: TypeAlias = Callable[[Desk, Job], Awaitable[None]]


def facts(database: str) -> pd.DataFrame:
    """Make the rows of the table `facts`, as they are to come back."""
    numbers = range(ROWS)
    return pd.DataFrame(
        {
            "n": pd.array(numbers, dtype="int32"),
            "place": pd.array([database] * ROWS, dtype="str"),
            "v": pd.array(
                [hashlib.md5(f"{database} {n}".encode()).hexdigest() for n in numbers], dtype="str"
            ),
            "x": [n / 7 for n in numbers],
            "maybe": pd.array([None if n % 5 == 0 else -n for n in numbers], dtype="Int32"),
        }
    )


def marked(job: Job, sql: str) -> str:
    """Begin with the nonce, by which the running query is found in the statistics."""
    return f"/* {job.nonce} */ {sql}"


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {str(found)[:200]} and not {str(wanted)[:200]}")


def expect_frame(found: pd.DataFrame, wanted: pd.DataFrame, what: str) -> None:
    try:
        pd.testing.assert_frame_equal(found, wanted)
    except AssertionError as difference:
        raise Wrong(f"{what}: {difference}") from None
