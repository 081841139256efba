"""What fits at a place in a statement: a table, an expression, what comes after one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from pgmagic.language.sources import CHANGES, CLAUSES, SET_OPERATORS, key_at
from pgmagic.language.syntax import VALUE, Item, Level

__all__ = ["Fits", "Place", "place"]


class Fits(Enum):
    """What can be written at the cursor."""

    STATEMENT = "a statement begins"
    QUERY = "a query begins, or an expression"
    RELATION = "a table"
    JOINED = "a table, after JOIN"
    EXPRESSION = "an expression"
    CONDITION = "an expression, after ON of a join"
    COLUMN = "a column of the table that the statement changes"
    SHARED = "a column that both tables of a join have: USING"
    TYPE = "a type"
    KEYWORD = "only a keyword: an expression or a table is complete"
    NOTHING = "a new name, which nobody can guess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the cursor stands. `qualifier` are the names before it that end in a dot.

    `clause` is the word that begins its clause, `previous` the word before it.
    """

    fits: Fits
    qualifier: tuple[str, ...] = ()
    clause: str = ""
    previous: str = ""
    statement: Sequence[Item] = field(default=(), repr=False)


RELATIONS = frozenset({"from", "join", "into", "update", "table", "truncate", "references", "only"})
EXPRESSIONS = frozenset(
    "select distinct all where and or not on having by returning when then else case between in "
    "like ilike similar limit offset values any some array filter over check default with "
    "lateral partition using interval escape symmetric call execute".split()
)
# Words after which another keyword has to come.
HALF = frozenset(
    "left right full inner cross outer natural order group insert delete create alter drop nulls "
    "partition is union intersect except do conflict matched materialized".split()
)
COLUMN_COMMANDS = frozenset({"column", "constraint"})
CLAUSE_WORDS = frozenset(
    "select from where on having by returning set values limit offset using into update join "
    "insert delete with window do".split()
)


def place(levels: Sequence[Level]) -> Place:
    """Say what fits where the innermost level has its cursor."""
    level = levels[-1]
    qualifier, at = _qualifier(level.items, level.cursor)
    statement = levels[0].items
    fits = _fits(levels, at)
    if qualifier and fits in {Fits.STATEMENT, Fits.KEYWORD, Fits.NOTHING}:
        fits = Fits.EXPRESSION
    return Place(
        fits=fits,
        qualifier=qualifier,
        clause=_clause(level.items, at),
        previous=key_at(level.items, at - 1),
        statement=statement,
    )


def _qualifier(items: Sequence[Item], cursor: int) -> tuple[tuple[str, ...], int]:
    """Read the names and dots before the cursor; give the index of the first as well."""
    parts: list[str] = []
    at = cursor
    while key_at(items, at - 1) == "." and at >= 2 and (name := items[at - 2].name) is not None:
        parts.append(name)
        at -= 2
    return tuple(reversed(parts)), at


def _fits(levels: Sequence[Level], at: int) -> Fits:
    items = levels[-1].items
    if at == 0 or items[at - 1].key == "(":
        return _first(*_opening(levels, at))
    previous = items[at - 1]
    key, before = previous.key, key_at(items, at - 2)
    if key == ",":
        return _after_comma(levels, at)
    if key == ":" and before == ":":
        return Fits.TYPE
    if key == "as":
        return Fits.TYPE if _is_cast(levels, at) else Fits.NOTHING
    if key == "set":
        changes = {"update", "insert", "merge"} & {item.key for item in items[:at]}
        return Fits.COLUMN if changes else Fits.NOTHING
    if key in COLUMN_COMMANDS or (key in {"add", "drop", "alter", "rename"} and at > 1):
        return Fits.COLUMN if key != "add" and before != "add" else Fits.NOTHING
    if key == "join":
        return Fits.JOINED
    if key == "on":
        return _after_on(items, at)
    if key == "from":
        return Fits.EXPRESSION if before == "distinct" else Fits.RELATION
    if key == "using" and {"delete", "merge"} & {item.key for item in items[:at]}:
        return Fits.RELATION
    if key == "update" and before in {"for", "key", "then", "do"}:
        return Fits.KEYWORD
    if key in RELATIONS:
        return Fits.NOTHING if before == "create" else Fits.RELATION
    if at == 1 and key in {"copy", "analyze", "vacuum", "lock", "cluster", "explain"}:
        return Fits.STATEMENT if key == "explain" else Fits.RELATION
    if key in SET_OPERATORS or (key == "all" and before in SET_OPERATORS):
        return Fits.QUERY
    if key in {"view", "sequence", "index"} and before in {"drop", "alter", "refresh"}:
        return Fits.RELATION
    if key in HALF:
        return Fits.KEYWORD
    if key in EXPRESSIONS:
        return Fits.NOTHING if key == "with" and at == 1 else Fits.EXPRESSION
    if key == "*" and before in {"select", ",", ".", "distinct", "all", "returning"}:
        return Fits.KEYWORD
    if previous.name is not None or previous.group is not None or key in {VALUE, "]", "."}:
        return Fits.KEYWORD
    return Fits.EXPRESSION  # after an operator


