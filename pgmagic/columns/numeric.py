"""Values of type numeric, from the wire to doubles or decimals.

A numeric is a run of digits to the base 10,000, the weight of the first one, a sign and the
number of decimal places to show.
https://www.postgresql.org/docs/current/datatype-numeric.html
"""

import struct
from decimal import Decimal
from typing import Final

from pgmagic.columns.copybinary import DecodeError

__all__ = ["EXACT", "to_decimal", "to_double"]

POSITIVE: Final = 0x0000
NEGATIVE: Final = 0x4000
SPECIAL: Final = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
EXACT: Final = 2**53  # from here on not every whole number is a double

_header = struct.Struct(">HhHH")


def to_decimal(value: bytes) -> Decimal:
    """Read one numeric exactly. NaN and the infinities are Decimals too."""
    if len(value) < _header.size:
        raise DecodeError(f"a numeric of {len(value)} bytes")
    count, weight, sign, scale = _header.unpack_from(value)
    if sign in SPECIAL:
        return Decimal(SPECIAL[sign])
    if sign not in (POSITIVE, NEGATIVE) or len(value) != _header.size + 2 * count:
        raise DecodeError("a numeric that is not well formed")
    digits = struct.unpack_from(f">{count}H", value, _header.size)
    if any(digit > 9999 for digit in digits):
        raise DecodeError("a numeric with a digit beyond 9999")
    minus = "-" if sign == NEGATIVE else ""
    text = "".join([f"{digit:04d}" for digit in digits]) or "0"
    # The weight counts groups of four digits before the point, less one.
    exponent = 4 * (weight + 1 - count) if count else 0
    # The wire drops groups of zeros at the end; what is shown has `scale` decimal places.
    missing = exponent + scale
    if missing >= 0:
        text += "0" * missing
    elif text.endswith("0" * -missing):
        text = text[:missing] or "0"
    else:  # more digits than it means to show; lose none of them
        return Decimal(f"{minus}{text}E{exponent}")
    return Decimal(f"{minus}{text}E{-scale}")


def to_double(value: bytes) -> float | None:
    """Read one numeric as the nearest double.

    None where that would lose what matters: a whole number beyond 2**53, or anything that a
    double cannot come near.
    """
    decimal = to_decimal(value)
    double = float(decimal)
    if not decimal.is_finite():
        return double
    if double in (float("inf"), float("-inf")) or (double == 0) != (decimal == 0):
        return None
    if decimal.copy_abs() > EXACT and decimal == decimal.to_integral_value():
        return None
    return double
