"""One statement of a cell, ready to be sent."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Kind", "SavedText", "Spot", "Statement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the first keywords of a statement say about it.

    This is read from the text alone. The server knows better where rules, views or functions are
    involved, and it alone enforces anything.
    """

    verb: str
    """First keyword in lower case, of WITH the verb that follows it, "" where there is none."""

    rows: bool = False
    """Gives rows by its form."""

    ask: bool = False
    """Only the server can tell whether it gives rows: EXECUTE, CALL."""

    copyable: bool = False
    """`COPY (statement) TO STDOUT` can carry it."""

    copy_in: bool = False
    """COPY … FROM STDIN: waits for data that nobody sends."""

    copy_out: bool = False
    """COPY … TO STDOUT."""

    transaction: bool = False
    """Begins, ends or marks a transaction."""

    no_block: bool = False
    """Cannot run inside a transaction block."""

    unconditional: bool = False
    """UPDATE or DELETE with no WHERE at its own level, or TRUNCATE."""

    ordered: bool = False
    """Has ORDER BY at the top level."""

    read: bool = False
    """Reads only, as far as the text shows: no INTO, no row lock, no change in a WITH.

    A function that it calls may still write; this promises no more than a READ ONLY transaction
    around it would have to confirm.
    """

    evades_read_only: bool = False
    """A READ ONLY transaction would not stop it, or it could lift that mode.

    VACUUM, COPY to a file or a program, SET, RESET, transaction control and the like.
    """

    session_state: bool = False
    """Leaves something behind on its connection: SET, PREPARE, LISTEN, CREATE TEMPORARY …"""

    string_syntax: bool = False
    """Changes standard_conforming_strings, and so how the text after it is to be read."""


class SavedText(NamedTuple):
    """The text of a saved query that a statement takes in.

    `start` is where the offsets of its characters begin, beyond those of the cell.
    """

    name: str
    text: str
    start: int


class Spot(NamedTuple):
    """A character that the user wrote: in the cell, or in the saved query of that name."""

    text: str
    offset: int
    saved: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement with its values, and where it stands in the cell.

    `cell[start:stop]` is the statement as written. `sql` is what is sent: `$1` stands for the
    first of `arguments`, whose path in the cell is the first of `parameters`.

    `offsets` are pairs (offset in `sql`, offset in `cell`), ascending. Text from a pair with an
    even index on was copied character by character; text from a pair with an odd index on
    replaces the placeholder that starts there, or was put in before it.

    `saved` are the saved queries that were put in; beyond the cell, offsets count in their texts.
    `sought` is what a command such as `\\d flights` looks for, in words.
    """

    sql: str
    arguments: tuple[object, ...] = field(default=(), repr=False)
    parameters: tuple[str, ...] = ()
    cell: str
    start: int
    stop: int
    offsets: tuple[tuple[int, int], ...]
    kind: Kind
    saved: tuple[SavedText, ...] = ()
    sought: str | None = None

    def spot(self, position: int) -> Spot:
        """Find what the user wrote at a position that the server names.

        `position` counts characters of `sql` from 1. Inside a value it is the placeholder's brace;
        beyond the text it is the end.
        """
        at = max(0, min(position - 1, len(self.sql)))
        index = max(0, bisect_right(self.offsets, at, key=lambda pair: pair[0]) - 1)
        in_sql, written = self.offsets[index]
        is_placeholder = index % 2 == 1
        return self._spot(written, 0 if is_placeholder else at - in_sql)

    def locate(self, position: int) -> int:
        """Find a position as `spot` does, but always in the cell.

        Inside a saved query it is the beginning of the statement.
        """
        found = self.spot(position)
        return found.offset if found.saved is None else self.start

    def placeholder(self, number: int) -> Spot:
        """Find where `$number` comes from."""
        wanted = re.compile(rf"\s*\(?\${number}(?![0-9])")
        written = (text for sql, text in self.offsets[1::2] if wanted.match(self.sql, sql))
        return self._spot(next(written, self.start), 0)

    def _spot(self, written: int, further: int) -> Spot:
        for name, text, start in reversed(self.saved):
            if written >= start:
                return Spot(text, min(written - start + further, len(text)), name)
        return Spot(self.cell, min(written + further, len(self.cell)))