def _opening(levels: Sequence[Level], at: int) -> tuple[Sequence[Item], int]:
    """Find the parenthesis around an index: the items that it stands among, and where.

    One that is never closed stands in its level as a mark of its own. Gives -1 where there is none.
    """
    for index in range(at - 1, -1, -1):
        if levels[-1].items[index].key == "(" and levels[-1].items[index].group is None:
            return levels[-1].items, index
    if len(levels) > 1:
        return levels[-2].items, levels[-2].cursor
    return (), -1


def _first(items: Sequence[Item], at: int) -> Fits:
    """Say what fits at the beginning of a statement, or of the parentheses at an index."""
    if at < 0:
        return Fits.STATEMENT
    before, earlier = key_at(items, at - 1), key_at(items, at - 2)
    if before == "using" and "join" in {item.key for item in items[:at]}:
        return Fits.SHARED
    if before in {"as", "materialized", "from", "join", "exists", "all", "any", "some", "in"}:
        return Fits.QUERY
    if before == "conflict":
        return Fits.COLUMN
    named = at >= 1 and items[at - 1].name is not None and before not in CLAUSES
    if named and _names_columns(items, at):
        return Fits.COLUMN
    if before == "insert" and earlier == "then":
        return Fits.COLUMN
    return Fits.QUERY if not named else Fits.EXPRESSION


def _names_columns(items: Sequence[Item], at: int) -> bool:
    """Whether parentheses behind a name list columns: INSERT INTO t (, CREATE INDEX ON t ("""
    start = at - 1
    while key_at(items, start - 1) == "." and start >= 2:
        start -= 2
    before = key_at(items, start - 1)
    if before == "as":  # INSERT INTO t AS alias (
        return _names_columns(items, start - 1)
    keys = {item.key for item in items[:start]}
    if before in {"copy", "analyze", "vacuum"}:
        return start == 1
    return (
        before in {"into", "references"}
        or (before == "on" and "create" in keys)
        or (before == "using" and "index" in keys)  # CREATE INDEX … USING btree (
    )


def _after_comma(levels: Sequence[Level], at: int) -> Fits:
    items = levels[-1].items
    opening = _opening(levels, at)
    is_flat = opening[0] is items
    clause = _clause(items[opening[1] :] if is_flat else items, at - opening[1] * is_flat)
    if clause == "from" or (clause in {"using", "truncate"} and len(levels) == 1):
        return Fits.RELATION
    if clause == "set":
        return Fits.COLUMN
    if clause:
        return Fits.EXPRESSION
    if opening[1] >= 0:
        first = _first(*opening)
        return Fits.EXPRESSION if first is Fits.QUERY else first
    return (
        Fits.RELATION
        if key_at(items, 0) in {"table", "truncate", "lock", "vacuum"}
        else (Fits.EXPRESSION)
    )


def _after_on(items: Sequence[Item], at: int) -> Fits:
    keys = {item.key for item in items[:at]}
    if "join" in keys or "merge" in keys:
        return Fits.CONDITION
    if keys & {"create", "drop", "comment", "grant", "revoke"}:
        return Fits.RELATION
    return Fits.EXPRESSION


def _is_cast(levels: Sequence[Level], at: int) -> bool:
    items, opening = _opening(levels, at)
    return key_at(items, opening - 1) == "cast"


def _clause(items: Sequence[Item], at: int) -> str:
    """Give the word that begins the clause around an index."""
    for index in range(min(at, len(items)) - 1, -1, -1):
        key = items[index].key
        if key in CLAUSE_WORDS | CHANGES:
            if key == "from" and key_at(items, index - 1) == "distinct":
                continue
            return key
    return ""
