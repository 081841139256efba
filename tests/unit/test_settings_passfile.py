"""The password file is read as libpq reads it."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.passfile import find_password, passfile_problem

TEXT = st.text(
    st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1, max_size=20
)
WHO = {"host": "db", "port": 5432, "database": "sales", "user": "clerk"}


@pytest.fixture(scope="module")
def passfile(tmp_path_factory):
    path = tmp_path_factory.mktemp("home") / ".pgpass"
    path.touch(mode=0o600)
    return path


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


@given(host=TEXT, database=TEXT, user=TEXT, password=TEXT)
def test_escaped_fields_match_and_give_the_password(passfile, host, database, user, password):
    fields = [escaped(text) for text in (f"h{host}", database, user, password)]
    line = "{}:5432:{}:{}:{}\n".format(*fields)
    passfile.write_text(f"other:*:*:*:wrong\n{line}", encoding="utf-8", newline="")
    who = {"host": f"h{host}", "port": 5432, "database": database, "user": user}
    assert find_password(passfile, **who) == password


@given(st.text(":\\*#ab\n\r", max_size=60))
def test_any_text_can_be_searched(passfile, text):
    passfile.write_text(text, encoding="utf-8", newline="")
    find_password(passfile, **WHO)


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("", None),
        ("db:5432:sales:clerk:x", "x"),
        ("*:*:*:*:x\n", "x"),
        ("*:*:*:*:x\r\n", "x"),
        ("#*:*:*:*:x\n*:*:*:*:y\n", "y"),
        ("*:*:*:*:x\n*:*:*:*:y\n", "x"),
        ("*:*:*:*\n*:*:*:*:y\n", "y"),
        ("db*:*:*:*:x\n", None),
        ("\\*:*:*:*:x\n", None),
        ("d\\b:*:*:*:x\n", "x"),
        ("*:*:*:*:a:b\n", "a"),
        ("*:*:*:*:a\\:b\\\\c\\d\n", "a:b\\cd"),
        ("*:*:*:*:a\\\n", "a\\"),
        (" *:*:*:*:x\n", None),
        ("*:*:*:*: x \n", " x "),
        ("*:*:*:*:\n", ""),
        ("db:05432:*:*:x\n", None),
    ],
)
def test_a_line_matches_as_in_libpq(passfile, text, password):
    passfile.write_text(text, newline="")
    assert find_password(passfile, **WHO) == password


def test_no_file_and_a_file_that_others_may_read_have_no_password(tmp_path):
    path = tmp_path / ".pgpass"
    assert passfile_problem(path) is None
    assert find_password(path, **WHO) is None
    path.write_text("*:*:*:*:x\n")
    path.chmod(0o640)
    assert "0600" in (passfile_problem(path) or "")
    assert find_password(path, **WHO) is None
    path.chmod(0o400)
    assert find_password(path, **WHO) == "x"
    assert "plain file" in (passfile_problem(tmp_path) or "")
    assert find_password(tmp_path, **WHO) is None


def test_no_password_is_logged(tmp_path, caplog):
    from pgmagic.database.resolver import resolve
    from pgmagic.database.settings import DatabaseSettings

    path = tmp_path / ".pgpass"
    path.write_text("*:*:*:*:hunter2\n")
    path.chmod(0o644)
    caplog.set_level(logging.DEBUG)
    endpoint = resolve(DatabaseSettings(name="x", host="localhost"), environ={}, home=tmp_path)
    assert "~/.pgpass" in endpoint.password_source
    assert "~/.pgpass" in caplog.text
    assert "hunter2" not in caplog.text
