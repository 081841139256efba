"""Write identifiers and literals, for the places where PostgreSQL takes no parameter."""

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from uuid import UUID

from pgmagic.language.jsontext import to_json
from pgmagic.language.values import Unsendable, plain

__all__ = ["identifier", "literal"]

NAME_MAX = 63  # bytes; the server would cut a longer name, and so name something else


def identifier(value: object) -> str:
    """Quote a name: `my"table` becomes `"my""table"`, `("s", "t")` becomes `"s"."t"`.

    Raises `Unsendable` for what is no name, is empty, or is longer than 63 bytes.
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
    """
    value = plain(value)
    parts = value if isinstance(value, list | tuple) else (value,)
    if not parts:
        raise Unsendable("a name has at least one part")
    return ".".join(_identifier(part) for part in parts)


def _identifier(name: object) -> str:
    if not isinstance(name, str):
        raise Unsendable(f"a name is a string, or several in a tuple, not {type(name).__name__}")
    if not name:
        raise Unsendable("a name can't be empty")
    if len(name.encode()) > NAME_MAX:
        raise Unsendable(f"a name has at most {NAME_MAX} bytes; the server would cut this one")
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Write a value as PostgreSQL reads it back, whatever its settings and locale are.

    Numbers, truth values and NULL stand bare, a list is `ARRAY[…]`, everything else is a quoted
    string with no type: write `{x:l}::date` where the place does not tell it.
    Raises `Unsendable` for what has no literal.
    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-CONSTANTS
    """
    return _literal(plain(value))


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else _quoted(_not_finite(value))
        case Decimal():
            return str(value) if value.is_finite() else _quoted(_not_finite(value))
        case str():
            return _quoted(value)
        case bytes():
            return _quoted(rf"\x{value.hex()}")
        case datetime() | date() | time():
            return _quoted(value.isoformat())
        case timedelta():
            return _quoted(interval(value))
        case UUID():
            return _quoted(str(value))
        case IPv4Address() | IPv4Interface() | IPv4Network():
            return _quoted(str(value))
        case IPv6Address() | IPv6Interface() | IPv6Network():
            return _quoted(str(value))
        case dict():
            return _quoted(to_json(value))
        case list() | tuple():
            return _array(value)
    raise Unsendable(f"a {type(value).__name__} has no literal")


def interval(value: timedelta) -> str:
    """Write an interval that means the same under every IntervalStyle: each part has a sign."""
    microseconds = value.seconds * 1_000_000 + value.microseconds
    return f"{value.days:+d} days {microseconds:+d} microseconds"


def _array(items: Sequence[object]) -> str:
    if not items:
        return "'{}'"
    return f"ARRAY[{', '.join(_literal(item) for item in items)}]"


def _quoted(text: str) -> str:
    body = text.replace("'", "''")
    if "\\" in body:
        # Read the same whatever standard_conforming_strings says.
        return "E'" + body.replace("\\", "\\\\") + "'"
    return f"'{body}'"


def _not_finite(value: float | Decimal) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
