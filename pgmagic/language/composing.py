"""Put the saved queries that a statement reads before it, as WITH queries."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from pgmagic.errors import CellError
from pgmagic.language.classify import classify
from pgmagic.language.keywords import quoted
from pgmagic.language.references import Entrance, Reference, entrance, query_of, references
from pgmagic.language.scanner import TokenKind, tokens
from pgmagic.language.statement import SavedText, Statement
from pgmagic.language.syntax import Item, tree

__all__ = ["SavedQuery", "compose", "with_dependencies"]

VALUE = re.compile(r"(\s*)\$([0-9]+)(\s*)")


@dataclass(frozen=True)
class SavedQuery:
    """A SELECT that later statements can read like a table. Its values are those of its saving."""

    name: str
    statement: Statement

    @property
    def sql(self) -> str:
        """The query as it was written."""
        return self.statement.cell[self.statement.start : self.statement.stop]

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """What is sent, as a tree."""
        return tree(self.statement.sql)

    @cached_property
    def reads(self) -> tuple[Reference, ...]:
        """The tables that it reads by a bare name; offsets are those of what is sent."""
        return references(query_of(self.items))


def compose(
    statement: Statement,
    saved: Mapping[str, SavedQuery],
    *,
    own: AbstractSet[str] = frozenset(),
    standard_strings: bool = True,
) -> Statement:
    """Give the statement with those saved queries in front that it reads, and that these read.

    A statement that reads none comes back as it is. `own` are tables that the cell has made
    itself. Raises `CellError` where a saved query can't stand there, or would come to mean
    something else.
    """
    text = statement.sql.lower()
    if not any(name in text for name in saved):
        return statement
    items = tree(statement.sql, standard_strings=standard_strings)
    query = query_of(items)
    door = entrance(query)
    if door is None:
        return statement
    theirs = own | {reference.name for reference in door.own}
    read = [each for each in references(query) if each.name in saved and each.name not in theirs]
    if not read:
        return statement
    needed = with_dependencies([reference.name for reference in read], saved)
    _check(statement, items, read[0], door, needed, own, standard_strings)
    return _put(statement, door, needed, standard_strings)


def with_dependencies(
    names: Sequence[str], saved: Mapping[str, SavedQuery]
) -> tuple[SavedQuery, ...]:
    """Give saved queries and all that they read, each behind those it reads itself."""
    found: dict[str, SavedQuery] = {}
    waiting = list(reversed(dict.fromkeys(names)))
    while waiting:
        query = saved[waiting[-1]]
        left = [r.name for r in query.reads if r.name in saved and r.name not in found]
        if left:
            waiting += reversed(left)
        else:
            found.setdefault(query.name, query)
            waiting.pop()
    return tuple(found.values())


def _check(
    statement: Statement,
    items: Sequence[Item],
    first: Reference,
    door: Entrance,
    needed: Sequence[SavedQuery],
    own: AbstractSet[str],
    standard_strings: bool,
) -> None:
    """Refuse what would come out wrong, at the first use of a saved query, or at the WITH."""
    with_own = {reference.name: reference.offset for reference in door.own}
    for query in needed:
        if query.name in with_own or query.name in own:
            reader = next(q for q in needed if any(r.name == query.name for r in q.reads))
            raise _refused(
                statement,
                with_own.get(query.name, first.offset),
                f"the saved query {reader.name} reads the saved query {query.name}, "
                f"and here {query.name} is something else",
                "call it something else here",
            )
        hidden = [r.name for r in query.reads if r.name in with_own] if door.recursive else []
        if hidden:
            raise _refused(
                statement,
                with_own[hidden[0]],
                f"the saved query {query.name} reads the table {hidden[0]}, "
                "which this WITH RECURSIVE would hide from it",
                "call it something else here",
            )
        if not standard_strings and "\\" in query.statement.sql:
            raise _refused(
                statement,
                first.offset,
                f"the saved query {query.name} has a backslash, which means something else where "
                "standard_conforming_strings is off",
            )
        if query.statement.arguments and (why := _takes_no_values(statement, items)):
            raise _refused(
                statement,
                first.offset,
                f"{why}, and the saved query {query.name} has values",
                "save it with {name:l} for each: that becomes part of its text",
            )


def _takes_no_values(statement: Statement, items: Sequence[Item]) -> str | None:
    verb = statement.kind.verb
    if verb in {"copy", "prepare"}:
        return f"{verb.upper()} takes no values"
    if verb == "create" and any(item.key == "view" for item in items[:6]):
        return "a view takes no values"
    by_hand = (token.kind is TokenKind.PARAMETER for token in tokens(statement.sql))
    return "$1 stands for no value here" if not statement.arguments and any(by_hand) else None


def _refused(statement: Statement, at: int, message: str, hint: str | None = None) -> CellError:
    offset = statement.locate(at + 1)
    return CellError(message, cell=statement.cell, offset=offset, hint=hint)


class _Segment(NamedTuple):
    """A part of what is sent. `written` is the offset of what it was copied from, or replaces."""

    text: str
    written: int
    copied: bool


def _put(
    statement: Statement, door: Entrance, needed: Sequence[SavedQuery], standard_strings: bool
) -> Statement:
    """Add WITH queries at a statement's door."""
    segments, arguments = [], list(statement.arguments)
    parameters, texts = list(statement.parameters), list[SavedText]()
    start = len(statement.cell) + 1
    at = statement.locate(door.offset + 1)
    before = "with "
    if door.merges:
        before = "" if statement.sql[door.offset - 1].isspace() else " "
    for query in needed:
        segments.append(_Segment(f"{before}{quoted(query.name)} as (\n", at, False))
        for text, written, copied in _segments(query.statement):
            renumbered = text if copied else _renumbered(text, len(arguments))
            segments.append(_Segment(renumbered, written + start, copied))
        # A line break ends a comment that the query may end with.
        segments.append(_Segment("\n)", at, False))
        before = ", "
        arguments += query.statement.arguments
        parameters += query.statement.parameters
        texts.append(SavedText(query.name, query.statement.cell, start))
        start += len(query.statement.cell) + 1
    segments.append(_Segment(", " if door.merges else "\n", at, False))
    sql, offsets = _joined(_inserted(_segments(statement), door.offset, segments))
    scanned = list(tokens(sql, standard_strings=standard_strings))
    return replace(
        statement,
        sql=sql,
        offsets=offsets,
        arguments=tuple(arguments),
        parameters=tuple(parameters),
        saved=tuple(texts),
        kind=classify(sql, scanned),
    )


