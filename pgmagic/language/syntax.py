"""Text of SQL as a tree of names, marks and parentheses.

For completion, unfinished SQL is the rule, so nothing is ever wrong here.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pgmagic.language.scanner import INSIGNIFICANT, TokenKind, tokens

__all__ = ["CURSOR", "QUERY_STARTS", "VALUE", "Item", "Level", "Marked", "mark", "tree"]

CURSOR = "\0"
VALUE = "?"
LONGEST = 50_000  # characters of a cell that is read for a completion
QUERY_STARTS = frozenset({"select", "with", "values", "table", "insert", "update", "delete"})
INSIDE = frozenset({TokenKind.STRING, TokenKind.DOLLAR, TokenKind.COMMENT, TokenKind.SPACE})
REST_OF_WORD = re.compile(r"[\w$]*")
REST_OF_QUOTED = re.compile(r'\w*"')


@dataclass(frozen=True, slots=True)
class Item:
    """A word, a mark or a value; or, with a `group`, what stands in parentheses.

    `key` is a word in lower case, a mark itself, "?" for a value, "" for a quoted name and "(" for
    a group. `name` is the identifier as the server reads it, where this can be one. `start` is the
    offset of its first character, where it comes from a text.
    """

    key: str
    name: str | None = None
    group: "tuple[Item, ...] | None" = None
    start: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Level:
    """The inside of some parentheses, or a statement, and where in it the cursor stands."""

    items: Sequence[Item]
    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """The statement around a cursor.

    `levels` lead from the statement to the innermost parentheses around the cursor. `fragment` is
    what is typed of the word before the cursor; `closed` says that a quote follows the cursor that
    ends it. `variable` where the fragment stands in a brace, `command` where a backslash begins
    the statement.
    """

    fragment: str
    levels: tuple[Level, ...]
    closed: bool = False
    variable: bool = False
    command: bool = False


def mark(text: str, cursor: int) -> Marked | None:
    """Read the statement around `cursor`, an offset into `text`.

    Gives None where nothing can be completed: inside of a string, a comment or a number.
    """
    if len(text) > LONGEST:
        return None
    # One more letter shows what the cursor stands in: a word, a string, a comment.
    before = text[:cursor] + "x"
    found = [token for token in tokens(before) if token.kind is not TokenKind.SPACE]
    last = found[-1] if found else None
    if last is None or last.stop != len(before) or last.kind in INSIDE:
        return None
    if last.kind not in {TokenKind.WORD, TokenKind.QUOTED}:
        return None
    fragment = before[last.start : -1]
    if not fragment.startswith('"') and last.kind is TokenKind.QUOTED:
        return None  # U&"…"
    rest = (REST_OF_QUOTED if fragment.startswith('"') else REST_OF_WORD).match(text, cursor)
    previous = found[-2] if len(found) > 1 else None
    behind = list(_items(text, 0, last.start))
    start = max((i + 1 for i, item in enumerate(behind) if item.key == ";"), default=0)
    behind = behind[start:]
    ahead = []
    for item in _items(text, rest.end() if rest else cursor, len(text)):
        if item.key == ";":
            break
        ahead.append(item)
    return Marked(
        fragment=fragment,
        levels=_levels([*behind, Item(CURSOR), *ahead]),
        closed=bool(rest) and fragment.startswith('"'),
        variable=previous is not None
        and previous.kind is TokenKind.BRACE
        and previous.stop == last.start,
        command=bool(behind) and behind[0].key == "\\",
    )


def tree(text: str, *, standard_strings: bool = True) -> tuple[Item, ...]:
    """Read a whole text; each pair of parentheses becomes one item with a group."""
    open_groups: list[list[Item]] = [[]]
    starts: list[int] = []

    def close() -> None:
        group = tuple(open_groups.pop())
        open_groups[-1].append(Item("(", group=group, start=starts.pop()))

    for item in _items(text, 0, len(text), standard_strings=standard_strings):
        if item.key == "(":
            open_groups.append([])
            starts.append(item.start)
        elif item.key == ")" and starts:
            close()
        else:
            open_groups[-1].append(item)
    while starts:
        close()
    return tuple(open_groups[0])


def _items(text: str, start: int, stop: int, *, standard_strings: bool = True) -> Iterator[Item]:
    for kind, begin, end in tokens(text, standard_strings=standard_strings, start=start, stop=stop):
        written = text[begin:end]
        if kind in INSIGNIFICANT:
            continue
        if kind is TokenKind.WORD:
            yield Item(written.lower(), written.lower(), start=begin)
        elif kind is TokenKind.QUOTED and written.startswith('"'):
            name = written[1:].removesuffix('"').replace('""', '"')
            yield Item("", name, start=begin)
        elif kind in {TokenKind.PUNCTUATION, TokenKind.OTHER, TokenKind.BACKSLASH, TokenKind.BRACE}:
            yield Item(written, start=begin)
        else:
            yield Item(VALUE, start=begin)


@dataclass(slots=True)
class _Open:
    """Parentheses that are not closed yet, and where in them the cursor stands."""

    items: list[Item] = field(default_factory=list)
    cursor: int | None = None


def _levels(flat: Iterable[Item]) -> tuple[Level, ...]:
    """Nest what stands in parentheses; give the levels around the cursor, outermost first."""
    stack = [_Open()]
    inner: list[Level] = []  # the innermost first

    def close() -> None:
        done = stack.pop()
        if done.cursor is not None:
            inner.append(Level(done.items, done.cursor))
            stack[-1].cursor = len(stack[-1].items)
        stack[-1].items.append(Item("(", group=tuple(done.items)))

    for item in flat:
        if item.key == "(":
            stack.append(_Open())
        elif item.key == ")":
            if len(stack) > 1:
                close()
        else:
            if item.key == CURSOR:
                stack[-1].cursor = len(stack[-1].items)
            stack[-1].items.append(item)
    last = stack.pop()
    items, cursor = deque(last.items), last.cursor
    while stack:
        around = stack.pop()
        if items and items[0].key in QUERY_STARTS:
            if cursor is not None:
                inner.append(Level(tuple(items), cursor))
            around.items.append(Item("(", group=tuple(items)))
            cursor = around.cursor if cursor is None else len(around.items) - 1
            items = deque(around.items)
        else:  # select count( from t: what follows belongs to the statement around it
            cursor = around.cursor if cursor is None else len(around.items) + 1 + cursor
            items.appendleft(Item("("))
            items.extendleft(reversed(around.items))
    assert cursor is not None, "the cursor is one of the items"
    return (Level(tuple(items), cursor), *reversed(inner))
