"""Write JSON that PostgreSQL's json and jsonb read back as it was."""

import json
import math
from datetime import date, datetime, time
from decimal import Decimal

from pgmagic.language.values import Unsendable

__all__ = ["to_json"]


def to_json(value: object) -> str:
    """Write a plain value as JSON.

    NaN becomes null; dates, times, UUIDs and addresses their text. Raises `Unsendable` for what
    JSON has no form for: infinity, bytes, a Decimal that no float equals.
    """
    try:
        return json.dumps(_jsonable(value), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise Unsendable("it holds a number that JSON can't") from error


def _jsonable(value: object) -> object:
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return None if math.isnan(value) else value
        case Decimal():
            return _number(value)
        case dict():
            return {key: _jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [_jsonable(item) for item in value]
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            raise Unsendable("JSON has no form for bytes")
    return str(value)


def _number(value: Decimal) -> int | float | None:
    if value.is_nan():
        return None
    if value.is_finite():
        if value == value.to_integral_value() and value.adjusted() < 1000:
            return int(value)
        near = float(value)
        if math.isfinite(near) and Decimal(repr(near)) == value:
            return near
    raise Unsendable("JSON would lose digits of a Decimal; give its text or a float")
