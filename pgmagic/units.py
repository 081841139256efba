"""Numbers as people read them."""

__all__ = ["NOTHING", "count", "counted", "duration", "milliseconds", "rate", "rows", "size"]

NOTHING = "–"


def count(number: int) -> str:
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def rows(number: int) -> str:
    return counted(number, "row")


def duration(seconds: float, digits: int = 1) -> str:
    """Write `0.41 s`, `12.3 s`, `2 min 05 s`, `3 h 20 min`; `digits` are for less than 10 s."""
    if seconds < 9.995:
        return f"{max(0.0, seconds):.{digits}f} s"
    if seconds < 59.5:
        return f"{seconds:.{min(digits, 1)}f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def milliseconds(value: float | None) -> str:
    """Write `0.4 ms`, `178 ms`, `12.0 s`; a dash where there is nothing to tell."""
    if value is None:
        return NOTHING
    if value < 0.95:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 9999.5 else duration(value / 1e3)


def rate(rows_per_second: float) -> str:
    """Write `850 rows/s`, `96 k rows/s`, `1.4 M rows/s`."""
    if rows_per_second < 999.5:
        return f"{rows_per_second:.0f} rows/s"
    if rows_per_second < 999_500:
        return f"{rows_per_second / 1e3:.0f} k rows/s"
    return f"{rows_per_second / 1e6:.1f} M rows/s"


def size(number: int) -> str:
    """Write bytes as `850 bytes`, `64 kB`, `1.5 MB`, `2.0 GB`, in powers of 1000."""
    if number < 1000:
        return f"{number} bytes"
    if number < 999_500:
        value, unit = number / 1e3, "kB"
    elif number < 999_500_000:
        value, unit = number / 1e6, "MB"
    else:
        value, unit = number / 1e9, "GB"
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
