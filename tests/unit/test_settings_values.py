"""Settings say at once, and by name, what is wrong with a value."""

import asyncio
from functools import partial

import pytest

from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SettingsError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_size", 0),
        ("max_size", True),
        ("max_size", 2.5),
        ("min_size", -1),
        ("min_size", 11),
        ("max_queries", 0),
        ("statement_cache_size", -1),
        ("acquire_timeout", 0),
        ("acquire_timeout", float("nan")),
        ("acquire_timeout", float("inf")),
        ("command_timeout", 0),
        ("command_timeout", "60"),
        ("statement_timeout", -1),
        ("connect_timeout", 0),
        ("reset_timeout", False),
        ("acquire_timeout", None),
        ("fail_max", 0),
        ("fail_max", None),
        ("port", 0),
        ("port", 65536),
        ("port", "5432,x"),
        ("port", True),
        ("host", 5),
        ("host", "user:secret@example.org"),
        ("database", "a\0b"),
        ("sslmode", "full"),
        ("target_session_attrs", "master"),
        ("keyring", "yes"),
        ("read_only", None),
        ("init", "select 1"),
        ("init", (1,)),
        ("password", "hunter2"),
    ],
)
def test_a_bad_value_is_refused_by_name(field, value):
    with pytest.raises(SettingsError) as refusal:
        DatabaseSettings(name="sales", **{field: value})
    assert refusal.value.message.startswith(f"sales: {field} ")
    assert "secret" not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("statement_timeout", 0),
        ("statement_timeout", None),
        ("lock_timeout", 0.5),
        ("command_timeout", None),
        ("port", "5432,5433"),
        ("port", ","),
        ("pooler", None),
        ("password", lambda: "x"),
        ("init", ("set role clerk",)),
    ],
)
def test_a_good_value_is_kept(field, value):
    assert getattr(DatabaseSettings(name="sales", **{field: value}), field) == value


def test_statements_may_be_written_as_a_list():
    assert DatabaseSettings(name="sales", init=["set role clerk"]).init == ("set role clerk",)


@pytest.mark.parametrize("name", ["", "1st", "@shards", "shard_*", "a b", "-x", "a,b", None, 5])
def test_a_name_that_could_not_be_a_target_is_refused(name):
    with pytest.raises(SettingsError, match="cannot name a database"):
        DatabaseSettings(name=name)


@pytest.mark.parametrize("name", ["sales", "shard_1", "eu-west.staging", "Köln"])
def test_a_name_is_one_word(name):
    assert DatabaseSettings(name=name).name == name


def test_a_password_bound_to_a_provider_is_not_shown():
    settings = DatabaseSettings(name="sales", password=partial(asyncio.sleep, 0, "hunter2"))
    assert "hunter2" not in repr(settings)
