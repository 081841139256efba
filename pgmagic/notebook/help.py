"""What `%%pg?` and its kin say, and the options of the smaller magics."""

import types
from collections.abc import Callable, Sequence
from dataclasses import fields
from inspect import cleandoc
from typing import Any, TypeVar, get_args

from pgmagic.database.settings import DatabaseSettings
from pgmagic.language.options import Option, python_name, seconds

__all__ = [
    "CLOSE",
    "CONNECT",
    "HISTORY",
    "LINE_OPTIONS",
    "RECORD",
    "SANDBOX",
    "SAVED",
    "SERVE",
    "SNAPSHOT",
    "VERIFY",
    "WRITE",
    "described",
]

F = TypeVar("F", bound=Callable[..., Any])


def described(options: Sequence[Option]) -> Callable[[F], F]:
    """Append the table of options to a magic's docstring."""

    def describe(magic: F) -> F:
        width = max(len(_usage(option)) for option in options)
        table = [f"  {_usage(option):<{width}}  {option.help}" for option in options]
        about = cleandoc(magic.__doc__ or "")
        magic.__doc__ = "\n".join([about, "", "Options:", *table])
        return magic

    return describe


def _usage(option: Option) -> str:
    return option.name if option.metavar is None else f"{option.name} {option.metavar}"


def _flag(text: str) -> bool:
    if text.lower() in ("true", "yes", "on"):
        return True
    if text.lower() in ("false", "no", "off"):
        return False
    raise ValueError("true or false")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _reader(kind: Any) -> tuple[str, Callable[[str], Any] | None]:
    """How a setting of this type is written, and how it is read."""
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if bool in kinds:
        return "true|false", _flag
    if float in kinds:
        return "SECONDS", _number
    if int in kinds and str not in kinds:
        return "N", _whole
    return "TEXT", None


def _setting_options() -> list[Option]:
    """Every setting that can be written as one word is an option of `%pg_connect`."""
    left_out = {"name", "password", "init"}
    return [
        Option(
            f"--{setting.name.replace('_', '-')}",
            setting.name,
            setting.metadata["about"],
            *_reader(setting.type),
        )
        for setting in fields(DatabaseSettings)
        if setting.name not in left_out
    ]


CONNECT: tuple[Option, ...] = (
    *_setting_options(),
    Option("--retry", "retry", "try a database again whose circuit is open"),
)

CLOSE: tuple[Option, ...] = (
    Option("--session", "session", "close this session instead of the pools", "NAME", python_name),
)

SANDBOX: tuple[Option, ...] = (
    Option("--stop", "stop", "stop using the servers, or stop the one of this database"),
    Option("--start", "start", "start the server of this database again"),
    Option("--reset", "reset", "make the databases anew"),
)

SAVED: tuple[Option, ...] = (Option("--delete", "delete", "forget this saved query", "NAME"),)

WRITE: tuple[Option, ...] = (
    Option(
        "--table",
        "table",
        'name of the table as in SQL: schema.table, schema."Odd Table"',
        "NAME",
        quotes="'",
    ),
    Option(
        "--if-exists",
        "if_exists",
        "where there is such a table: leave it alone, add to it, or put another one there",
        "fail|append|replace",
        choices=("fail", "append", "replace"),
    ),
    Option("--write", "write", "say that data may be changed: without it nothing is"),
)

RECORD: tuple[Option, ...] = (
    Option(
        "--most", "result", "keep no rows of a result of more megabytes; 64 by itself", "MB", _whole
    ),
    Option(
        "--in-all", "in_all", "keep so many megabytes of rows at most; 512 by itself", "MB", _whole
    ),
    Option("--stop", "stop", "keep no more answers"),
    Option("--clean", "clean", "delete what this kernel has not recorded"),
)

SERVE: tuple[Option, ...] = (
    Option("--port", "port", "port to listen on; 0, the default, is any free one", "N", _whole),
    Option("--stop", "stop", "stop serving"),
)

SNAPSHOT: tuple[Option, ...] = (
    Option("--for", "seconds", "end it after so many seconds; 600 by itself", "SECONDS", seconds),
    Option("--end", "end", "read these databases, or all, as they are now again"),
)

HISTORY: tuple[Option, ...] = (
    Option("--last", "last", "only so many queries, the newest", "N", _whole),
)

VERIFY: tuple[Option, ...] = (
    Option("--timeout", "timeout", "give up on a cell after so long", "SECONDS", seconds),
    Option("--recordings", "recordings", "where the recordings are", "DIR"),
)

LINE_OPTIONS: dict[str, tuple[Option, ...]] = {
    "pg_connect": CONNECT,
    "pg_close": CLOSE,
    "pg_pools": (),
    "pg_sandbox": SANDBOX,
    "pg_saved": SAVED,
    "pg_check": (),
    "pg_schema": (),
    "pg_diff": (),
    "pg_serve": SERVE,
    "pg_history": HISTORY,
    "pg_record": RECORD,
    "pg_snapshot": SNAPSHOT,
    "pg_verify": VERIFY,
    "pg_write": WRITE,
}
"""The options of every line magic but `%pg` itself."""
