"""How a result is to be given, and how far it has come."""

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from pgmagic.errors import CellError

__all__ = ["FrameOptions", "Progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """What the user may choose about a result.

    `numeric`: "float" gives float64 and turns to decimals only where a float would lose a whole
    number; "exact" always gives decimals. `json`: parsed "objects", or the server's "text".
    `tz`: the time zone in which timestamptz is shown, UTC if None. `limit`: rows kept at most.
    `max_result_bytes`: bytes held at most, where no budget says so; a quarter of what is free if
    None, no limit if 0.
    `as_`: what `to_frame` and `combine` return. `dtypes`: whether a pandas frame holds its columns
    as numpy arrays and pandas' own, or as Arrow (`pd.ArrowDtype`). Raises `CellError` for a zone
    that is none.
    """

    numeric: Literal["float", "exact"] = "float"
    json: Literal["objects", "text"] = "objects"
    tz: str | None = None
    limit: int | None = None
    max_result_bytes: int | None = None
    as_: Literal["pandas", "arrow", "polars"] = "pandas"
    dtypes: Literal["numpy", "arrow"] = "numpy"

    def __post_init__(self) -> None:
        if self.tz is None:
            return
        try:
            ZoneInfo(self.tz)
        except (LookupError, ValueError, OSError):
            raise CellError(
                f"there is no time zone {self.tz!r}", hint="such as --tz Europe/Berlin"
            ) from None


@dataclass(slots=True)
class Progress:
    """Rows and bytes that came so far, of all statements that share it."""

    rows: int = 0
    bytes: int = 0