def _renumbered(placeholder: str, by: int) -> str:
    found = VALUE.fullmatch(placeholder)  # not an identifier or a literal
    return placeholder if found is None else f"{found[1]}${int(found[2]) + by}{found[3]}"


def _segments(statement: Statement) -> Iterator[_Segment]:
    bounds = [*statement.offsets, (len(statement.sql), -1)]
    for index, ((begin, written), (end, _)) in enumerate(pairwise(bounds)):
        yield _Segment(statement.sql[begin:end], written, index % 2 == 0)


def _inserted(segments: Iterable[_Segment], at: int, new: Iterable[_Segment]) -> Iterator[_Segment]:
    """Put segments where `at` characters of the others come before them."""
    left = at
    for segment in segments:
        text, written, copied = segment
        if not 0 <= left < len(text):
            yield segment
        else:
            cut = left if copied else 0
            if cut:
                yield _Segment(text[:cut], written, copied)
            yield from new
            yield _Segment(text[cut:], written + cut, copied)
        left -= len(text)


def _joined(segments: Iterable[_Segment]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Put segments end to end; give the text and the offsets of a `Statement`."""
    pieces: list[str] = []
    offsets: list[tuple[int, int]] = []
    length = 0
    for text, written, copied in segments:
        if copied != (len(offsets) % 2 == 0):
            offsets.append((length, written))
        offsets.append((length, written))
        pieces.append(text)
        length += len(text)
    return "".join(pieces), tuple(offsets)
