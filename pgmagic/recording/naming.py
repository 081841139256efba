"""Names of recordings, that tell what was asked and stay the same while that does."""

import re
from collections.abc import Sequence
from typing import Final

from pgmagic.language.scanner import TokenKind, tokens
from pgmagic.recording.question import Question

__all__ = ["name_of", "plain_name"]

DATABASES: Final = 3
WORDS: Final = 4
LONGEST: Final = 20  # characters of one word
DIGITS: Final = 8  # of the key
# Words that most queries share, and so tell nothing.
COMMON: Final = frozenset(
    "as by from where and or on in is not null with order group limit join left inner distinct "
    "case when then else end asc desc the a an int text count sum".split()
)
NOT_PLAIN: Final = re.compile(r"[^a-z0-9_]+")


def name_of(question: Question, occurrence: int) -> str:
    """Name a recording: `ewr-jfk-select-carrier-delay-3f2a1c9b`, from the second time on `…-2`.

    No literal of the SQL is in it, nor the place of the cell: another cell's change renames
    nothing.
    """
    words = [*_databases(question.targets), *_words(question), question.key[:DIGITS]]
    return "-".join(filter(None, words)) + (f"-{occurrence}" if occurrence > 1 else "")


def plain_name(text: str) -> str:
    """Write a word so that every file system takes it."""
    return NOT_PLAIN.sub("_", text.lower())[:LONGEST].strip("_") or "x"


def _databases(targets: Sequence[str]) -> list[str]:
    named = [plain_name(name) for name in targets[:DATABASES]]
    more = len(targets) - DATABASES
    return [*named, f"and{more}"] if more > 0 else named


def _words(question: Question) -> list[str]:
    found: list[str] = []
    for asked in question.statements:
        for kind, start, stop in tokens(asked.sql):
            word = plain_name(asked.sql[start:stop])
            if kind is TokenKind.WORD and word not in COMMON and word not in found and word != "x":
                found.append(word)
            if len(found) == WORDS:
                return found
    return found
