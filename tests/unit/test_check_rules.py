"""The rules of `%pg_check`: from facts to findings, without a server."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from pgmagic.database.checks.facts import Facts, IdleTransaction, Unreached
from pgmagic.database.checks.rules import Case, Finding, findings, not_reached
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import ConnectFailed, SettingsError

TODAY = date(2026, 6, 1)
LIMITS = {
    "statement_timeout": 30.0,
    "idle_in_transaction_session_timeout": 60.0,
    "lock_timeout": 0.0,
}

# A database of which nothing is to be said.
GOOD = Facts(
    where="db.example:5432",
    local=False,
    connect=0.02,
    round_trip=0.004,
    tls="TLSv1.3",
    proven=True,
    sslmode="verify-full",
    password_source="~/.pgpass",
    asked=False,
    pooled=False,
    server="one",
    version="17.2",
    major=17,
    standby=False,
    clock_ahead=0.002,
    checks_client=True,
    statements="created",
    superuser=False,
    powers=(),
    writes=False,
    wanted={"statement_timeout": 30.0, "idle_in_transaction_session_timeout": 60.0},
    in_force=LIMITS,
    max_connections=97,
    in_use=12,
    role_limit=None,
    database_limit=None,
    idle_transactions=(),
)


def checklist(*, demand: int = 10, settings: dict[str, Any] | None = None, **changes: Any):
    """Apply the rules to the good database with changes; give the findings by check."""
    case = Case(
        settings=DatabaseSettings(name="sales", **(settings or {})),
        facts=replace(GOOD, **changes),
        demand=demand,
        today=TODAY,
    )
    return {finding.check: finding for finding in findings(case)}


def only(found: dict[str, Finding]) -> tuple[str, str]:
    """Give the one check that did not pass, and its result."""
    [bad] = [finding for finding in found.values() if finding.result != "pass"]
    assert bad.remedy, f"{bad} says what is wrong and not what to do"
    return bad.check, bad.result


def test_a_good_database_passes_everything():
    assert {finding.result for finding in checklist().values()} == {"pass"}
    assert list(checklist()) == [
        "reachable",
        "version",
        "TLS",
        "password",
        "role",
        "timeouts",
        "lost clients",
        "connections",
        "pooler",
        "clock",
        "pg_stat_statements",
        "idle in transaction",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"connect": 1.2}, ("reachable", "warn")),
        ({"round_trip": 0.15}, ("reachable", "warn")),
        ({"major": 13, "version": "13.23"}, ("version", "warn")),
        ({"major": 11, "version": "11.22"}, ("version", "warn")),
        ({"tls": None, "sslmode": "prefer", "proven": False}, ("TLS", "fail")),
        ({"sslmode": "require", "proven": False}, ("TLS", "warn")),
        ({"password_source": "none"}, ("password", "warn")),
        ({"password_source": "none (~/.pgpass may be read by others)"}, ("password", "warn")),
        ({"superuser": True}, ("role", "fail")),
        ({"superuser": True, "local": True}, ("role", "warn")),
        ({"powers": ("pg_read_server_files",)}, ("role", "warn")),
        ({"writes": True}, ("role", "warn")),
        ({"in_force": LIMITS | {"statement_timeout": 0.0}}, ("timeouts", "fail")),
        ({"in_force": LIMITS | {"statement_timeout": 0.0}, "wanted": {}}, ("timeouts", "warn")),
        ({"checks_client": False}, ("lost clients", "warn")),
        ({"max_connections": 8}, ("connections", "fail")),
        ({"in_use": 90}, ("connections", "warn")),
        ({"role_limit": 3}, ("connections", "warn")),
        ({"database_limit": 3}, ("connections", "warn")),
        ({"demand": 98}, ("connections", "fail")),
        ({"clock_ahead": -2.0}, ("clock", "warn")),
        ({"clock_ahead": 61.0}, ("clock", "fail")),
        ({"statements": "available"}, ("pg_stat_statements", "warn")),
        ({"statements": "absent"}, ("pg_stat_statements", "warn")),
    ],
)
def test_one_bad_fact_is_one_finding_with_a_remedy(changes, expected):
    assert only(checklist(**changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"major": 14, "version": "14.20"},  # still fixed on that day
        {"major": 23, "version": "23.1"},  # newer than this list
        {"tls": None, "local": True, "sslmode": "prefer", "proven": False},
        {"tls": "TLSv1.3", "local": True, "sslmode": "prefer", "proven": False},
        {"password_source": "none", "local": True},
        {"password_source": "none", "asked": True},
        {"writes": True, "settings": {"read_only": False}},
        {"writes": True, "standby": True},
        {"pooled": True, "demand": 500},  # the pooler rations them
        {"superuser": False, "role_limit": 10},
    ],
)
def test_what_is_well_passes(changes):
    assert {finding.result for finding in checklist(**changes).values()} == {"pass"}


def test_the_oldest_idle_transaction_is_named():
    idle = (IdleTransaction(pid=7, seconds=5.0), IdleTransaction(pid=9, seconds=65.0))
    found = checklist(idle_transactions=idle)
    assert only(found) == ("idle in transaction", "warn")
    assert "2 of ours, pid 9 for 65.0 s" in found["idle in transaction"].found
    assert "pg_terminate_backend(9)" in found["idle in transaction"].remedy


def test_a_lost_limit_is_named_with_what_was_wanted():
    found = checklist(in_force=LIMITS | {"statement_timeout": 0.0})["timeouts"].found
    assert "statement_timeout none" in found
    assert found.endswith("the settings want statement_timeout 30 s")


def test_a_pooler_is_said_to_be_there():
    assert "in between" in checklist(pooled=True)["pooler"].found
    assert checklist(pooled=True)["pooler"].remedy
    assert not checklist(pooled=True, settings={"pooler": True})["pooler"].remedy


def test_a_database_that_is_down_is_one_finding():
    error = ConnectFailed("cannot connect to db.example:5432: connection refused")
    [finding] = not_reached(Unreached(error=error, password_source="~/.pgpass"))
    assert (finding.check, finding.result, finding.found) == ("reachable", "fail", error.message)
    assert finding.remedy


@pytest.mark.parametrize(
    ("source", "found"), [("PGPASSWORD", "refused; from PGPASSWORD"), ("none", "none was found")]
)
def test_a_refused_password_is_told_with_its_source(source, found):
    error = ConnectFailed("cannot connect: password authentication failed", sqlstate="28P01")
    reachable, password = not_reached(Unreached(error=error, password_source=source))
    assert reachable.result == password.result == "fail"
    assert (password.check, password.found) == ("password", found)


def test_settings_that_cannot_be_read_are_the_finding():
    error = SettingsError("sales: dsn_env names X, which is not set")
    [finding] = not_reached(Unreached(error=error, password_source=None))
    assert (finding.check, finding.result) == ("settings", "fail")
