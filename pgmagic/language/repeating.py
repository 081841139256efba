"""Repeat what somebody wrote only where it can hold no password."""

import re

__all__ = ["may_hold_secret", "repeated"]

# What a connection string has between its parts is missing here, so that no part of one fits.
_PLAIN = re.compile(r"@?[\w.,;()*?\[\]!'+ -]{1,40}\Z")
_SECRET = re.compile(r"\w+://|[^\s:@]+:[^\s@]*@|pass|pwd|secret|token", re.IGNORECASE)


def repeated(text: object, instead: str = "what is written there") -> str:
    """Quote a word or a number, or say `instead`: a part of a connection string may be secret."""
    if isinstance(text, str):
        return repr(text) if _PLAIN.match(text) else instead
    return repr(text) if isinstance(text, int | float | None) else instead


def may_hold_secret(line: str) -> bool:
    """Say whether a line looks as if it held a connection string or a password."""
    return _SECRET.search(line) is not None
