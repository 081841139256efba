"""Name a text of SQL without telling it."""

import hashlib
from collections.abc import Iterator, Sequence

from pgmagic.language.line import COMMANDS
from pgmagic.language.scanner import INSIGNIFICANT, TokenKind, tokens
from pgmagic.language.statement import Statement

__all__ = ["fingerprint", "verbs"]

LITERALS = frozenset({TokenKind.STRING, TokenKind.DOLLAR, TokenKind.NUMBER})


def fingerprint(sql: str) -> str:
    """Give twelve digits that are equal for texts that differ in literals, case and space only.

    No literal has a part in it, so that none can be guessed from it.
    """
    return hashlib.sha256(" ".join(_shape(sql)).encode()).hexdigest()[:12]


def verbs(statements: Sequence[Statement]) -> str:
    """Give the commands of statements: `select`, `create, insert`; `other` for what is none."""
    found = (each.kind.verb if each.kind.verb in COMMANDS else "other" for each in statements)
    return ", ".join(dict.fromkeys(found))


def _shape(sql: str) -> Iterator[str]:
    for kind, start, stop in tokens(sql):
        if kind in LITERALS:
            yield "?"
        elif kind not in INSIGNIFICANT:
            text = sql[start:stop]
            yield text if kind is TokenKind.QUOTED else text.lower()
