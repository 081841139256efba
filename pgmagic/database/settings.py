"""What a user may say about one database.

All times are in seconds. Where a setting that libpq knows is None, libpq's own rules decide: the
service file, then the `PG*` variables, then the built-in default
(https://www.postgresql.org/docs/current/libpq-connect.html). No setting holds a password.
"""

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, TypeAlias, get_args

from pgmagic.errors import SettingsError
from pgmagic.language.repeating import repeated

__all__ = ["DatabaseSettings", "PasswordProvider"]

PasswordProvider: TypeAlias = Callable[[], str | Awaitable[str]]
"""Gives the password of the moment; asked again for every connection."""

Check: TypeAlias = Callable[[Any], str | None]
"""Says what is wrong with a value, so that "<setting> <answer>" reads as a sentence."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TARGET_SESSION_ATTRS = (
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
)
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
NAME = re.compile(r"[^\W\d][\w.-]*")


def _text(value: Any) -> str | None:
    # The value is not repeated: a password may have slipped into the wrong field.
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    return "may hold no NUL character" if "\0" in value else None


def _host(value: Any) -> str | None:
    if isinstance(value, str) and ("@" in value or "://" in value):
        return "must be a host name, an address or a socket directory, not a connection string"
    return _text(value)


def _ports(value: Any) -> str | None:
    """One port, or libpq's list of them: `5432,5433`."""
    for port in str(value).split(","):
        if not (port == "" or (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
            return "must be a number between 1 and 65535, or several with commas"
    return "must be a number" if isinstance(value, bool) else None


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {repeated(value)}"


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str | None:
        if value in choices:
            return None
        return f"must be one of {', '.join(choices)}, not {repeated(value)}"

    return check


def _whole(*, least: int) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return None
        return f"must be a whole number of at least {least}, not {repeated(value)}"

    return check


def _seconds(*, zero: bool = False) -> Check:
    def check(value: Any) -> str | None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and math.isfinite(value) and (value > 0 or (zero and value == 0)):
            return None
        bound = "seconds, 0 for no limit" if zero else "seconds, more than 0"
        return f"must be {bound}, not {repeated(value)}"

    return check


def _callable(value: Any) -> str | None:
    # A password written into settings would reach notebooks, histories and tracebacks.
    return None if callable(value) else "must be a callable that gives the password, never text"


def _statements(value: Any) -> str | None:
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return None
    return "must be a list of statements"


def _setting(default: Any, check: Check, about: str) -> Any:
    """Declare one setting; the table in docs/configuration.md is made from these."""
    return field(default=default, metadata={"check": check, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """How to reach one database and how to behave towards it.

    Raises SettingsError, naming the setting, where a value is out of range.
    """

    name: str

    # Where: libpq's own words, `database` for its dbname.
    service: str | None = _setting(None, _text, "section of `pg_service.conf`")
    dsn_env: str | None = _setting(
        None, _text, "environment variable that holds a DSN, with or without password"
    )
    host: str | None = _setting(
        None, _host, "host name, address or socket directory; several with commas"
    )
    hostaddr: str | None = _setting(None, _host, "IP address to use instead of looking up `host`")
    port: int | str | None = _setting(None, _ports, "port; several with commas")
    database: str | None = _setting(None, _text, "database; by default named like the user")
    user: str | None = _setting(None, _text, "role; by default the name of the system's user")
    options: str | None = _setting(
        None, _text, "options for the server, such as `-c search_path=sales`"
    )
    target_session_attrs: str | None = _setting(
        None, _one_of(*TARGET_SESSION_ATTRS), "which of several hosts will do"
    )
    load_balance_hosts: str | None = _setting(
        None, _one_of("disable", "random"), "`random` tries several hosts in random order"
    )
    application_name: str | None = _setting(
        None, _text, "shown in `pg_stat_activity`; by default `pgmagic/` and the name"
    )

    # Who: where the password comes from, never the password.
    password: PasswordProvider | None = field(
        default=None,
        repr=False,
        metadata={
            "check": _callable,
            "about": "from Python only: (async) callable asked at each connect",
        },
    )
    password_env: str | None = _setting(None, _text, "environment variable that holds the password")
    keyring: bool = _setting(False, _flag, "ask the system's keyring, service `pgmagic`")
    passfile: str | None = _setting(None, _text, "password file, by default `~/.pgpass`")

    # TLS: https://www.postgresql.org/docs/current/libpq-ssl.html
    sslmode: str | None = _setting(
        None, _one_of(*SSL_MODES), "by default `verify-full`; on this machine `prefer`"
    )
    sslnegotiation: str | None = _setting(
        None, _one_of("postgres", "direct"), "`direct` saves a round trip (PostgreSQL 17)"
    )
    sslrootcert: str | None = _setting(
        None, _text, "file of trusted authorities, or `system` for those of the system"
    )
    sslcert: str | None = _setting(None, _text, "file of the client's certificate")
    sslkey: str | None = _setting(None, _text, "file of the client's private key")
    sslcrl: str | None = _setting(None, _text, "file of revoked certificates")
    sslcrldir: str | None = _setting(None, _text, "directory of revoked certificates")
    ssl_min_protocol_version: str | None = _setting(
        None, _one_of(*TLS_VERSIONS), "oldest TLS allowed, by default `TLSv1.2`"
    )
    ssl_max_protocol_version: str | None = _setting(
        None, _one_of(*TLS_VERSIONS), "newest TLS allowed"
    )

    # The pool.
    min_size: int = _setting(0, _whole(least=0), "connections kept open while idle")
    max_size: int = _setting(10, _whole(least=1), "connections open at most")
    max_queries: int = _setting(
        50_000, _whole(least=1), "queries after which a connection is renewed"
    )
    max_inactive_connection_lifetime: float = _setting(
        300.0, _seconds(), "idle time after which a connection is closed"
    )
    idle_pool_lifetime: float = _setting(
        1800.0, _seconds(), "idle time after which the whole pool is closed"
    )
    statement_cache_size: int = _setting(
        100, _whole(least=0), "prepared statements kept per connection"
    )
    pooler: bool | None = _setting(
        None, _flag, "whether PgBouncer in transaction mode stands between; found out by default"
    )

    # Limits. Those of the server are None where the server's own setting shall hold.
    connect_timeout: float | None = _setting(
        None, _seconds(), "for each connect; else `PGCONNECT_TIMEOUT`, else 10"
    )
    acquire_timeout: float = _setting(15.0, _seconds(), "wait for a free connection")
    command_timeout: float | None = _setting(
        60.0, _seconds(), "wait for a statement, measured here"
    )
    statement_timeout: float | None = _setting(
        30.0, _seconds(zero=True), "for each statement, measured by the server"
    )
    idle_in_transaction_session_timeout: float | None = _setting(
        60.0, _seconds(zero=True), "idle time that the server allows in an open transaction"
    )
    lock_timeout: float | None = _setting(
        None, _seconds(zero=True), "wait for a lock; by default the server's own"
    )

    # Behaviour.
    read_only: bool = _setting(True, _flag, "refuse writes without `--write`")
    init: tuple[str, ...] = _setting((), _statements, "statements run on each new connection")
    fail_max: int = _setting(5, _whole(least=1), "failures in a row that open the circuit")
    reset_timeout: float = _setting(60.0, _seconds(), "pause before an open circuit is tried")

    def __post_init__(self) -> None:
        if _text(self.name) or not NAME.fullmatch(self.name):
            raise SettingsError(
                f"{self.name!r} cannot name a database",
                hint="a name is made of letters, digits, '_', '-' and '.', a letter first",
            )
        init: Any = self.init
        if isinstance(init, list):  # as TOML writes it
            object.__setattr__(self, "init", tuple(init))
        for setting in fields(self)[1:]:
            value = getattr(self, setting.name)
            if value is None and NoneType in get_args(setting.type):
                continue
            problem = setting.metadata["check"](value)
            if problem:
                raise SettingsError(f"{self.name}: {setting.name} {problem}")
        if self.min_size > self.max_size:
            raise SettingsError(
                f"{self.name}: min_size must be at most max_size ({self.max_size}),"
                f" not {self.min_size}"
            )
