"""Small frames of pgmagic's own: what databases, sessions or saved things there are."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

__all__ = ["listing"]


def listing(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Make a DataFrame of these columns, also where there is no row."""
    return pd.DataFrame(list(rows), columns=list(columns))
