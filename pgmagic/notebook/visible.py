"""Text of users and servers, made safe to show: nothing in it acts, nothing in it hides."""

import re
from html import escape

__all__ = ["escaped", "visible"]

# Letters and marks to Unicode, and yet nothing is drawn for them.
BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"

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
    return "".join(_shape(character) for character in text)


def escaped(text: str, limit: int | None = None) -> str:
    """Give `visible` text for HTML, in an element's content or in a quoted attribute."""
    return escape(visible(text, limit))


def _shape(character: str) -> str:
    if character.isprintable() and character not in BLANKS:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
