"""Python objects as json."""

import json
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

__all__ = ["document", "is_missing"]

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
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.ndarray | np.generic):
        return _of_numpy(value)
    if isinstance(value, AS_TEXT) and not is_missing(value):
        return str(value)
    raise TypeError(f"it has no form for {_called(value)}")


def _of_numpy(value: Any) -> Any:
    kind = value.dtype.kind
    if value.ndim:  # tolist() would make ints of times in nanoseconds
        return list(value) if kind in "mM" else value.tolist()
    value = value[()]
    if kind in "mM":
        if is_missing(value):
            return None
        return str(pd.Timestamp(value) if kind == "M" else pd.Timedelta(value))
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, np.generic):  # again, such as a longdouble
        raise TypeError(f"it has no form for {_called(value)}")
    return plain


def _called(value: Any) -> str:
    return "NaN" if is_missing(value) else type(value).__name__
