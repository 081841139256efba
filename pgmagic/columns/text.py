"""PostgreSQL's own text of a value, where its wire form was read and nothing else can hold it.

The formats are those of `DateStyle = ISO` and `IntervalStyle = postgres`; timestamptz is in UTC.
https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-OUTPUT
"""

from typing import Final

__all__ = [
    "DATE_INFINITIES",
    "TIMESTAMP_INFINITIES",
    "date_text",
    "interval_text",
    "time_text",
    "timestamp_text",
]

DATE_INFINITIES: Final = {2**31 - 1: "infinity", -(2**31): "-infinity"}
TIMESTAMP_INFINITIES: Final = {2**63 - 1: "infinity", -(2**63): "-infinity"}
DAY: Final = 86_400_000_000  # microseconds

# The calendar repeats every 400 years; counting from 1 March puts the leap day last.
DAYS_400_YEARS: Final = 146_097
FROM_0000_MARCH: Final = 730_425  # days from 0000-03-01 to 2000-01-01


def date_text(days: int) -> str:
    """Write a date, given in days since 2000-01-01."""
    if days in DATE_INFINITIES:
        return DATE_INFINITIES[days]
    date, era = _date(days)
    return date + era


def timestamp_text(microseconds: int, *, zone: str = "") -> str:
    """Write a timestamp, given in microseconds since 2000-01-01; `zone` such as `+00`."""
    if microseconds in TIMESTAMP_INFINITIES:
        return TIMESTAMP_INFINITIES[microseconds]
    days, rest = divmod(microseconds, DAY)
    date, era = _date(days)
    return f"{date} {time_text(rest)}{zone}{era}"


def time_text(microseconds: int) -> str:
    """Write a time of day, given in microseconds since midnight; 24:00:00 is one."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    digits = f".{fraction:06d}".rstrip("0").rstrip(".")
    return f"{hour:02d}:{minute:02d}:{second:02d}{digits}"


def interval_text(months: int, days: int, microseconds: int) -> str:
    """Write an interval; its three parts have signs of their own."""
    if (months, days, microseconds) == (2**31 - 1, 2**31 - 1, 2**63 - 1):
        return "infinity"
    if (months, days, microseconds) == (-(2**31), -(2**31), -(2**63)):
        return "-infinity"
    sign = -1 if months < 0 else 1
    years, rest = divmod(abs(months), 12)
    parts: list[str] = []
    negative = False  # the part before was: a positive one then needs its sign
    for value, unit in ((sign * years, "year"), (sign * rest, "mon"), (days, "day")):
        if value:
            plus = "+" if negative and value > 0 else ""
            parts.append(f"{plus}{value} {unit}{'' if value == 1 else 's'}")
            negative = value < 0
    if microseconds or not parts:
        plus = "-" if microseconds < 0 else "+" if negative else ""
        parts.append(plus + time_text(abs(microseconds)))
    return " ".join(parts)


def _date(days: int) -> tuple[str, str]:
    """Give year-month-day and " BC" or nothing, from days since 2000-01-01."""
    era, day = divmod(days + FROM_0000_MARCH, DAYS_400_YEARS)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 400 * era + (month >= 10)
    month = month - 9 if month >= 10 else month + 3
    if year > 0:
        return f"{year:04d}-{month:02d}-{day + 1:02d}", ""
    return f"{1 - year:04d}-{month:02d}-{day + 1:02d}", " BC"
