"""The production checklist: from the facts of one database to findings. Pure; see `gathering`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from pgmagic.database.checks.facts import Facts, Unreached
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SettingsError

__all__ = ["Case", "Finding", "Grade", "findings", "not_reached"]

Grade: TypeAlias = Literal["pass", "warn", "fail"]

SLOW_CONNECT = 1.0  # seconds
SLOW_ROUND_TRIP = 0.1
CLOCK_WARN, CLOCK_FAIL = 1.0, 60.0

# The last day with fixes: https://www.postgresql.org/support/versioning/
SUPPORTED_UNTIL = {
    13: date(2025, 11, 13),
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the checklist: what was found, and what to do where it is not well."""

    check: str
    result: Grade
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the rules look at.

    `demand` is how many connections all checked pools on the same server may open together.
    """

    settings: DatabaseSettings
    facts: Facts
    demand: int
    today: date


Rule: TypeAlias = Callable[[Case], Finding]


def findings(case: Case) -> Iterator[Finding]:
    """Apply every rule, in the order of the table."""
    return (rule(case) for rule in RULES)


def not_reached(unreached: Unreached) -> Iterator[Finding]:
    """Say what is known of a database that could not be visited."""
    error, source = unreached.error, unreached.password_source
    check = "settings" if isinstance(error, SettingsError) else "reachable"
    yield Finding(
        check=check,
        result="fail",
        found=error.message,
        remedy=error.hint or "look whether the server runs, and whether host and port are right",
    )
    if (getattr(error, "sqlstate", None) or "").startswith("28") and source is not None:
        yield Finding(
            check="password",
            result="fail",
            found="none was found" if source.startswith("none") else f"refused; from {source}",
            remedy="correct it there, or name another place for it",
        )


def reachable(case: Case) -> Finding:
    facts = case.facts
    found = f"{facts.where} in {_time(facts.connect)}, round trip {_time(facts.round_trip)}"
    remedy = ""
    if facts.round_trip >= SLOW_ROUND_TRIP:
        remedy = "every statement waits that long: run the notebook nearer to the server"
    elif facts.connect >= SLOW_CONNECT:
        remedy = "keep connections open with min_size, or look at DNS and TLS on the way"
    return _finding("reachable", "warn" if remedy else "pass", found, remedy)


def version(case: Case) -> Finding:
    major, found = case.facts.major, f"PostgreSQL {case.facts.version}"
    until = SUPPORTED_UNTIL.get(major)
    outdated = major < min(SUPPORTED_UNTIL) or (until is not None and case.today > until)
    if outdated:
        return _finding("version", "warn", f"{found}, without fixes by now", "upgrade the server")
    return _finding("version", "pass", found + (f", fixed until {until}" if until else ""))


def tls(case: Case) -> Finding:
    facts = case.facts
    if facts.tls is None and facts.local:
        return _finding("TLS", "pass", "none: the connection does not leave this machine")
    if facts.tls is None:
        return _finding(
            "TLS",
            "fail",
            f"none (sslmode={facts.sslmode}): passwords and rows can be read on the way",
            "sslmode=verify-full, and a certificate on the server",
        )
    if facts.proven or facts.local:
        return _finding("TLS", "pass", f"{facts.tls}, sslmode={facts.sslmode}")
    return _finding(
        "TLS",
        "warn",
        f"{facts.tls}, but nothing proves that it is the right server (sslmode={facts.sslmode})",
        "sslmode=verify-full, with sslrootcert where the authority is your own",
    )


def password(case: Case) -> Finding:
    facts = case.facts
    if facts.asked:
        return _finding("password", "pass", "typed by the user; unattended runs need a place")
    if not facts.password_source.startswith("none"):
        return _finding("password", "pass", f"from {facts.password_source}")
    if facts.password_source != "none":
        return _finding("password", "warn", facts.password_source, "chmod 600 the password file")
    if facts.local:
        return _finding("password", "pass", "none needed on this machine")
    return _finding(
        "password",
        "warn",
        "none needed: by a certificate, or because the server trusts everybody",
        "look into pg_hba.conf for trust",
    )


def role(case: Case) -> Finding:
    facts = case.facts
    if facts.superuser:
        return _finding(
            "role",
            "warn" if facts.local else "fail",
            "superuser: may do anything, and reads and writes files of the server",
            "create role … login; grant pg_read_all_data to it",
        )
    if facts.powers:
        return _finding(
            "role", "warn", f"has {', '.join(facts.powers)}", "use a role without these"
        )
    if facts.writes and case.settings.read_only and not facts.standby:
        return _finding(
            "role",
            "warn",
            "may write; that cells are READ ONLY is a seat belt, not a lock",
            "a role that may only read, or read_only = false where writing is meant",
        )
    may = "may write" if facts.writes else "may only read"
    return _finding("role", "pass", may + (" (a standby)" if facts.standby else ""))


def limits(case: Case) -> Finding:
    facts = case.facts
    found = ", ".join(f"{name} {_limit(value)}" for name, value in facts.in_force.items())
    lost = [name for name, value in facts.wanted.items() if facts.in_force.get(name) != value]
    if lost:
        wanted = ", ".join(f"{name} {_limit(facts.wanted[name])}" for name in lost)
        return _finding(
            "timeouts",
            "fail",
            f"{found}; the settings want {wanted}",
            "pooler = true, where a pooler stands between",
        )
    if not facts.in_force.get("statement_timeout"):
        return _finding("timeouts", "warn", found, "statement_timeout ends what runs away")
    return _finding("timeouts", "pass", found)


def lost_clients(case: Case) -> Finding:
    if case.facts.checks_client:
        return _finding("lost clients", "pass", "noticed while their query runs")
    remedy = "PostgreSQL 14 notices" if case.facts.major < 14 else ""
    if case.facts.pooled:
        remedy = "set client_connection_check_interval on the server"
    return _finding(
        "lost clients",
        "warn",
        "the query of a kernel that is killed runs on",
        remedy or "client_connection_check_interval does not work on the server's system",
    )


def connections(case: Case) -> Finding:
    facts, settings = case.facts, case.settings
    free = max(0, facts.max_connections - facts.in_use)
    found = f"{facts.in_use} of {facts.max_connections} in use; the pools may open {case.demand}"
    if not facts.pooled and case.demand > facts.max_connections:
        return _finding("connections", "fail", found, "lower max_size, or put a pooler between")
    for whose, limit in (("role", facts.role_limit), ("database", facts.database_limit)):
        if limit is not None and limit < settings.max_size and not facts.superuser:
            return _finding(
                "connections",
                "warn",
                f"{found}; the {whose} is limited to {limit}",
                f"max_size = {max(1, limit)}, or alter {whose} … connection limit",
            )
    if not facts.pooled and case.demand > free:
        return _finding("connections", "warn", found, "lower max_size, or look who holds the rest")
    return _finding("connections", "pass", found)


def pooler(case: Case) -> Finding:
    if not case.facts.pooled:
        return _finding("pooler", "pass", "none in between")
    return _finding(
        "pooler",
        "pass",
        "in between: limits are set in each transaction, --session is not possible",
        "" if case.settings.pooler else "pooler = true spares finding out",
    )


def clock(case: Case) -> Finding:
    ahead = case.facts.clock_ahead
    off = abs(ahead)
    found = f"{_time(off)} {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if off < CLOCK_WARN:
        return _finding("clock", "pass", found)
    grade: Grade = "fail" if off >= CLOCK_FAIL else "warn"
    return _finding("clock", grade, found, "synchronise both clocks (NTP)")


def statements(case: Case) -> Finding:
    match case.facts.statements:
        case "created":
            return _finding("pg_stat_statements", "pass", "there")
        case "available":
            return _finding(
                "pg_stat_statements",
                "warn",
                "not created in this database",
                "create extension pg_stat_statements, in shared_preload_libraries as well",
            )
        case "absent":
            return _finding(
                "pg_stat_statements", "warn", "not on the server", "install postgresql-contrib"
            )


def idle_transactions(case: Case) -> Finding:
    idle = case.facts.idle_transactions
    if not idle:
        return _finding("idle in transaction", "pass", "no session of ours")
    oldest = max(idle, key=lambda each: each.seconds)
    return _finding(
        "idle in transaction",
        "warn",
        f"{len(idle)} of ours, pid {oldest.pid} for {_time(oldest.seconds)}: "
        "locks are kept, and nothing is cleaned up",
        f"%pg_close --session NAME, or select pg_terminate_backend({oldest.pid})",
    )


RULES: tuple[Rule, ...] = (
    reachable,
    version,
    tls,
    password,
    role,
    limits,
    lost_clients,
    connections,
    pooler,
    clock,
    statements,
    idle_transactions,
)


def _finding(check: str, result: Grade, found: str, remedy: str = "") -> Finding:
    return Finding(check=check, result=result, found=found, remedy=remedy)


def _limit(seconds: float) -> str:
    return f"{seconds:g} s" if seconds else "none"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"
