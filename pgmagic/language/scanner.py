"""Cut SQL text into tokens, by the rules of psql.

The rules are those of `psqlscan.l` in PostgreSQL (PostgreSQL License): where strings, quoted
identifiers, dollar quotes and comments begin and end. Nothing is checked and nothing is lost: the
tokens, put end to end, are the text. A quote or a comment that is never closed reaches to the end.

No pattern has two ways to match the same characters, so time is linear in the length of the text.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

__all__ = ["INSIGNIFICANT", "PLACEHOLDER", "Token", "TokenKind", "tokens"]


class TokenKind(Enum):
    SPACE = "space"  # white space, or a comment from -- to the end of the line
    COMMENT = "comment"  # /* … */, nested
    STRING = "string"  # '…' E'…' B'…' X'…' U&'…'
    QUOTED = "quoted"  # "…" U&"…"
    DOLLAR = "dollar"  # $tag$…$tag$
    NUMBER = "number"
    PARAMETER = "parameter"  # $1
    WORD = "word"
    BACKSLASH = "backslash"
    PUNCTUATION = "punctuation"  # one of ( ) [ ] , ; .
    PLACEHOLDER = "placeholder"  # {path} {path:i} {path:l}
    BRACE = "brace"  # a { that begins no placeholder
    OTHER = "other"  # operators, and whatever is left


INSIGNIFICANT = (TokenKind.SPACE, TokenKind.COMMENT)  # few: quicker than a set


class Token(NamedTuple):
    """`text[start:stop]`, as offsets in characters."""

    kind: TokenKind
    start: int
    stop: int


BYTE_ORDER_MARK = "\ufeff"

# PostgreSQL takes every character beyond ASCII as a letter, even a no-break space.
LETTER = r"[A-Za-z_\x80-\U0010ffff]"
TAG = rf"{LETTER}[A-Za-z_0-9\x80-\U0010ffff]*+"
WORD = rf"{LETTER}[A-Za-z_0-9$\x80-\U0010ffff]*+"

# 'a' and 'b' are one string when only white space with a line break stands between them.
LINE_BREAK = r"(?:[ \t\f\v]++|--[^\n\r]*+)*[\n\r](?:[ \t\n\r\f\v]++|--[^\n\r]*+[\n\r])*"
PLAIN_PART = r"'[^']*+(?:'|\Z)"
PLAIN = rf"{PLAIN_PART}(?:(?:{LINE_BREAK})?{PLAIN_PART})*"
ESCAPED_PART = r"'(?:[^'\\]++|\\.)*(?:'|\\?\Z)"
ESCAPED = rf"{ESCAPED_PART}(?:(?:{LINE_BREAK})?{ESCAPED_PART})*"

NAME = r"[^\W\d]\w*+"
STEP = rf"""\.{NAME}|\[(?:-?[0-9]{{1,18}}|'[^'\\\n]*+'|"[^"\\\n]*+")\]"""
PLACEHOLDER = re.compile(rf"\{{(?P<path>{NAME}(?:{STEP})*)(?::(?P<spec>[il]))?\}}")


def _pattern(*, standard_strings: bool) -> re.Pattern[str]:
    string = PLAIN if standard_strings else ESCAPED
    alternatives = {
        TokenKind.SPACE: r"(?:[ \t\n\r\f\v]++|--[^\n\r]*+)+",
        TokenKind.PUNCTUATION: r"[()\[\],;.]",
        TokenKind.STRING: rf"[eE]{ESCAPED}|(?:[bBxX]|[uU]&){PLAIN}|{string}",
        TokenKind.QUOTED: r'(?:[uU]&)?"[^"]*+(?:"|\Z)',
        TokenKind.WORD: WORD,
        TokenKind.COMMENT: r"/\*",
        TokenKind.DOLLAR: rf"\$(?:{TAG})?\$",
        TokenKind.NUMBER: rf"[0-9]++(?:{WORD})?",
        TokenKind.PARAMETER: r"\$[0-9]++",
        TokenKind.BACKSLASH: r"\\",
        TokenKind.PLACEHOLDER: re.sub(r"\?P<\w+>", "?:", PLACEHOLDER.pattern),
        TokenKind.BRACE: r"\{",
        TokenKind.OTHER: r".",
    }
    return re.compile(
        "|".join(f"(?P<{kind.value}>{pattern})" for kind, pattern in alternatives.items()),
        re.DOTALL,
    )


STANDARD = _pattern(standard_strings=True)
BACKSLASHED = _pattern(standard_strings=False)
KINDS = {kind.value: kind for kind in TokenKind}
COMMENT_MARK = re.compile(r"/\*|\*/")


def tokens(
    text: str, *, standard_strings: bool = True, start: int = 0, stop: int | None = None
) -> Iterator[Token]:
    """Give the tokens of `text[start:stop]`, one after the other.

    `standard_strings` is the server's setting standard_conforming_strings: where it is off, a
    backslash escapes in every '…', not only in E'…'.
    """
    end = len(text) if stop is None else stop
    match = (STANDARD if standard_strings else BACKSLASHED).match
    if start == 0 and text.startswith(BYTE_ORDER_MARK) and end:
        yield Token(TokenKind.SPACE, 0, 1)
        start = 1
    while start < end:
        found = match(text, start, end)
        assert found is not None  # the last alternative takes any character
        kind, after = KINDS[found.lastgroup or ""], found.end()
        if kind is TokenKind.COMMENT:
            after = _end_of_comment(text, after, end)
        elif kind is TokenKind.DOLLAR:
            closing = text.find(found[0], after, end)
            after = end if closing < 0 else closing + len(found[0])
        yield Token(kind, start, after)
        start = after


def _end_of_comment(text: str, start: int, stop: int) -> int:
    depth = 1
    for mark in COMMENT_MARK.finditer(text, start, stop):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return stop
