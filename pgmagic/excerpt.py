"""The lines of a text around one character, with a caret under it."""

from wcwidth import wcwidth

WIDTH = 100  # columns of source text shown at most


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Give the 1-based line and the 0-based column of a 0-based character offset."""
    offset = max(0, min(offset, len(text)))
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1)


def excerpt(text: str, offset: int, *, before: int = 2) -> list[str]:
    """Draw the line of a character, up to `before` lines above it, and a caret under it.

    `offset` counts characters from 0. Tabs are kept, wide characters take two columns,
    long lines are cut around the caret.
    """
    number, column = line_and_column(text, offset)
    lines = text.split("\n")
    first = max(1, number - before)
    gutter = len(str(number))
    drawn = []
    for n in range(first, number + 1):
        line = lines[n - 1].rstrip("\r")
        start, stop = _window(line, column if n == number else 0)
        cut = ("…" if start else "") + line[start:stop] + ("…" if stop < len(line) else "")
        drawn.append(f"  {n:>{gutter}} | {_printable(cut)}".rstrip())
        if n == number:
            lead = ("…" if start else "") + line[start:column]
            drawn.append(f"  {'':>{gutter}} | {_blank(lead)}^")
    return drawn


def _window(line: str, column: int) -> tuple[int, int]:
    if len(line) <= WIDTH:
        return 0, len(line)
    start = max(0, min(column - WIDTH // 2, len(line) - WIDTH))
    return start, start + WIDTH


def _printable(text: str) -> str:
    """Show control characters, so that no text of a cell can drive a terminal."""
    return "".join(
        c if c == "\t" or c.isprintable() or c == " " else f"\\x{ord(c):02x}" for c in text
    )


def _blank(text: str) -> str:
    """White space as wide as `_printable(text)` is shown."""
    blank = []
    for c in text:
        if c == "\t":
            blank.append("\t")
        elif c.isprintable():
            blank.append(" " * max(0, wcwidth(c)))
        else:
            blank.append(" " * len(_printable(c)))
    return "".join(blank)
