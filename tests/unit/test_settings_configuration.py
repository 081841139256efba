"""`pgmagic.toml`: what is read, from where, and what is refused by file and key."""

import pytest

from pgmagic.database.configuration import Configuration, from_options, load
from pgmagic.errors import SettingsError

PROJECT = """
default = "sales"
[defaults]
statement_timeout = 60
user = "clerk"
[databases.sales]
service = "sales"
[databases.shard_1]
dsn = "postgresql://db.example:5433/shards?connect_timeout=3&keepalives=1"
database = "one"
statement_timeout = 5
init = ["set search_path = a"]
[groups]
shards = ["shard_*", "@europe"]
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    return folder


def own(home, text):
    folder = home / "config" / "pgmagic"
    folder.mkdir(parents=True)
    (folder / "pgmagic.toml").write_text(text)


def read(project, home) -> Configuration:
    environ = {"XDG_CONFIG_HOME": str(home / "config")}
    return load(project, environ=environ, home=home)


def test_the_file_of_the_project_is_found_upwards(project, home):
    (project.parent / "pgmagic.toml").write_text(PROJECT)
    configuration = read(project, home)
    assert configuration.default == "sales"
    assert configuration.groups == {"shards": ("shard_*", "@europe")}
    assert configuration.origins == (project.parent / "pgmagic.toml",)
    sales, shard = configuration.databases["sales"], configuration.databases["shard_1"]
    assert (sales.name, sales.service, sales.user) == ("sales", "sales", "clerk")
    assert sales.statement_timeout == 60
    assert (shard.host, shard.port, shard.database) == ("db.example", "5433", "one")
    assert (shard.connect_timeout, shard.statement_timeout) == (3, 5)
    assert shard.init == ("set search_path = a",)


def test_the_users_own_file_adds_and_does_not_replace(project, home):
    (project / "pgmagic.toml").write_text("[databases.sales]\nhost = 'project'\n")
    own(home, "default = 'mine'\n[databases.sales]\nhost = 'own'\n[databases.mine]\nhost='x'\n")
    configuration = read(project, home)
    assert configuration.databases["sales"].host == "project"
    assert configuration.databases["mine"].host == "x"
    assert configuration.default == "mine"
    assert len(configuration.origins) == 2


def test_the_default_of_the_project_may_be_a_database_of_the_user(project, home):
    (project / "pgmagic.toml").write_text("default = 'mine'\n")
    own(home, "[databases.mine]\nhost = 'x'\n")
    assert read(project, home).default == "mine"


def test_no_file_is_an_empty_configuration(project, home):
    assert read(project, home) == Configuration()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[databases.sales]\nhots = 'x'", r"\[databases.sales\]: unknown setting 'hots'.*host"),
        ("[defaults]\nmax_sise = 1", r"\[defaults\]: unknown setting 'max_sise'.*max_size"),
        ("[defaults]\nmax_size = 0", r"\[defaults\]: max_size must be"),
        ("[database.sales]\nhost = 'x'", "unknown key 'database'.*databases"),
        ("[databases.sales]\nsslmode = 'full'", r"\[databases.sales\]: sslmode must be one of"),
        ("[databases.sales]\ndsn = 5", "dsn must be text"),
        ("[databases.sales]\ndsn = 'host=h sslpassword=hunter2'", "holds a password"),
        ("[databases.sales]\ndsn = 'host=h replication=on'", "replication is not supported"),
        ("[databases.sales]\ndsn = 'host=h sslcertmode=allow'", "sslcertmode.*dsn_env"),
        ("[databases.'a b']\nhost = 'x'", "'a b' cannot name a database"),
        ("[databases]\nsales = 'x'", r"databases.sales must be a table"),
        ("[groups]\nshards = 'x'", r"\[groups\] shards must be a list"),
        ("[groups]\nshards = []", r"\[groups\] shards must be a list"),
        ("default = 5", "default must be the name"),
        ("default = 'sale'\n[databases.sales]\nhost='h'", "names no database, 'sale'.*sales"),
        ("[databases.sales]\nhost = =", "is not TOML: line 2"),
    ],
)
def test_a_mistake_is_named_by_file_and_key(project, home, text, message):
    (project / "pgmagic.toml").write_text(text)
    with pytest.raises(SettingsError, match=f"(?s)pgmagic.toml.*{message}") as refusal:
        read(project, home)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        "password = 'hunter2'",
        "Password = 'hunter2'",
        "sslpassword = 'hunter2'",
        "dsn = 'postgresql://u:hunter2@h/d'",
        "dsn = 'hunter2'",
        "host = 'u:hunter2@h'",
        "port = 'hunter2'",
        "database = 'd' hunter2",
        "password = 'hunter2",
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(project, home, line):
    (project / "pgmagic.toml").write_text(f"[databases.sales]\n{line}\n")
    with pytest.raises(SettingsError) as refusal:
        read(project, home)
    assert "hunter2" not in str(refusal.value)


def test_a_password_in_the_file_is_told_where_to_go(project, home):
    (project / "pgmagic.toml").write_text("[databases.sales]\npassword = 'hunter2'\n")
    with pytest.raises(SettingsError, match="password_env"):
        read(project, home)


def test_what_was_typed_becomes_settings():
    settings = from_options(
        "sales", dsn="postgresql://clerk@db.example/sales", database="other", service=None
    )
    assert (settings.user, settings.host, settings.database) == ("clerk", "db.example", "other")
    assert settings.service is None


def test_a_password_that_was_typed_is_refused_and_not_repeated():
    for options in (
        {"dsn": "postgresql://clerk:hunter2@db.example/sales"},
        {"dsn": "host=h password=hunter2"},
        {"password": "hunter2"},
    ):
        with pytest.raises(SettingsError) as refusal:
            from_options("sales", **options)
        assert "hunter2" not in str(refusal.value)


def test_a_password_may_come_from_a_callable():
    assert from_options("sales", password=lambda: "x").password is not None


def test_a_variable_names_the_file_of_the_project(project, home, tmp_path):
    (project / "pgmagic.toml").write_text("[databases.sales]\nhost = 'project'\n")
    named = tmp_path / "workers.toml"
    named.write_text("[databases.sales]\nhost = 'named'\n")
    environ = {"XDG_CONFIG_HOME": str(home), "PGMAGIC_CONFIG": str(named)}
    configuration = load(project, environ=environ, home=home)
    assert configuration.databases["sales"].host == "named"
    named.unlink()
    with pytest.raises(SettingsError, match=r"PGMAGIC_CONFIG names .*, and there is no"):
        load(project, environ=environ, home=home)
