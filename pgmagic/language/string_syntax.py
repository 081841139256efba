"""What a statement says about standard_conforming_strings, read from its text."""

import re

__all__ = ["standard_strings_after"]

SETTING = re.compile(
    r"set\s+(?:(?:local|session)\s+)?\"?standard_conforming_strings\"?\s*(?:=|\bto\b)\s*"
    r"(?P<quote>'?)(?P<value>on|off|true|false|yes|no|1|0)(?P=quote)",
    re.IGNORECASE,
)
ON = frozenset({"on", "true", "yes", "1"})


def standard_strings_after(sql: str) -> bool | None:
    """Give the setting after `SET standard_conforming_strings`; None where only the server knows.

    https://www.postgresql.org/docs/current/runtime-config-compatible.html
    """
    found = SETTING.fullmatch(sql.strip())
    return None if found is None else found["value"].lower() in ON
