"""Fit values to the types that the server expects of them.

The driver encodes by the server's type alone and is generous: it would send 1.5 to an integer
column as 1, a moment to a date column without its time, a naive time in the client's zone. Here
what would change a value on its way is refused, or left to the server's own rules by a cast.
"""

import math
from collections.abc import Callable
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
from typing import TypeAlias, TypeVar
from uuid import UUID

from pgmagic.language.jsontext import to_json
from pgmagic.language.values import Unsendable

__all__ = ["INTEGERS", "TEXTS", "coerce", "element_of"]

INTEGERS = {
    "int2": range(-(2**15), 2**15),
    "int4": range(-(2**31), 2**31),
    "int8": range(-(2**63), 2**63),
    "oid": range(2**32),
    "xid": range(2**32),
    "cid": range(2**32),
    "xid8": range(2**64),
}
FLOATS = frozenset({"float4", "float8"})
TEXTS = frozenset({"text", "varchar", "bpchar", "name", "char", "citext", "xml", "unknown"})
JSONS = frozenset({"json", "jsonb"})
ADDRESSES = (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
WHOLE_DIGITS = 40  # more than any integer type has
NUMERIC_DIGITS = 131_072  # before the point
NUMERIC_SCALE = 16_383  # after it

T = TypeVar("T")
Coercion: TypeAlias = Callable[[object], object]


def coerce(value: object, type_name: str) -> object:
    """Give what to hand to the driver for a plain value and the type the server inferred.

    `type_name` is as the catalogue has it: `int4`, `timestamptz`, `text[]`. Types not known here
    are left to the driver. NaN becomes NULL except for float4 and float8. Raises `Unsendable`
    where the value would arrive as another one; the message shows no value.
    https://www.postgresql.org/docs/current/datatype.html
    """
    if value is None:
        return None
    if isinstance(value, float) and math.isnan(value) and type_name not in FLOATS:
        return None
    if (element := element_of(type_name)) is not None:
        return _array(value, element, type_name)
    if type_name in INTEGERS:
        return _integer(value, type_name)
    if type_name in TEXTS:
        return _only(value, type_name, str)
    coercion = COERCIONS.get(type_name)
    return value if coercion is None else coercion(value)


def element_of(type_name: str) -> str | None:
    """Give the element type of an array type, None for any other."""
    if type_name.endswith("[]"):
        return type_name.removesuffix("[]")
    return type_name[1:] if type_name.startswith("_") else None


def _array(value: object, element: str, type_name: str) -> object:
    if not isinstance(value, list | tuple):
        raise Unsendable(f"the server expects {type_name}, and this is no list")
    return [
        _array(item, element, type_name)
        if isinstance(item, list) and element not in JSONS
        else coerce(item, element)
        for item in value
    ]


def _integer(value: object, type_name: str) -> int:
    match value:
        case bool():
            raise _unfit(value, type_name, "write int(…) of it")
        case int():
            number = value
        case float() | Decimal() if _is_whole(value):
            number = int(value)
        case Decimal() if value.is_finite() and value.adjusted() >= WHOLE_DIGITS:
            raise Unsendable(f"it is out of the range of {type_name}")
        case float() | Decimal():
            raise _unfit(value, type_name, "a cast of it, such as {x}::numeric, compares exactly")
        case _:
            raise _unfit(value, type_name)
    if number not in INTEGERS[type_name]:
        raise Unsendable(f"it is out of the range of {type_name}")
    return number


def _is_whole(value: float | Decimal) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    if not value.is_finite() or value.adjusted() >= WHOLE_DIGITS:
        return False
    return value == value.to_integral_value()


def _float(value: object) -> float:
    match value:
        case bool():
            raise _unfit(value, "float8", "write int(…) of it")
        case float():
            return value
        case int() if abs(value) < 2**1023 and int(float(value)) == value:
            return float(value)
        case int():
            raise Unsendable("float8 can't hold all its digits; write {x}::numeric")
        case Decimal() if not value.is_finite() or math.isfinite(float(value)):
            return float(value)
    raise _unfit(value, "float8")


def _float4(value: object) -> float:
    number = _float(value)
    if math.isfinite(number) and abs(number) > 3.4028235e38:
        raise Unsendable("it is out of the range of float4")
    return number


def _numeric(value: object) -> Decimal:
    match value:
        case bool():
            raise _unfit(value, "numeric", "write int(…) of it")
        case Decimal():
            number = value
        case int():
            number = Decimal(value)
        case float():
            number = Decimal(repr(value))  # 0.1, and not all the digits of its binary form
        case _:
            raise _unfit(value, "numeric")
    if number.is_finite() and number:
        exponent = number.as_tuple().exponent
        scale = -exponent if isinstance(exponent, int) else 0
        if number.adjusted() >= NUMERIC_DIGITS or scale > NUMERIC_SCALE:
            raise Unsendable("it has more digits than numeric")
    return number


def _date(value: object) -> date:
    if isinstance(value, datetime):
        raise _unfit(value, "date", "write {x}::timestamp to keep the time, or x.date()")
    return _only(value, "date", date)


def _timestamp(value: object) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(_only(value, "timestamp", date), time())
    if value.tzinfo is not None:
        raise _unfit(value, "timestamp", "it has a time zone: write {x}::timestamptz")
    return value


def _timestamptz(value: object) -> datetime:
    moment = _only(value, "timestamptz", datetime)
    if moment.utcoffset() is None:
        raise _unfit(
            value, "timestamptz", "give it a time zone, or write {x}::timestamp for the session's"
        )
    return moment


def _time(value: object) -> time:
    clock = _only(value, "time", time)
    if clock.tzinfo is not None:
        raise _unfit(value, "time", "it has a time zone")
    return clock


def _timetz(value: object) -> time:
    clock = _only(value, "timetz", time)
    if clock.utcoffset() is None:
        raise _unfit(value, "timetz", "it has no fixed offset from UTC")
    return clock


def _json(value: object) -> str:
    # A string is JSON text, as it is for PostgreSQL; json.dumps() of it makes a JSON string.
    return value if isinstance(value, str) else to_json(value)


def _address(value: object) -> object:
    if isinstance(value, ADDRESSES):
        return value
    return _only(value, "inet", str)


def _uuid(value: object) -> object:
    return value if isinstance(value, UUID) else _only(value, "uuid", str)


def _interval(value: object) -> timedelta:
    return _only(value, "interval", timedelta)


def _bool(value: object) -> bool:
    return _only(value, "bool", bool)


def _bytea(value: object) -> bytes:
    return _only(value, "bytea", bytes)


def _only(value: object, type_name: str, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise _unfit(value, type_name)
    return value


def _unfit(value: object, type_name: str, advice: str = "") -> Unsendable:
    if isinstance(value, list | tuple) and not advice:
        advice = "a list goes with = any({x})"
    reason = f"the server expects {type_name}, and this is {_described(value)}"
    return Unsendable(f"{reason}; {advice}" if advice else reason)


def _described(value: object) -> str:
    if isinstance(value, float | Decimal) and math.isfinite(value) and not _is_whole(value):
        return f"a {type(value).__name__} with a fraction"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


COERCIONS: dict[str, Coercion] = {
    "float4": _float4,
    "float8": _float,
    "numeric": _numeric,
    "bool": _bool,
    "bytea": _bytea,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "time": _time,
    "timetz": _timetz,
    "interval": _interval,
    "json": _json,
    "jsonb": _json,
    "uuid": _uuid,
    "inet": _address,
    "cidr": _address,
}
