"""Say what is valid in a cell, but hardly meant."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from pgmagic.excerpt import line_and_column
from pgmagic.language.scanner import INSIGNIFICANT, PLACEHOLDER, Token, TokenKind
from pgmagic.language.statement import Statement

__all__ = ["cautions"]

INVISIBLE = frozenset({"\u200b", "\u2060", "\ufeff"})


def cautions(
    statement: Statement, tokens: Sequence[Token], namespace: Mapping[str, object]
) -> Iterator[str]:
    """Give one line for each thing in a statement that hardly does what its author expects."""
    cell = statement.cell
    if "{" not in cell and cell.isascii():
        return  # as in nearly all cells
    arguments = dict(zip(statement.parameters, statement.arguments, strict=True))
    significant = [token for token in tokens if token.kind not in INSIGNIFICANT]
    previous = ["", "", ""]  # words, the nearest last
    for kind, start, stop in significant:
        text = cell[start:stop]
        if kind in (TokenKind.STRING, TokenKind.DOLLAR) and "{" in text:
            yield from _unbound(cell, kind, start, stop, namespace)
        elif kind is TokenKind.PLACEHOLDER and text[1:-1] in arguments:
            yield from _misplaced(cell, start, text, arguments[text[1:-1]], previous)
        elif kind is TokenKind.WORD and not text.isascii():
            yield from _invisible(cell, start, stop)
        previous = [*previous[1:], text.lower()]


def _unbound(
    cell: str, kind: TokenKind, start: int, stop: int, namespace: Mapping[str, object]
) -> Iterator[str]:
    for found in PLACEHOLDER.finditer(cell, start, stop):
        if re.split(r"[.\[]", found["path"])[0] not in namespace:
            continue
        if kind is TokenKind.STRING:
            advice = f"write '…' || {{{found['path']}}} || '…'"
        else:
            advice = (
                f"a body takes no parameters: set_config('my.value', {{{found['path']}}}, true) "
                "before it, current_setting('my.value') in it"
            )
        yield f"{_line(cell, found.start())}: {found[0]} in quotes stays as it is; {advice}"


def _misplaced(
    cell: str, start: int, placeholder: str, argument: object, previous: Sequence[str]
) -> Iterator[str]:
    if previous[-1] == "by" and previous[-2] in {"order", "group"}:
        yield (
            f"{_line(cell, start)}: {previous[-2].upper()} BY {placeholder} takes the value, one "
            f"constant for all rows; {placeholder[:-1]}:i}} names a column"
        )
    if previous[-1] == "(" and previous[-2] == "in" and isinstance(argument, list | tuple):
        operator = "<> all" if previous[-3] == "not" else "= any"
        yield (
            f"{_line(cell, start)}: {placeholder} is a list; write {operator}({placeholder}) "
            "instead of IN"
        )


def _invisible(cell: str, start: int, stop: int) -> Iterator[str]:
    for offset in range(start, stop):
        character = cell[offset]
        if character in INVISIBLE or (
            not character.isascii() and unicodedata.category(character) == "Zs"
        ):
            yield (
                f"{_line(cell, offset)}: PostgreSQL takes {unicodedata.name(character, 'U+FEFF')} "
                "for a letter; it hides in the name here"
            )
            return


def _line(cell: str, offset: int) -> str:
    return f"line {line_and_column(cell, offset)[0]}"
