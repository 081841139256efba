"""The front end's own prompt for a password."""

import itertools
import queue
from collections.abc import Iterator

import pytest

from tests.kernels import PATIENCE, Kernel, Reply
from tests.servers import Administrator, TestDatabase

pytestmark = pytest.mark.usefixtures("no_passwords")


@pytest.fixture
def no_passwords(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))


SECRETS = {"a": "sesame", "b": "mellon"}
_numbers = itertools.count(1)


@pytest.fixture
def clerk(administrator: Administrator, second_administrator: Administrator) -> Iterator[str]:
    """A role on both servers, of whom the kernel has never heard."""
    name = f"clerk_{next(_numbers)}"
    both = (administrator, second_administrator)
    for one, secret in zip(both, SECRETS.values(), strict=True):
        one.execute(f"create role {name} login password '{secret}'")
    yield name
    for one in both:
        one.execute(f"drop role {name}")


@pytest.fixture
def locked(
    kernel: Kernel, databases: tuple[TestDatabase, TestDatabase], clerk: str
) -> Iterator[Kernel]:
    """A kernel that has `a` and `b` without a password."""
    kernel.run(
        "from pgmagic import DatabaseSettings\n"
        "client = get_ipython().pgmagic.client\n"
        "before = client.databases['a'], client.databases['b']"
    ).ok()
    for name, database in zip("ab", databases, strict=True):
        kernel.run(
            f"await client.add(DatabaseSettings(name={name!r}, host={database.host!r}, "
            f"port={database.port}, user={clerk!r}, database={database.name!r}))"
        ).ok()
    yield kernel
    kernel.run("for settings in before: await client.add(settings)").ok()


def ask(kernel: Kernel, code: str) -> str:
    """Send a cell that may ask."""
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True}
    return kernel.send("execute_request", content | {"user_expressions": {}, "stop_on_error": True})


def question(kernel: Kernel) -> dict:
    return kernel.client.get_stdin_msg(timeout=PATIENCE)["content"]


def answered(kernel: Kernel, code: str, *passwords: str) -> Reply:
    """Run a cell, and type these as often as it asks."""
    request = ask(kernel, code)
    for password in passwords:
        question(kernel)
        kernel.client.input(password)
    reply = kernel.finish(request)
    with pytest.raises(queue.Empty):
        kernel.client.get_stdin_msg(timeout=0)
    return reply


def test_the_password_is_asked_for_once_and_shown_nowhere(locked, databases, clerk):
    secret, database = SECRETS["a"], databases[0]
    request = ask(locked, "%%pg a\nselect 1 as one")
    asked = question(locked)
    assert asked["password"] is True
    assert f"{clerk}@{database.host}:{database.port}/{database.name}" in asked["prompt"]
    locked.client.input(secret)
    first = locked.finish(request).ok()
    again = locked.run("%pg_close\nx = %pg a select 2 as two\nprint(x)").ok()
    assert "two" in again.stdout
    assert secret not in f"{first}{again}"
    assert secret not in str(locked.value("In[-5:]"))


def test_a_mistyped_password_is_one_error_and_the_next_cell_asks_again(locked):
    refused = answered(locked, "%%pg a\nselect 1", "hunter2").failed("ConnectFailed")
    assert "password authentication failed" in refused.traceback
    assert "hunter2" not in str(refused)
    answered(locked, "%%pg a\nselect 1", SECRETS["a"]).ok()


def test_two_databases_ask_one_after_the_other(locked, databases):
    request = ask(locked, "%%pg a b\nselect 1")
    for _ in databases:
        prompt = question(locked)["prompt"]
        locked.client.input(SECRETS["a" if databases[0].name in prompt else "b"])
    locked.finish(request).ok()


def test_a_line_magic_asks_too(locked):
    answered(locked, "x = %pg a select 1", SECRETS["a"]).ok()


def test_stop_ends_the_question_and_the_cell(locked):
    request = ask(locked, "%%pg a b\nselect 1")
    question(locked)
    locked.interrupt()
    assert locked.finish(request).status == "error"
    with pytest.raises(queue.Empty):
        locked.client.get_stdin_msg(timeout=0)
    answered(locked, "%%pg a\nselect 1", SECRETS["a"]).ok()


@pytest.mark.parametrize("code", ["%%pg a\nselect 1", "%pg a select 1"])
def test_where_no_input_is_allowed_the_error_names_the_places(locked, code):
    refused = locked.run(code).failed("ConnectFailed")
    assert "the server wants a password" in refused.traceback
    assert ".pgpass" in refused.traceback


def test_a_cell_in_the_background_asks_nobody(locked):
    answered(locked, "task = %pg --background a select 1").ok()
    assert "the server wants a password" in answered(locked, "await task").traceback
