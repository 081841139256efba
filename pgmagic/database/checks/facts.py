"""What can be learnt of a database by visiting it. No rule is applied here; see `rules`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgmagic.errors import PgMagicError

__all__ = ["Facts", "IdleTransaction", "Limits", "Unreached"]

Limits: TypeAlias = Mapping[str, float]
"""Seconds by the name of the server's parameter; 0 is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTransaction:
    """A session that holds a transaction open and does nothing, for so many seconds."""

    pid: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One database as it was found. All times are in seconds, nothing here is secret."""

    # The way there: `tls` is the protocol's version, `proven` whether a certificate was demanded.
    where: str
    local: bool
    connect: float
    round_trip: float
    tls: str | None
    proven: bool
    sslmode: str
    password_source: str
    asked: bool
    pooled: bool

    # The server: `server` tells one from another, `clock_ahead` is its clock against this one.
    server: str
    version: str
    major: int
    standby: bool
    clock_ahead: float
    checks_client: bool
    statements: Literal["created", "available", "absent"]

    # The role: `powers` are what it may do beyond its own tables.
    superuser: bool
    powers: tuple[str, ...]
    writes: bool

    # Limits: `wanted` by the settings, `in_force` on the server.
    wanted: Limits
    in_force: Limits

    # Connections: what the server has for roles like this, and what of it is taken.
    max_connections: int
    in_use: int
    role_limit: int | None
    database_limit: int | None
    idle_transactions: tuple[IdleTransaction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """Why nothing could be learnt. `password_source` is None where that is not known either."""

    error: PgMagicError
    password_source: str | None
