"""Connection strings are read as libpq reads them, and never repeated."""

import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.dsn import is_dsn, parse_dsn
from pgmagic.errors import SettingsError
from pgmagic.secret import Secret

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
# Passwords that people paste as they are, full of what means something in a DSN.
PASSWORD = st.text("ab1/@#?%:[]&=,' \\+é", min_size=3).map(lambda text: f"zQ{text}Qz")


def read(text: str) -> dict[str, str]:
    layer = parse_dsn(text, allow_password=True)
    return {**layer.values, **{key: secret.reveal() for key, secret in layer.secrets.items()}}


@given(user=TEXT, password=TEXT, host=TEXT, database=TEXT, application=TEXT)
def test_a_quoted_uri_gives_its_parts_back(user, password, host, database, application):
    parts = [quote(text, safe="") for text in (user, password, host, database, application)]
    uri = "postgresql://{}:{}@{}:5433/{}?application_name={}".format(*parts)
    assert read(uri) == {
        "user": user,
        "password": password,
        "host": host,
        "port": "5433",
        "dbname": database,
        "application_name": application,
    }


@given(user=TEXT, password=TEXT, blanks=st.sampled_from(["=", " = ", "\t=\n"]))
def test_quoted_keywords_give_their_values_back(user, password, blanks):
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    text = f" user{blanks}{quoted(user)} password{blanks}{quoted(password)} "
    assert read(text) == {"user": user, "password": password}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://", {}),
        ("postgresql:///", {}),
        ("postgres://h", {"host": "h"}),
        ("postgresql://u@", {"user": "u"}),
        ("postgresql://@/d", {"dbname": "d"}),
        ("postgresql://a:1,b,[::1]:3/d", {"host": "a,b,::1", "port": "1,,3", "dbname": "d"}),
        ("postgresql://,", {"host": ",", "port": ","}),
        ("postgresql://h?sslmode=disable", {"host": "h", "sslmode": "disable"}),
        ("postgresql://h/?ssl=true", {"host": "h", "sslmode": "require"}),
        ("postgresql://h/d?host=i&", {"host": "i", "dbname": "d"}),
        ("postgresql://h/a/b", {"host": "h", "dbname": "a/b"}),
        ("postgresql://h]/d", {"host": "h]", "dbname": "d"}),
        ("host=h  port = 1", {"host": "h", "port": "1"}),
        ("host= port=1", {"host": "port=1"}),
        ("host='' port=1", {"host": "", "port": "1"}),
        ("host=h user='it\\'s' ", {"host": "h", "user": "it's"}),
        ("user=a\\ b\\", {"user": "a b"}),
        ("user=a\\ ", {"user": "a "}),
        ("requiressl=1", {"sslmode": "require"}),
    ],
)
def test_libpq_would_read_the_same(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "sales",
        "",
        "mysql://h/d",
        "postgresql://[::1/d",
        "postgresql://[]/d",
        "postgresql://[::1]x/d",
        "postgresql://h/d?x",
        "postgresql://h/d?a=b=c",
        "postgresql://h/d?&a=b",
        "postgresql://h/d?pool=1",
        "postgresql://h/%zz",
        "postgresql://h/%",
        "postgresql://h/%00",
        "host",
        "host=h port",
        "host='h",
        "host='h\\'",
        "pool=1",
        "=1",
        "postgresql://u:a@b@h/d",
        "postgresql://u:1/b@h/d",
        "postgresql://h:five/d",
    ],
)
def test_what_libpq_would_refuse_is_refused(text):
    with pytest.raises(SettingsError, match="DSN cannot be read: "):
        parse_dsn(text)


@given(st.text() | st.text("postgresql://:@[],?&=%'\\ ahost").map("postgresql://{}".format))
def test_any_text_is_read_or_refused(text):
    try:
        layer = parse_dsn(text, allow_password=True)
    except SettingsError:
        return
    assert all(isinstance(value, str) for value in layer.values.values())
    assert all(isinstance(secret, Secret) for secret in layer.secrets.values())


@given(password=PASSWORD, form=st.sampled_from(["uri", "query", "keyword", "quoted"]))
def test_no_password_is_repeated_however_it_is_written(password, form):
    """Neither quoted nor escaped, a password may break the string in any place."""
    text = {
        "uri": f"postgresql://clerk:{password}@db.example/sales",
        "query": f"postgresql://db.example/sales?password={password}",
        "keyword": f"host=db.example password={password}",
        "quoted": f"host=db.example password='{password}'",
    }[form]
    with pytest.raises(SettingsError) as caught:
        parse_dsn(text)
    refusal = caught.value
    told = str(refusal) + "".join(traceback.format_exception(refusal))
    walked = traceback.TracebackException.from_exception(refusal, capture_locals=True)
    held = "".join(
        str(frame.locals) for frame in walked.stack if frame.filename.endswith("database/dsn.py")
    )
    pieces = [password, *(piece for piece in password.split("@") if "zQ" in piece or "Qz" in piece)]
    assert not any(piece in told or piece in held for piece in pieces)
    assert refusal.__context__ is None


def test_a_password_is_refused_where_it_was_typed_and_accepted_where_it_was_not():
    text = "postgresql://clerk:hunter2@db.example/sales"
    with pytest.raises(SettingsError, match="holds a password") as refusal:
        parse_dsn(text)
    assert "hunter2" not in str(refusal.value)
    layer = parse_dsn(text, allow_password=True)
    assert layer.secrets["password"].reveal() == "hunter2"
    assert "hunter2" not in repr(layer)


@pytest.mark.parametrize("text", ["postgresql://", "postgres://h", "host=h", "a="])
def test_a_dsn_is_told_from_a_name(text):
    assert is_dsn(text)
    assert not is_dsn("sales")
