"""Where pgmagic decides for itself, and what it refuses; the rest is compared with psql."""

import asyncio
import sys
import types

import pytest

from pgmagic.database.passwords import Prompts
from pgmagic.database.resolver import resolve
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SettingsError


@pytest.fixture
def resolved(tmp_path):
    def resolved(environ=None, ask=None, **settings):
        prompts = None if ask is None else Prompts(ask)
        one = DatabaseSettings(name="sales", **settings)
        return resolve(one, environ=environ or {}, home=tmp_path, prompts=prompts)

    return resolved


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("localhost", "prefer"),
        ("127.0.0.1", "prefer"),
        ("127.9.9.9", "prefer"),
        ("::1", "prefer"),
        ("/run,localhost", "prefer"),
        ("db.example", "verify-full"),
        ("10.0.0.1", "verify-full"),
        ("localhost.example", "verify-full"),
        ("localhost,db.example", "verify-full"),
    ],
)
def test_off_this_machine_the_server_must_prove_itself(resolved, host, mode):
    endpoint = resolved(host=host)
    assert endpoint.sslmode == mode
    assert endpoint.is_proven == (mode == "verify-full")


def test_the_address_and_not_the_name_says_whether_it_is_this_machine(resolved):
    assert resolved(host="localhost", hostaddr="10.0.0.1").sslmode == "verify-full"
    assert resolved(host="db.example", hostaddr="127.0.0.1").sslmode == "prefer"


def test_whoever_says_otherwise_is_believed(resolved):
    assert resolved(host="db.example", sslmode="prefer").sslmode == "prefer"
    assert resolved({"PGSSLMODE": "disable"}, host="db.example").ssl is None
    assert resolved({"PGSSLMODE": "disable"}, host="h", sslmode="require").sslmode == "require"


def test_the_systems_authorities_want_the_name_as_well(resolved):
    endpoint = resolved(host="localhost", sslrootcert="system")
    assert endpoint.sslmode == "verify-full"
    with pytest.raises(SettingsError, match="weak sslmode"):
        resolved(host="localhost", sslrootcert="system", sslmode="require")


def test_direct_tls_wants_tls(resolved):
    assert resolved(host="h", sslnegotiation="direct").direct_tls
    with pytest.raises(SettingsError, match="weak sslmode"):
        resolved(host="localhost", sslnegotiation="direct")


@pytest.mark.parametrize(
    "variable", ["PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER", "PGGSSENCMODE"]
)
def test_what_asyncpg_cannot_demand_is_refused(resolved, variable):
    with pytest.raises(SettingsError, match=f"sales: {variable}: .* not supported"):
        resolved({variable: "require"})


def test_settings_win_over_the_dsn_that_over_the_environment(resolved):
    environ = {
        "SALES": "postgresql://dsn_user@dsn.example:5433/dsn",
        "PGHOST": "env.example",
        "PGAPPNAME": "env",
    }
    endpoint = resolved(environ, dsn_env="SALES", host="own.example")
    assert endpoint.addresses == (("own.example", 5433),)
    assert (endpoint.user, endpoint.database) == ("dsn_user", "dsn")
    assert endpoint.server_settings["application_name"] == "env"


def test_the_variable_of_the_dsn_must_be_there(resolved):
    with pytest.raises(SettingsError, match="SALES, which is not set"):
        resolved(dsn_env="SALES")


@pytest.mark.parametrize("dsn", ["hunter2", "postgresql://u:hunter2@h:x/", "x=hunter2"])
def test_a_dsn_that_cannot_be_read_is_named_by_its_variable(resolved, dsn):
    with pytest.raises(SettingsError, match="sales: DSN in SALES cannot be read") as refusal:
        resolved({"SALES": dsn}, dsn_env="SALES")
    assert "hunter2" not in str(refusal.value)


def test_the_limits_go_with_the_first_packet_in_milliseconds(resolved):
    settings = resolved(statement_timeout=0.0001, lock_timeout=0).server_settings
    assert settings == {
        "application_name": "pgmagic/sales",
        "statement_timeout": "1",
        "idle_in_transaction_session_timeout": "60000",
        "lock_timeout": "0",
    }
    own = resolved(statement_timeout=None, idle_in_transaction_session_timeout=None)
    assert dict(own.server_settings) == {"application_name": "pgmagic/sales"}


def test_a_limit_in_pgoptions_wins_over_the_default_and_not_over_the_settings(resolved):
    environ = {"PGOPTIONS": "-c statement_timeout=5min"}
    assert resolved(environ).server_settings["statement_timeout"] == "5min"
    assert resolved(environ, statement_timeout=7).server_settings["statement_timeout"] == "7000"


@pytest.mark.parametrize(
    ("written", "seconds"), [("", 10), ("0", 10), ("-1", 10), ("3", 3), ("0.5", 0.5)]
)
def test_connecting_never_takes_for_ever(resolved, written, seconds):
    assert resolved({"PGCONNECT_TIMEOUT": written}).connect_timeout == seconds
    assert resolved({"PGCONNECT_TIMEOUT": written}, connect_timeout=4.0).connect_timeout == 4


@pytest.mark.parametrize("written", ["soon", "nan"])
def test_a_connect_timeout_that_is_no_number_is_refused_or_bounded(resolved, written):
    if written == "nan":
        assert resolved({"PGCONNECT_TIMEOUT": written}).connect_timeout == 10
    else:
        with pytest.raises(SettingsError, match="PGCONNECT_TIMEOUT"):
            resolved({"PGCONNECT_TIMEOUT": written})


