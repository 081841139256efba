"""Values of a statement's parameters as JSON, and back: each of the same type and value.

What JSON has itself stands there as it is. Everything else is an object of one key, the type:
`{"decimal": "1.10"}`, `{"date": "2013-07-01"}`.
"""

import ipaddress
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg

__all__ = ["from_json", "to_json"]

SAFE: Final = 2**53  # up to here every reader of JSON has whole numbers exact
ADDRESSES: Final = (
    ipaddress.IPv4Interface,  # before the addresses, which they are as well
    ipaddress.IPv6Interface,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)
SHAPES: Final = (
    asyncpg.Point,
    asyncpg.Box,
    asyncpg.LineSegment,
    asyncpg.Line,
    asyncpg.Circle,
)


def to_json(value: object) -> Any:
    """Write a value as `language.values.plain` gives it. Raises `TypeError` for any other."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= SAFE else {"int": hex(value)}
        case float():
            return value if abs(value) <= SAFE else {"float": repr(value)}
        case list():
            return [to_json(item) for item in value]
        case dict():  # pairs, because their order is sent as well
            return {"dict": [[key, to_json(item)] for key, item in value.items()]}
    for kind, name, write in _WRITERS:
        if isinstance(value, kind):
            return {name: write(value)}
    raise TypeError(f"no JSON is known for {type(value).__name__}")


def from_json(value: Any) -> object:
    """Read what `to_json` wrote. Raises `ValueError`."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    [(name, written)] = value.items()
    if name not in _READERS:
        raise ValueError(f"{name!r} is the type of no value")
    return _READERS[name](written)


def _tuple(value: Any) -> list[Any]:
    return [to_json(item) for item in value]


def _untuple(written: Any) -> tuple[Any, ...]:
    return tuple(from_json(item) for item in written)


def _shaper(kind: Any) -> Callable[[Any], Any]:
    return lambda written: kind(*_untuple(written))


def _duration(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _path(value: Any) -> list[Any]:
    return [value.is_closed, _tuple(value.points)]


def _unpath(written: Any) -> asyncpg.Path:
    closed, points = written
    return asyncpg.Path(*_untuple(points), is_closed=closed)


def _range(value: "asyncpg.Range[Any]") -> dict[str, Any]:
    if value.isempty:
        return {"empty": True}
    return {
        "lower": to_json(value.lower),
        "upper": to_json(value.upper),
        "lower_inc": value.lower_inc,
        "upper_inc": value.upper_inc,
    }


def _unrange(written: Any) -> "asyncpg.Range[Any]":
    if written.get("empty"):
        return asyncpg.Range(empty=True)
    return asyncpg.Range(
        from_json(written["lower"]),
        from_json(written["upper"]),
        lower_inc=written["lower_inc"],
        upper_inc=written["upper_inc"],
    )


def _bits(value: asyncpg.BitString) -> str:
    return value.as_string()


# The first that fits is taken, so a subtype comes before its type.
_WRITERS: Final[tuple[tuple[type, str, Callable[[Any], Any]], ...]] = (
    (bytes, "bytes", lambda value: b64encode(value).decode()),
    (Decimal, "decimal", str),
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (timedelta, "timedelta", _duration),
    (UUID, "uuid", str),
    *((kind, kind.__name__, str) for kind in ADDRESSES),
    (asyncpg.Polygon, "Polygon", lambda value: _tuple(value.points)),
    (asyncpg.Path, "Path", _path),
    *((kind, kind.__name__, _tuple) for kind in SHAPES),
    (asyncpg.BitString, "BitString", _bits),
    (asyncpg.Range, "Range", _range),
    (tuple, "tuple", _tuple),
)

_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": lambda written: int(written, 16),
    "float": float,
    "dict": lambda written: {key: from_json(item) for key, item in written},
    "bytes": b64decode,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda written: timedelta(*written),
    "uuid": UUID,
    **{kind.__name__: kind for kind in ADDRESSES},
    "Polygon": lambda written: asyncpg.Polygon(*_untuple(written)),
    "Path": _unpath,
    **{kind.__name__: _shaper(kind) for kind in SHAPES},
    "BitString": asyncpg.BitString,
    "Range": _unrange,
    "tuple": _untuple,
}
