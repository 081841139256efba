"""Any connection string is read as libpq itself reads it."""

import ctypes
import ctypes.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmagic.database.dsn import parse_dsn
from pgmagic.errors import SettingsError
from tests.servers import missing


class Option(ctypes.Structure):
    """PQconninfoOption, https://www.postgresql.org/docs/current/libpq-connect.html"""

    _fields_ = [
        ("keyword", ctypes.c_char_p),
        ("envvar", ctypes.c_char_p),
        ("compiled", ctypes.c_char_p),
        ("val", ctypes.c_char_p),
        ("label", ctypes.c_char_p),
        ("dispchar", ctypes.c_char_p),
        ("dispsize", ctypes.c_int),
    ]


@pytest.fixture(scope="module")
def libpq():
    name = ctypes.util.find_library("pq")
    if name is None:
        missing("libpq is not installed")
    library = ctypes.CDLL(name)
    library.PQconninfoParse.restype = ctypes.POINTER(Option)
    library.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]
    library.PQconninfoFree.argtypes = [ctypes.POINTER(Option)]
    return library


def read_by_libpq(libpq, text: str) -> dict[str, str] | None:
    """Give what libpq makes of a string, or None where it refuses it."""
    options = libpq.PQconninfoParse(text.encode(), None)
    if not options:
        return None
    found = {}
    at = 0
    while options[at].keyword is not None:
        if options[at].val is not None:
            found[options[at].keyword.decode()] = options[at].val.decode("utf-8", "replace")
        at += 1
    libpq.PQconninfoFree(options)
    return found


def read_by_pgmagic(text: str) -> dict[str, str] | None:
    try:
        layer = parse_dsn(text, allow_password=True)
    except SettingsError:
        return None
    found = {key: secret.reveal() for key, secret in layer.secrets.items()} | dict(layer.values)
    return {key: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for key, value in found.items()}  # fmt: skip


def stricter_here(found: dict[str, str] | None) -> bool:
    """What libpq takes for a host or a database and may be half of a password."""
    if found is None:
        return False
    ports = found.get("port", "").replace(",", "")
    at_sign = any("@" in found.get(keyword, "") for keyword in ("host", "dbname"))
    return at_sign or bool(ports and not ports.isdigit())


PIECES = ["host", "port", "user", "password", "dbname", "options", "sslmode", "ssl", "true"]
MARKS = ["=", "'", "\\", ":", "/", "@", "?", "&", ",", "[", "]", "%41", "%e9", "%", "#", "+", "1"]
WORDS = st.lists(st.sampled_from([*PIECES, *MARKS, *MARKS, "é", "5432"]), max_size=12).map("".join)
PAIRS = st.lists(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(PIECES[:6]),
        st.sampled_from(["=", " = ", "= ", "\t=\n", " "]),
        st.one_of(WORDS, WORDS.map("'{}'".format), st.just("")),
        st.sampled_from([" ", "  ", "\n", ""]),
    ),
    max_size=4,
).map("".join)


@settings(max_examples=300)
@given(text=PAIRS)
def test_keywords_are_read_as_by_libpq(libpq, text):
    if "=" not in text:
        return
    assert read_by_pgmagic(text) == read_by_libpq(libpq, text)


@settings(max_examples=300)
@given(rest=WORDS)
def test_uris_are_read_as_by_libpq(libpq, rest):
    text = f"postgresql://{rest}"
    ours, theirs = read_by_pgmagic(text), read_by_libpq(libpq, text)
    assert ours == theirs or (ours is None and stricter_here(theirs))
