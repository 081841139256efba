"""Read a cell: cut it into statements, say what each is, bind the notebook's values.

Statements are cut as psql cuts them: at every `;` outside quotes, comments, parentheses and the
BEGIN ATOMIC … END body of a function.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from pgmagic.errors import CellError
from pgmagic.language import backslash
from pgmagic.language.cautions import cautions
from pgmagic.language.classify import classify
from pgmagic.language.composing import SavedQuery, compose
from pgmagic.language.parameters import bind
from pgmagic.language.references import created
from pgmagic.language.scanner import INSIGNIFICANT, Token, TokenKind, tokens
from pgmagic.language.statement import Kind, Statement
from pgmagic.language.string_syntax import standard_strings_after

__all__ = ["Reading", "read", "read_each", "split"]

NOT_SENDABLE = re.compile(r"[\x00\ud800-\udfff]")
WARNINGS_MAX = 20  # or about so many: nobody reads more
ROUTINES = frozenset({"function", "procedure"})
REMEMBERED = 10_000  # characters of a cell: longer ones are seldom run again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A cell as far as it could be read before anything runs.

    `warnings` are for the user. `rest` is None, or the offset from which the cell has to be read
    on with `read_each` once these statements have run, because the last of them may change how
    strings are written, and its text does not say to what.
    """

    statements: tuple[Statement, ...]
    warnings: tuple[str, ...] = ()
    rest: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement's tokens, what kind of statement it is, and where the next one begins."""

    tokens: Sequence[Token]
    kind: Kind
    following: int


def read(
    cell: str,
    namespace: Mapping[str, object],
    *,
    standard_strings: bool = True,
    saved: Mapping[str, SavedQuery] | None = None,
) -> Reading:
    r"""Read a whole cell, before any of it runs.

    `standard_strings` is the server's standard_conforming_strings. A cell that is one of psql's
    describing commands, such as `\d flights`, is read as the query that answers it. A statement
    that reads one of the `saved` queries has it in front, as a WITH.
    Raises `CellError` at the character that can't be read, `MissingVariable` at a placeholder
    whose variable the notebook does not have.
    """
    _check_sendable(cell)
    if backslash.is_command(cell):
        return Reading(statements=(backslash.read(cell),))
    statements: list[Statement] = []
    warnings: dict[str, None] = {}  # each once, in order
    settings = [standard_strings]  # the last one counts for the next piece
    made: set[str] = set()  # tables, by what was read so far
    for piece in _pieces(cell, lambda: settings[-1]):
        statement = _statement(cell, piece, namespace)
        if saved:
            statements.append(compose(statement, saved, own=made, standard_strings=settings[-1]))
            made.update(created(statement.sql))
        else:
            statements.append(statement)
        if len(warnings) < WARNINGS_MAX:
            found = islice(cautions(statement, piece.tokens, namespace), WARNINGS_MAX)
            warnings |= dict.fromkeys(found)
        if statement.kind.string_syntax and piece.following < len(cell):
            after = standard_strings_after(statement.sql)
            if after is None:
                return Reading(
                    statements=tuple(statements), warnings=tuple(warnings), rest=piece.following
                )
            settings.append(after)
    return Reading(statements=tuple(statements), warnings=tuple(warnings))


def read_each(
    cell: str,
    namespace: Mapping[str, object],
    *,
    standard_strings: Callable[[], bool],
    start: int = 0,
) -> Iterator[Statement]:
    """Read a cell from `start` on, statement by statement, each when it is asked for.

    `standard_strings` is asked at the beginning of each: a statement that has run may have
    changed it. Raises as `read` does.
    """
    _check_sendable(cell)
    for piece in _pieces(cell, standard_strings, start):
        yield _statement(cell, piece, namespace)


def split(
    cell: str, standard_strings: Callable[[], bool] = lambda: True
) -> Iterator[tuple[int, int]]:
    """Give (start, stop) of each statement, as offsets in characters, without its `;`.

    What is only white space and comments is none. A comment before a statement belongs to it
    where it is a block comment. Raises `CellError` at a command of psql's.
    """
    _check_sendable(cell)
    for piece in _pieces(cell, standard_strings):
        yield piece.tokens[0].start, piece.tokens[-1].stop


def _pieces(cell: str, standard_strings: Callable[[], bool], start: int = 0) -> Iterator[Piece]:
    position = start
    read_piece = _piece if len(cell) <= REMEMBERED else _piece.__wrapped__
    while position < len(cell):
        piece = read_piece(cell, position, standard_strings())
        position = piece.following
        if any(token.kind not in INSIGNIFICANT for token in piece.tokens):
            yield piece


@lru_cache(maxsize=128)
def _piece(cell: str, start: int, standard_strings: bool) -> Piece:
    """Read up to the next `;` that ends a statement. Of the text alone, so it is remembered."""
    taken, following = _taken(cell, start, standard_strings)
    return Piece(taken, classify(cell, taken), following)


def _taken(cell: str, start: int, standard_strings: bool) -> tuple[Sequence[Token], int]:
    taken: list[Token] = []
    parentheses, body = 0, _Body()
    for token in tokens(cell, standard_strings=standard_strings, start=start):
        kind, begin, stop = token
        if kind is TokenKind.SPACE and not taken:
            continue
        if kind is TokenKind.BACKSLASH:
            raise backslash.refused(cell, begin)
        if kind is TokenKind.PUNCTUATION:
            character = cell[begin]
            if character == ";" and not parentheses and not body.depth:
                return _trimmed(cell, taken), stop
            parentheses = max(0, parentheses + (character == "(") - (character == ")"))
        elif kind is TokenKind.WORD:
            body.see(cell[begin:stop].lower(), parentheses)
        taken.append(token)
    return _trimmed(cell, taken), len(cell)


class _Body:
    """How deep we are in the SQL body of CREATE FUNCTION, where `;` ends no statement."""

    def __init__(self) -> None:
        self.depth = 0
        self._first: list[str] = []  # words of the statement
        self._previous = ""

    def see(self, word: str, parentheses: int) -> None:
        if len(self._first) < 4:
            self._first.append(word)
        if not parentheses and self._is_routine():
            opens = self._previous == "begin" if word == "atomic" else word == "case" and self.depth
            if opens:
                self.depth += 1
            elif word == "end" and self.depth:
                self.depth -= 1
        self._previous = word

    def _is_routine(self) -> bool:
        if self._first[:3] == ["create", "or", "replace"]:
            return not ROUTINES.isdisjoint(self._first[3:])
        return self._first[0] == "create" and not ROUTINES.isdisjoint(self._first[1:2])


def _trimmed(cell: str, taken: list[Token]) -> tuple[Token, ...]:
    """Drop white space at the end, but no comment."""
    if taken and taken[-1].kind is TokenKind.SPACE:
        last = taken.pop()
        written = cell[last.start : last.stop]
        if "--" in written:
            taken.append(last._replace(stop=last.start + len(written.rstrip(" \t\n\r\f\v"))))
    return tuple(taken)


def _statement(cell: str, piece: Piece, namespace: Mapping[str, object]) -> Statement:
    return bind(cell, piece.tokens, piece.kind, namespace)


def _check_sendable(cell: str) -> None:
    if found := NOT_SENDABLE.search(cell):
        raise CellError(
            f"PostgreSQL can't take the character U+{ord(found[0]):04X}",
            cell=cell,
            offset=found.start(),
        )
