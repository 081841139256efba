"""A password that slips into the line of a magic is refused, and never repeated."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.configuration import from_options
from pgmagic.errors import PgMagicError
from pgmagic.language.line import read_cell, read_line, read_words
from pgmagic.language.repeating import repeated
from pgmagic.language.targets import resolve_targets
from pgmagic.notebook.help import LINE_OPTIONS

CANARY = "hunter2"

# Where somebody may have written it: each is wrong on every line.
MISTAKES = [
    f"postgresql://u:{CANARY}@h/db",
    f"postgres://u:{CANARY}@h:5432/db",
    f"'postgresql://u:{CANARY}@h/db'",
    f"postgresql://u:pa@ss{CANARY}@h/db",
    f"postgresql://u:{CANARY}@h:99999/db",
    f"postgresql://u:{CANARY}@[::1/db",
    f"postgresql://u:x@h/db?password={CANARY}",
    f"postgresql://h/db?sslpassword={CANARY}",
    f"postgresql://{CANARY}",
    f"jdbc:postgresql://h/db?user=u&password={CANARY}",
    f"u:{CANARY}@h/db",
    f"password={CANARY}",
    f"PGPASSWORD={CANARY}",
    f"host=h password={CANARY}",
    f"'host=h password={CANARY}'",
    f"'password = {CANARY}'",
    f"--password {CANARY}",
    f"--password={CANARY}",
    f"--passwrd={CANARY}",
    f"--pwd {CANARY}",
    f"--dsn=postgresql://u:{CANARY}@h/db",
    f"--host postgresql://u:{CANARY}@h/db",
    f"--host u:{CANARY}@h",
    f"--sslmode postgresql://u:{CANARY}@h/db",
    f"--port postgresql://u:{CANARY}@h/db",
    f"--read-only postgresql://u:{CANARY}@h/db",
    f"--max-size u:{CANARY}@h",
    f"--connect-timeout=postgresql://u:{CANARY}@h/db",
    f"--into postgresql://u:{CANARY}@h/db",
    f"--limit u:{CANARY}@h",
    f"--as=postgresql://u:{CANARY}@h/db",
    f"--timeout postgresql://u:{CANARY}@h/db",
    f"--session postgresql://u:{CANARY}@h/db",
]


def connect(line: str) -> None:
    words, given = read_words(f"name {line}", "%pg_connect", LINE_OPTIONS["pg_connect"])
    given.pop("retry", None)
    name, *dsn = words
    from_options(name, dsn=dsn[0] if dsn else None, **given)


def of_targets(magic: str) -> Callable[[str], Any]:
    def read(line: str) -> None:
        words, _ = read_words(line, f"%{magic}", LINE_OPTIONS[magic])
        resolve_targets(words, ("a", "b"), {}, None)

    return read


MAGICS: dict[str, Callable[[str], Any]] = {
    "%%pg": lambda line: read_cell(line, "select 1", {}),
    "%pg": lambda line: read_line(f"{line} select 1", {"a": 1}, {}),
    "%pg_connect": connect,
    "%pg_connect --retry": of_targets("pg_connect"),
    "%pg_check": of_targets("pg_check"),
    "%pg_close": of_targets("pg_close"),
}


def told(magic: str, line: str) -> str:
    """Give all that a notebook could show of a line's error, in whatever mode."""
    try:
        MAGICS[magic](line)
    except PgMagicError as error:
        hidden = None if error.__suppress_context__ else error.__context__
        shown = [str(error), repr(error), repr(vars(error)), repr(error.__cause__), repr(hidden)]
        return "\n".join([*shown, *error._render_traceback_()])
    return ""


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("magic", MAGICS)
def test_no_error_repeats_a_password(magic, mistake):
    for line in (mistake, f"a {mistake}", f"{mistake} a"):
        assert CANARY not in told(magic, line), line


@pytest.mark.parametrize("magic", ["%%pg", "%pg"])
@pytest.mark.parametrize("line", [f"postgresql://u:{CANARY}@h/db", f"password={CANARY}"])
def test_a_connection_string_on_the_line_of_a_cell_is_refused(magic, line):
    with pytest.raises(PgMagicError, match="connection string has no place"):
        MAGICS[magic](f"a {line}")


def test_what_is_plainly_no_secret_is_repeated():
    with pytest.raises(PgMagicError, match="not 'three'") as error:
        read_cell("--limit three", "select 1", {})
    assert "--limit three" in "\n".join(error.value.report())


@given(
    st.text(st.characters(min_codepoint=33), min_size=1).filter(lambda text: "\n" not in text),
    st.sampled_from([":{}@h/db", "{}://", "host={}", "u:{}@h", "//{}"]),
)
def test_no_part_of_a_connection_string_is_repeated(secret, form):
    assert repeated(form.format(secret), "…") == "…"
