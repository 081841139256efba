"""Text of users and servers, made safe to show: nothing in it acts, nothing in it hides."""

import re
from html import escape

from pgmagic.legible import shape

__all__ = ["escaped", "visible"]

_SPACE = re.compile(r"[ \t\r\n\f\v]+")


def visible(text: str, limit: int | None = None) -> str:
    r"""Put text on one line and show what has no shape as an escape, such as `\u202e`.

    That covers control characters (they drive terminals), bidirectional overrides (they reorder
    what is read) and zero-width characters (they tell two equal names apart). Text longer than
    `limit` characters ends in an ellipsis.
    """
    text = _SPACE.sub(" ", text).strip(" ")
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(shape(character) for character in text)


def escaped(text: str, limit: int | None = None) -> str:
    """Give `visible` text for HTML, in an element's content or in a quoted attribute."""
    return escape(visible(text, limit))
