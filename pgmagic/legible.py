"""Text of servers, made fit to be seen: nothing in it drives a terminal, nothing in it hides."""

__all__ = ["legible", "shape"]

MOST = 10_000  # characters of one text that are shown

# Letters and marks to Unicode, and yet nothing is drawn for them.
BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
_KEPT = frozenset("\n\t")


def legible(text: str) -> str:
    r"""Show as an escape, such as `\u202e`, what has no shape; lines and indents stay.

    That covers control characters (they drive terminals), bidirectional overrides (they reorder
    what is read) and zero-width characters (they tell two equal names apart). A text of more than
    10,000 characters says how many are left out.
    """
    left = len(text) - MOST
    if left > 0:
        text = f"{text[:MOST]} … ({left:,} more characters)"
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if each in _KEPT else shape(each) for each in text.replace("\r\n", "\n"))


def shape(character: str) -> str:
    """Give the character, or its escape where it has no shape."""
    if character.isprintable() and character not in BLANKS:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