# -- passwords


async def test_the_nearest_password_counts(resolved, tmp_path, monkeypatch):
    """Callable, variable, keyring, DSN, service, PGPASSWORD, password file."""
    keyring = types.ModuleType("keyring")
    keyring.get_password = lambda service, account: f"{service} {account}"
    keyring.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    (tmp_path / ".pgpass").write_text("*:*:*:*:from file\n")
    (tmp_path / ".pgpass").chmod(0o600)
    (tmp_path / ".pg_service.conf").write_text("[s]\npassword=from service\n")
    environ = {
        "TOKEN": "from variable",
        "DSN": "password='from dsn' host=h user=u",
        "PGPASSWORD": "from PGPASSWORD",
    }

    async def provider() -> str:
        return "from callable"

    layers = [
        ({"password": provider}, "callable", "from callable"),
        ({"password_env": "TOKEN"}, "TOKEN", "from variable"),
        ({"keyring": True}, "keyring", "pgmagic u@h:5432/u"),
        ({"dsn_env": "DSN"}, "DSN in DSN", "from dsn"),
        ({"service": "s"}, "service s", "from service"),
        ({}, "PGPASSWORD", "from PGPASSWORD"),
    ]
    settings: dict = {}
    for given, source, password in reversed(layers):
        settings |= given
        endpoint = resolved(environ, **settings)
        assert (endpoint.password_source, await endpoint.password()) == (source, password)
    del environ["PGPASSWORD"]
    endpoint = resolved(environ)
    assert (endpoint.password_source, await endpoint.password()) == ("~/.pgpass", "from file")


async def test_a_rotating_password_is_asked_for_each_time(resolved):
    tokens = iter(["one", "two"])
    endpoint = resolved(password=lambda: next(tokens))
    assert [await endpoint.password(), await endpoint.password()] == ["one", "two"]


async def test_a_password_of_the_environment_may_change(resolved):
    environ = {"TOKEN": "one"}
    endpoint = resolved(environ, password_env="TOKEN")
    environ["TOKEN"] = "two"
    assert await endpoint.password() == "two"


async def test_a_password_that_cannot_be_sent_is_refused_before_the_driver_sees_it(
    resolved, tmp_path
):
    (tmp_path / ".pgpass").write_bytes("*:*:*:*:hunter2é\n".encode("latin-1"))
    (tmp_path / ".pgpass").chmod(0o600)
    for endpoint in (
        resolved(),
        resolved({"PGPASSWORD": "hunter2\udce9"}),
        resolved({"TOKEN": "hunter2\udce9"}, password_env="TOKEN"),
    ):
        with pytest.raises(SettingsError, match="UTF-8") as refusal:
            await endpoint.password()
        assert "hunter2" not in str(refusal.value)


def test_a_socket_looks_at_no_certificate(resolved, tmp_path):
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_text("junk")
    assert resolved(host="/run", sslmode="verify-full").ssl is None
    with pytest.raises(SettingsError, match="could not be read"):
        resolved(host="/run,localhost")


async def test_a_provider_that_gives_no_text_is_named(resolved):
    endpoint = resolved(password=lambda: b"hunter2")
    with pytest.raises(SettingsError, match="sales: password gave bytes") as refusal:
        await endpoint.password()
    assert "hunter2" not in str(refusal.value)


def test_a_source_that_is_not_there_is_named(resolved, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SettingsError, match="keyring is not installed"):
        resolved(keyring=True)
    with pytest.raises(SettingsError, match="TOKEN, which is not set"):
        resolved(password_env="TOKEN")


async def test_no_password_is_none(resolved):
    endpoint = resolved()
    assert endpoint.password_source == "none"
    assert await endpoint.password() is None


async def test_the_user_is_asked_once_however_many_want_to_know(resolved):
    asked = []

    async def ask(account: str) -> str:
        asked.append(account)
        await asyncio.sleep(0)
        return "typed"

    endpoint = resolved(ask=ask, host="localhost", user="clerk")
    assert await endpoint.password() is None
    await asyncio.gather(*(endpoint.prompt.ask() for _ in range(5)))
    assert await endpoint.password() == "typed"
    assert asked == ["clerk@localhost:5432/clerk"]
    endpoint.prompt.forget(endpoint.prompt.remembered)
    assert await endpoint.password() is None


def test_no_one_is_asked_where_there_is_a_password(resolved):
    async def ask(account: str) -> str:
        raise AssertionError("nobody should be asked")

    assert resolved({"PGPASSWORD": "x"}, ask=ask).prompt is None


async def test_nothing_shows_a_password(resolved, caplog):
    caplog.set_level("DEBUG")
    environ = {
        "DSN": "postgresql://u:hunter2@h/d",
        "PGPASSWORD": "hunter3",
        "PGOPTIONS": "-c app.token=hunter4",
    }
    endpoint = resolved(environ, dsn_env="DSN")
    assert await endpoint.password() == "hunter2"
    shown = f"{endpoint!r} {list(endpoint.attempts())!r} {endpoint.password!r} {caplog.text}"
    assert "hunter" not in shown
    assert "password_source='DSN in DSN'" in caplog.text
