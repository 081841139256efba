"""The text of single values, as PostgreSQL's output functions write it."""

import socket
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import numpy as np

from pgmagic.columns import pgtypes as t
from pgmagic.columns.copybinary import DecodeError
from pgmagic.columns.numeric import to_decimal
from pgmagic.columns.text import date_text, interval_text, time_text, timestamp_text
from pgmagic.outcome import PgType

__all__ = ["text_of"]

_interval = struct.Struct(">qii")
IPV4, IPV6 = 2, 3  # address families on the wire, on every platform


def text_of(type_: PgType) -> Callable[[Any], str]:
    """Give the function that writes a value of a type, as it lies in memory, as text."""
    return _WRITERS.get(type_.oid, str)


def _numeric(value: bytes) -> str:
    decimal = to_decimal(value)
    return format(decimal, "f") if decimal.is_finite() else str(decimal)


def _float(value: float, shortest: str, precision: int) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(shortest).normalize().as_tuple()
    assert isinstance(exponent, int)
    minus = "-" if sign else ""
    if value == 0:
        return minus + "0"
    power = len(digits) + exponent - 1
    if -4 <= power < precision:
        return format(Decimal((sign, digits, exponent)), "f")
    text = "".join(map(str, digits))
    point = "." if len(text) > 1 else ""
    return f"{minus}{text[0]}{point}{text[1:]}e{power:+03d}"


def _interval_text(value: bytes) -> str:
    microseconds, days, months = _interval.unpack(value)
    return interval_text(months, days, microseconds)


def _uuid(value: bytes) -> str:
    digits = value.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _char(value: bytes) -> str:
    """Write the one byte of a "char": nothing for zero, an octal escape beyond ASCII."""
    if len(value) != 1:
        raise DecodeError(f'a "char" of {len(value)} bytes')
    byte = value[0]
    return "" if byte == 0 else chr(byte) if byte < 0x80 else f"\\{byte:03o}"


def _inet(value: bytes) -> str:
    """Write an address; inet leaves out the mask of a single host, cidr never does."""
    size = {IPV4: 4, IPV6: 16}.get(value[0] if value else 0)
    if size is None or len(value) != 4 + size or value[3] != size:
        raise DecodeError("a network address that is not well formed")
    bits, is_cidr = value[1], value[2]
    family = socket.AF_INET if size == 4 else socket.AF_INET6
    address = socket.inet_ntop(family, value[4:])
    return address if bits == 8 * size and not is_cidr else f"{address}/{bits}"


_WRITERS: Final[dict[int, Callable[[Any], str]]] = {
    t.BOOL: lambda value: "t" if value else "f",
    t.BYTEA: lambda value: "\\x" + value.hex(),
    t.CHAR: _char,
    t.CIDR: _inet,
    t.DATE: date_text,
    t.FLOAT4: lambda value: _float(value, str(np.float32(value)), 6),
    t.FLOAT8: lambda value: _float(value, repr(value), 15),
    t.INET: _inet,
    t.INTERVAL: _interval_text,
    t.NUMERIC: _numeric,
    t.TIME: time_text,
    t.TIMESTAMP: timestamp_text,
    t.TIMESTAMPTZ: lambda value: timestamp_text(value, zone="+00"),
    t.UUID: _uuid,
}
