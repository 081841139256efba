"""Python objects as json."""

import json
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

__all__ = ["document"]

AS_TEXT = (date, time, timedelta, Decimal, UUID)  # json has nothing nearer


def document(value: Any) -> str | None:
    """Write a value as json; None where it is missing.

    Raises `TypeError` or `ValueError` for what json can't say.
    """
    if is_missing(value):
        return None
    return json.dumps(value, default=_plain, allow_nan=False)


def is_missing(value: Any) -> bool:
    """Whether a single value is None, NaN, NaT or NA."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    # Of a single value only NaN and NaT are not themselves.
    return isinstance(value, float | np.generic) and bool(value != value)


def _plain(value: Any) -> Any:
    if is_missing(value):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, AS_TEXT):
        return str(value)
    raise TypeError(f"it has no form for {type(value).__name__}")
