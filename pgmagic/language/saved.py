"""SELECTs under a name, for later cells to read like tables."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pgmagic.errors import CellError, QueryError
from pgmagic.language import backslash
from pgmagic.language.composing import SavedQuery
from pgmagic.language.keywords import NO_TABLE
from pgmagic.language.scanner import TokenKind, tokens
from pgmagic.language.statement import Statement
from pgmagic.language.statements import read
from pgmagic.language.suggest import did_you_mean, nearest

__all__ = ["SavedQueries", "SavedQuery"]

NAME = re.compile(r"[^\W\d]\w*\Z")
UNDEFINED_TABLE = "42P01"
LONGEST_NAME = 63  # bytes; the server cuts off the rest
KEPT = frozenset({"select", "values", "table"})


class SavedQueries(Mapping[str, SavedQuery]):
    """The saved queries of a notebook or a program, by name, in the order of their saving."""

    def __init__(self) -> None:
        self._queries: dict[str, SavedQuery] = {}

    def __getitem__(self, name: str) -> SavedQuery:
        return self._queries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)

    def __repr__(self) -> str:
        return f"<pgmagic.SavedQueries {', '.join(self) or 'none'}>"

    def save(self, name: str, sql: str, values: Mapping[str, Any] | None = None) -> SavedQuery:
        """Keep a SELECT under a name; nothing is sent. What had the name before is replaced.

        `values` has what `{name}` stands for: these values stay as they are now. Raises
        `CellError` for what is no single SELECT that only reads, for a name that can't be a
        table's, and for a query that would read itself.
        """
        name = _checked_name(name)
        query = SavedQuery(name=name, statement=_select(sql, values or {}))
        self._check_no_cycle(query)
        self._queries.pop(name, None)
        self._queries[name] = query
        return query

    def delete(self, name: str) -> SavedQuery:
        """Forget a saved query, and give it. Raises `CellError` where there is none."""
        return self._queries.pop(self.find(name).name)

    def find(self, name: str) -> SavedQuery:
        """Give a saved query. Raises `CellError`, which names the near one, where there is none."""
        found = self._queries.get(name.lower())
        if found is None:
            raise CellError(
                f"there is no saved query {name}{did_you_mean(name, self)}",
                hint="%pg_saved lists them" if self else "%%pg --save NAME keeps one",
            )
        return found

    def read_by(self, name: str) -> tuple[str, ...]:
        """Name the saved queries that a saved query reads itself."""
        names = dict.fromkeys(reference.name for reference in self._queries[name].reads)
        return tuple(other for other in names if other in self._queries)

    def readers(self, name: str) -> tuple[str, ...]:
        """Name the saved queries that read a table, or a saved query, of this name."""
        return tuple(
            query.name
            for query in self._queries.values()
            if any(reference.name == name for reference in query.reads)
        )

    def advise(self, error: Exception) -> None:
        """Where a server knows no such table, say which saved query may have been meant."""
        if not isinstance(error, QueryError) or error.sqlstate != UNDEFINED_TABLE:
            return
        if self and error.hint is None and error.cell is not None and error.position is not None:
            error.hint = self._advice(error.cell, error.position)

    def _advice(self, text: str, offset: int) -> str | None:
        for kind, start, stop in tokens(text):
            if stop <= offset:
                continue
            written = text[start:stop]
            if kind is not TokenKind.WORD:
                return None
            if written.lower() in self._queries:
                return f"{written} is a saved query: it can be read, and nothing else"
            like = nearest(written, self)
            return f"did you mean the saved query {like}?" if like else None
        return None

    def _check_no_cycle(self, query: SavedQuery) -> None:
        queries = self._queries | {query.name: query}
        for reference in query.reads:
            way = _way(reference.name, query.name, queries)
            if way is None:
                continue
            at = query.statement.spot(reference.offset + 1)
            raise CellError(
                f"{query.name} would read itself: {' → '.join((query.name, *way))}",
                cell=at.text,
                offset=at.offset,
                hint=f"a table {query.name} is read with its schema: public.{query.name}",
            )


def _way(start: str, goal: str, queries: Mapping[str, SavedQuery]) -> tuple[str, ...] | None:
    """Find how one saved query leads to another, by what each reads."""
    ways: dict[str, tuple[str, ...]] = {start: (start,)}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return ways[name]
        for reference in queries[name].reads if name in queries else ():
            if reference.name not in ways:
                ways[reference.name] = (*ways[name], reference.name)
                waiting.append(reference.name)
    return None


def _checked_name(name: str) -> str:
    folded = name.lower()
    if not NAME.match(folded):
        raise CellError(
            f"a saved query can't be called {name!r}: write letters, digits and _, as for a table"
        )
    if folded in NO_TABLE:
        raise CellError(f"a saved query can't be called {folded}: that is a word of SQL")
    if len(folded.encode()) > LONGEST_NAME:
        raise CellError(f"the name of a saved query takes {LONGEST_NAME} bytes at most")
    return folded


def _select(sql: str, values: Mapping[str, Any]) -> Statement:
    """Read the one SELECT that there is."""
    if backslash.is_command(sql):
        raise CellError("a saved query is a SELECT, and this is a command of psql")
    statements = read(sql, values).statements
    if not statements:
        raise CellError("there is no SELECT to save")
    statement = statements[0]
    if len(statements) > 1:
        raise CellError(
            f"a saved query is one SELECT, and here are {len(statements)} statements",
            cell=sql,
            offset=statements[1].start,
        )
    kind = statement.kind
    if kind.verb not in KEPT or not kind.rows or not kind.read:
        what = kind.verb.upper() if kind.verb not in KEPT else "one that writes or locks"
        raise CellError(
            f"a saved query is a SELECT that only reads, and this is {what or 'none'}",
            cell=sql,
            offset=statement.start,
        )
    _check_closed(statement)
    return replace(statement, arguments=copy.deepcopy(statement.arguments))


def _check_closed(statement: Statement) -> None:
    """Refuse what would not end where its parentheses end: an open quote, a stray parenthesis."""
    closed, depth = f"{statement.sql}\n)", 0
    for kind, start, stop in tokens(closed):
        if kind is TokenKind.PUNCTUATION:
            depth += {"(": 1, ")": -1}.get(closed[start], 0)
        if depth < 0:
            if stop == len(closed):  # ours
                return
            break
    raise CellError(
        "a quote, a comment or a parenthesis of this query is not closed, or not opened",
        cell=statement.cell,
        offset=statement.start,
    )
