"""Rows as a table of plain text, for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from wcwidth import wcswidth, wcwidth

from pgmagic.notebook.visible import visible

__all__ = ["around_difference", "text_table"]

GAP = "  "
NARROWEST = 8  # columns of a terminal that a cut column keeps


def text_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, width: int
) -> list[str]:
    """Draw a table in lines at most `width` wide, as far as its columns can be cut.

    What acts in a terminal is shown as an escape; None as nothing.
    """
    texts = [list(columns)]
    for row in rows:
        cells = (row[name] for name in columns)
        texts.append(["" if cell is None else visible(str(cell)) for cell in cells])
    widths = [max(_width(line[i]) for line in texts) for i in range(len(columns))]
    spare = max(width, 1) - len(GAP) * (len(columns) - 1)
    while sum(widths) > spare and (widest := max(widths)) > NARROWEST:
        widths[widths.index(widest)] -= 1
    return [
        GAP.join(_padded(cell, wide) for cell, wide in zip(line, widths, strict=True)).rstrip()
        for line in texts
    ]


def around_difference(one: str, other: str, most: int) -> tuple[str, str]:
    """Cut two long texts so that the place where they begin to differ is in sight."""
    if max(len(one), len(other)) <= most:
        return one, other
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    start = max(0, same - most // 2)
    return _window(one, start, most), _window(other, start, most)


def _window(text: str, start: int, most: int) -> str:
    cut = text[start : start + most]
    return ("…" if start else "") + cut + ("…" if start + most < len(text) else "")


def _width(text: str) -> int:
    return max(0, wcswidth(text))


def _padded(text: str, width: int) -> str:
    """Fill up to a width, or cut down to it."""
    if _width(text) > width:
        room, cut = width - 1, ""
        for character in text:
            room -= max(0, wcwidth(character))
            if room < 0:
                break
            cut += character
        text = f"{cut}…"
    return text + " " * (width - _width(text))
