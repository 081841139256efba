"""The tables that a statement reads by a bare name, and where a WITH for them has to stand.

Completion reads unfinished text and may guess; here the text is complete, and a name that is no
table must not be taken for one. Names with a schema, functions, columns, the WITH queries of the
statement's own and the tables that it changes are none of ours.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from pgmagic.language.sources import CHANGES, CLAUSES, SET_OPERATORS, key_at
from pgmagic.language.syntax import Item, tree

__all__ = ["Entrance", "Reference", "created", "entrance", "query_of", "references"]

QUERIES = frozenset({"select", "values", "table"})
BEGINS = frozenset({*QUERIES, *CHANGES, "with"})
# What makes a table, before the word TABLE or VIEW.
MAKING = frozenset(
    "create or replace global local temp temporary unlogged materialized recursive".split()
)
# Reserved words behind the tables of FROM.
ENDS_FROM = SET_OPERATORS | frozenset(
    "where group having window order limit offset fetch for returning".split()
)
BEFORE_NAME = frozenset({"only", "lateral"})


class Reference(NamedTuple):
    """A bare name that is read as a table, and the offset of its first character."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Where WITH queries can be added to a statement, as an offset into its text.

    `own` are the names of the statement's own WITH, which begins there, if there is one; each
    with its offset. `recursive` where that is WITH RECURSIVE.
    """

    offset: int
    merges: bool = False
    recursive: bool = False
    own: tuple[Reference, ...] = ()


def query_of(items: Sequence[Item]) -> Sequence[Item]:
    """Give the part of a statement that can have a WITH, all of it in most; () where none can.

    That is the query behind EXPLAIN, CREATE TABLE … AS, DECLARE … FOR and the like, and the one
    in the parentheses of COPY.
    """
    while items:
        match items[0].key:
            case "explain":
                items = items[_after_options(items) :]
            case "create":
                kind = next((i for i, item in enumerate(items) if item.key not in MAKING), 0)
                if key_at(items, kind) not in {"table", "view"}:
                    return ()
                items = _behind(items, "as")
            case "prepare":
                items = _behind(items, "as")
            case "declare":
                items = _behind(items, "for")
            case "copy":
                items = items[1].group or () if len(items) > 1 else ()
            case key if key in BEGINS or items[0].group:
                return items
            case _:
                return ()
    return ()


def entrance(query: Sequence[Item]) -> Entrance | None:
    """Find where a WITH for a query, as `query_of` gives it, has to stand."""
    # One in parentheses may have its WITH inside them, and can't have a second one in front. Of
    # the two sides of a UNION each may have its own.
    inner = query
    while inner and inner[0].group is not None and key_at(inner, 1) not in SET_OPERATORS:
        inner = inner[0].group
    if not inner:
        return None
    if inner[0].key != "with":
        return Entrance(offset=query[0].start)
    clause = _with_clause(inner, 0)
    if clause is None:
        return None
    return Entrance(
        offset=clause.first,
        merges=True,
        recursive=clause.recursive,
        own=tuple(Reference(query.name, query.offset) for query in clause.queries),
    )


def created(sql: str) -> tuple[str, ...]:
    """Name the table or view that a statement makes, where it says so without a schema."""
    name = _created(tree(sql))
    return () if name is None else (name,)


def _created(items: Sequence[Item]) -> str | None:
    kind = next((i for i, item in enumerate(items) if item.key not in MAKING), 0)
    at = kind + 1
    if key_at(items, kind) not in {"table", "view"}:
        into = _index_of(items, "into")
        if key_at(items, 0) not in {"select", "with"} or key_at(items, into - 1) in CHANGES:
            return None
        at = into + 1
        while key_at(items, at) in MAKING | {"table"}:
            at += 1
    elif key_at(items, 0) != "create":
        return None
    while key_at(items, at) in {"if", "not", "exists"}:
        at += 1
    return items[at].name if at < len(items) and key_at(items, at + 1) != "." else None


def references(items: Sequence[Item]) -> tuple[Reference, ...]:
    """Give every bare name that a query reads as a table, in order of the text."""
    found: list[Reference] = []
    waiting = [_Level(items, frozenset())]
    while waiting:
        for each in waiting.pop().walk():
            if isinstance(each, Reference):
                found.append(each)
            else:
                waiting.append(each)
    return tuple(sorted(found, key=lambda reference: reference.offset))


class _WithQuery(NamedTuple):
    name: str
    offset: int
    body: Sequence[Item]


@dataclass(frozen=True, slots=True)
class _WithClause:
    """`first` is the offset of the first name, `after` the index of what follows the clause."""

    queries: tuple[_WithQuery, ...]
    recursive: bool
    first: int
    after: int


@dataclass(slots=True)
class _Level:
    """A statement, or the inside of parentheses. `own` are the WITH queries in sight of it."""

    items: Sequence[Item]
    own: AbstractSet[str]
    joins: bool = False  # tables of FROM in parentheses: (a join b on …)
    _expects: bool = field(default=False, init=False)  # a table
    _listing: bool = field(default=False, init=False)  # the tables of FROM
    _queried: bool = field(default=False, init=False)  # FROM belongs to a query, not a function
    _using: bool = field(default=False, init=False)  # USING names tables, not columns of a join
    _merges: bool = field(default=False, init=False)  # WHEN ends its tables, and is no CASE's
    _brackets: int = field(default=0, init=False)

    def walk(self) -> "Iterator[Reference | _Level]":
        """Give the tables that are named here, and the parentheses in which to look on."""
        self._expects = self._listing = self.joins
        index = 0
        while index < len(self.items):
            item = self.items[index]
            before = key_at(self.items, index - 1)
            if item.key == "with" and before != ".":
                clause = _with_clause(self.items, index)
                if clause is not None:
                    yield from self._queries(clause)
                    index = clause.after
                    continue
            if self._expects and item.key not in BEFORE_NAME:
                self._expects = False
                if item.group is not None:
                    yield _Level(item.group, self.own, joins=not _is_query(item.group))
                    index += 1
                    continue
                if item.name is not None and item.key not in CLAUSES:
                    following = key_at(self.items, index + 1)
                    if following not in {".", "("} and item.name not in self.own:
                        yield Reference(item.name, item.start)
                    # ROWS FROM (…): that FROM is none
                    index += 2 if (item.key, following) == ("rows", "from") else 1
                    continue
            if item.group is not None:
                yield _Level(item.group, self.own)
            else:
                self._see(item.key, before, key_at(self.items, index + 1))
            index += 1

    def _queries(self, clause: _WithClause) -> "Iterator[_Level]":
        """Give the queries of a WITH, each with the names that it can see."""
        if clause.recursive:
            self.own = self.own | {query.name for query in clause.queries}
        for query in clause.queries:
            yield _Level(query.body, self.own)
            self.own = self.own | {query.name}

    def _see(self, key: str, before: str, following: str) -> None:
        """Take note of a keyword or a mark."""
        if before == ".":
            return  # whatever it is, it is a name
        match key:
            case "select" | "update":
                self._queried = True
            case "from" if before not in {"as", "distinct", "delete"} and self._queried:
                self._expects = self._listing = True
            case "delete" | "merge":
                self._queried = self._using = True
                self._merges |= key == "merge"
            case "when" if self._merges:
                self._listing = False
            case "using" if self._using:
                self._using = False
                self._expects = self._listing = True
            case "join" if self._listing:
                self._expects = True
            case "," if self._listing and not self._brackets:
                self._expects = True
            case "table" if before not in MAKING and (before != "as" or not self._queried):
                self._expects = True
            case "on" if following == "conflict":
                self._listing = False
            case "[" | "]":
                self._brackets += 1 if key == "[" else -1
            case _ if key in ENDS_FROM and before != "as":
                self._listing = False
                self._queried &= key not in SET_OPERATORS


def _with_clause(items: Sequence[Item], index: int) -> _WithClause | None:
    """Read `WITH [RECURSIVE] name [(columns)] AS [NOT MATERIALIZED] (query), …`."""
    index += 1
    recursive = key_at(items, index) == "recursive"
    index += recursive
    queries: list[_WithQuery] = []
    first = items[index].start if index < len(items) else -1
    while index < len(items) and items[index].name is not None:
        name, offset = items[index].name, items[index].start
        index += 2 if key_at(items, index + 1) == "(" else 1
        if key_at(items, index) != "as":
            break
        index += 1
        while key_at(items, index) in {"not", "materialized"}:
            index += 1
        body = items[index].group if index < len(items) else None
        if body is None:
            break
        assert name is not None
        queries.append(_WithQuery(name, offset, body))
        index += 1
        for clause, last in (("search", "set"), ("cycle", "using")):
            if key_at(items, index) == clause:
                index = _index_of(items, last, index) + 2
        if key_at(items, index) != ",":
            break
        index += 1
    return _WithClause(tuple(queries), recursive, first, index) if queries else None


def _is_query(items: Sequence[Item]) -> bool:
    """Whether parentheses in FROM hold a query; `((select …) union …)` does as well."""
    while items and items[0].group is not None:
        if key_at(items, 1) in SET_OPERATORS:
            return True
        if len(items) > 1 and items[1].key not in ENDS_FROM:
            return False  # ((select …) as a join b …)
        items = items[0].group
    return bool(items) and items[0].key in BEGINS


def _after_options(explain: Sequence[Item]) -> int:
    if len(explain) > 1 and (options := explain[1].group) is not None:
        return 1 if _is_query(options) else 2
    index = 1
    while key_at(explain, index) in {"analyze", "analyse", "verbose"}:
        index += 1
    return index


def _behind(items: Sequence[Item], key: str) -> Sequence[Item]:
    return items[_index_of(items, key) + 1 :]


def _index_of(items: Sequence[Item], key: str, start: int = 0) -> int:
    found = (i for i in range(start, len(items)) if items[i].key == key)
    return next(found, len(items))
