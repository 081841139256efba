"""Values of type numeric, from the wire to doubles or decimals.

A numeric is a run of digits to the base 10,000, the weight of the first one, a sign and the
number of decimal places to show.
https://www.postgresql.org/docs/current/datatype-numeric.html
"""

import struct
from decimal import Decimal
from typing import Final

from pgmagic.columns.copybinary import DecodeError

__all__ = ["EXACT", "from_decimal", "to_decimal", "to_double"]

POSITIVE: Final = 0x0000
NEGATIVE: Final = 0x4000
SPECIAL: Final = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
SIGNS: Final = {text: sign for sign, text in SPECIAL.items()}
MOST_BEFORE: Final = 131_072  # digits before the point that PostgreSQL takes, and behind it
MOST_BEHIND: Final = 16_383
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


def from_decimal(value: Decimal) -> bytes:
    """Write one numeric exactly. Raises `ValueError` where it has more digits than there may be.

    https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-NUMERIC-DECIMAL
    """
    if not value.is_finite():
        return _header.pack(0, 0, SIGNS[str(value)], 0)
    minus, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # it is a letter where the value is not finite
    scale = max(0, -exponent)
    if scale > MOST_BEHIND or len(digits) + exponent > MOST_BEFORE:
        raise ValueError("a number of more digits than PostgreSQL takes")
    text = "".join(map(str, digits)) + "0" * max(0, exponent) if any(digits) else ""
    text = text.zfill(scale)
    before, behind = text[: len(text) - scale], text[len(text) - scale :]
    before = before.zfill(-(-len(before) // 4) * 4)
    behind = behind.ljust(-(-len(behind) // 4) * 4, "0")
    text, weight = before + behind, len(before) // 4 - 1
    groups = [int(text[at : at + 4]) for at in range(0, len(text), 4)]
    while groups and not groups[0]:
        del groups[0]
        weight -= 1
    while groups and not groups[-1]:
        del groups[-1]
    sign = NEGATIVE if minus and groups else POSITIVE
    return _header.pack(len(groups), weight if groups else 0, sign, scale) + struct.pack(
        f">{len(groups)}H", *groups
    )


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
