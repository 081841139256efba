"""What the startup packet says beside user and database: run-time parameters.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS
"""

import math
import re
from collections.abc import Mapping
from dataclasses import fields

from pgmagic.database.settings import DatabaseSettings

__all__ = ["parse_options", "server_settings"]

# Variables that libpq hands on as run-time parameters.
VARIABLES = {"PGDATESTYLE": "datestyle", "PGTZ": "timezone", "PGGEQO": "geqo"}
LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
WORD = re.compile(r"(?:[^\s\\]|\\.|\\\Z)+", re.DOTALL | re.ASCII)
ESCAPED = re.compile(r"\\(.|\Z)", re.DOTALL)
ASSIGNMENT = re.compile(r"(?:-c|--)([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)


def server_settings(
    settings: DatabaseSettings,
    *,
    options: str,
    application_name: str,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Gather the parameters for the startup packet; times in milliseconds.

    A limit that `options` or a variable sets wins over pgmagic's default for it, and gives way to
    one that the settings set otherwise.
    """
    asked = parse_options(options)
    for variable, parameter in VARIABLES.items():
        if environ.get(variable):
            asked[parameter] = environ[variable]
    defaults = {each.name: each.default for each in fields(DatabaseSettings)}
    for limit in LIMITS:
        seconds = getattr(settings, limit)
        if seconds is not None and (limit not in asked or seconds != defaults[limit]):
            # Rounded up: 0 would lift the limit.
            asked[limit] = str(math.ceil(seconds * 1000))
    return {**asked, "application_name": application_name}


def parse_options(options: str) -> dict[str, str]:
    """Read `-c name=value` and `--name=value`, names in lower case.

    Whatever else there is goes to the server as it stands, under the name `options`.
    """
    words = WORD.findall(options)
    parameters: dict[str, str] = {}
    others: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "-c" and position + 1 < len(words):
            position += 1
            word += words[position]
        position += 1
        match = ASSIGNMENT.fullmatch(ESCAPED.sub(r"\1", word))
        if match:
            parameters[match[1].lower().replace("-", "_")] = match[2]
        else:
            others.append(word)
    if others:
        # One word may be the argument of another: then the order of all matters.
        return {"options": options}
    return parameters
