"""SELECTs that can be told to give only some of their rows: those from one table.

Only the text is looked at here; whether the rows stand for themselves, or were counted or sorted
on the way, is for the server to tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pgmagic.errors import CellError
from pgmagic.language.scanner import INSIGNIFICANT, Token, TokenKind, tokens
from pgmagic.language.statement import Statement

__all__ = ["Divisible", "divisible"]

NAMES = frozenset({TokenKind.WORD, TokenKind.QUOTED})
# Reserved words, so outside parentheses they are nothing else: what may stand behind WHERE.
FURTHER = frozenset(
    "group having window union intersect except order limit offset fetch for".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Divisible:
    """`SELECT … FROM table [WHERE condition]`.

    `head` is all before WHERE, `table` the table's name as written, `qualifier` what its columns
    are called by.
    """

    head: str
    condition: str
    table: str
    qualifier: str

    def part(self, predicate: str) -> str:
        """Give the statement for the rows of which a predicate holds."""
        # A line break ends a comment that the text may end with.
        if not self.condition:
            return f"{self.head}\nWHERE {predicate}"
        return f"{self.head}\nWHERE ({self.condition}\n) AND ({predicate})"


def divisible(statement: Statement) -> Divisible:
    """Take a SELECT apart. Raises `CellError` at what keeps it from being read in parts."""
    return _Parser(statement).parse()


class _Parser:
    """Goes over the tokens outside parentheses, one after the other."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._sql = statement.sql
        self._tokens = _outside_parentheses(self._sql)
        self._at = 0

    def parse(self) -> Divisible:
        if self._word(0) != "select":
            raise self._refusal(0)
        if self._word(1) == "distinct":
            raise self._refusal(1)
        self._at = self._from() + 1
        if self._word(self._at) == "only":
            self._at += 1
        first = self._at
        self._name()
        while self._text(self._at) == ".":
            self._at += 1
            self._name()
        table = self._sql[self._tokens[first].start : self._tokens[self._at - 1].stop]
        qualifier = self._text(self._at - 1)
        if self._text(self._at) == "*":
            self._at += 1
        if self._word(self._at) == "as":
            self._at += 1
            qualifier = self._name()
        elif self._at < len(self._tokens) and self._word(self._at) != "where":
            qualifier = self._name()
        head = self._sql[: self._tokens[self._at - 1].stop]
        return Divisible(head=head, condition=self._condition(), table=table, qualifier=qualifier)

    def _from(self) -> int:
        for index in range(1, len(self._tokens)):
            # a IS DISTINCT FROM b; a column may be called `from` by AS
            named = self._word(index - 1) in {"distinct", "as"} or self._text(index - 1) == "."
            if self._word(index) == "from" and not named:
                return index
        raise self._refusal(len(self._tokens) - 1)

    def _name(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at].kind not in NAMES:
            raise self._refusal(min(self._at, len(self._tokens) - 1))
        self._at += 1
        return self._text(self._at - 1)

    def _condition(self) -> str:
        if self._at == len(self._tokens):
            return ""
        if self._word(self._at) != "where":
            raise self._refusal(self._at)
        for index in range(self._at + 1, len(self._tokens)):
            if self._word(index) in FURTHER and self._text(index - 1) != ".":
                raise self._refusal(index)
        return self._sql[self._tokens[self._at].stop : self._tokens[-1].stop]

    def _text(self, index: int) -> str:
        if not 0 <= index < len(self._tokens):
            return ""
        _, start, stop = self._tokens[index]
        return self._sql[start:stop]

    def _word(self, index: int) -> str:
        """Give a keyword or a name in lower case, "" for anything else."""
        inside = index < len(self._tokens) and self._tokens[index].kind is TokenKind.WORD
        return self._text(index).lower() if inside else ""

    def _refusal(self, index: int) -> CellError:
        return CellError(
            "only SELECT … FROM one table [WHERE …] can be read in parts",
            cell=self._statement.cell,
            offset=self._statement.locate(self._tokens[index].start + 1),
        )


def _outside_parentheses(sql: str) -> Sequence[Token]:
    """Give the tokens that count; a pair of parentheses stands for all that is between them."""
    found, depth = [], 0
    for token in tokens(sql):
        if token.kind in INSIGNIFICANT:
            continue
        text = sql[token.start : token.stop]
        depth -= text == ")"
        if depth <= 0:
            found.append(token)
        depth += text == "("
    while len(found) > 1 and sql[found[-1].start : found[-1].stop] == ";":
        found.pop()
    return found
