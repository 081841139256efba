"""Connection strings, both of libpq's kinds: `postgresql://…` and `host=… dbname=…`.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING

No message repeats any part of a string: which part is the password is known only once the string
has been read.
"""

import re
from collections.abc import Iterator

from pgmagic.database.parameters import KEYWORDS, SECRETS, Layer
from pgmagic.errors import SettingsError
from pgmagic.secret import Secret

__all__ = ["is_dsn", "parse_dsn"]

URI = re.compile(r"postgres(?:ql)?://")
AUTHORITY = re.compile(r"[^@/]*@")
HOST = re.compile(r"\[(?P<address>[^\]]*)\]|(?P<name>[^:/?,]*)")
PORT = re.compile(r":([^/?,]*)")
PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")
KEYWORD = re.compile(r"\s*([^=\s]+)\s*=\s*", re.ASCII)
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
BARE = re.compile(r"((?:[^\s\\]|\\.|\\\Z)*)", re.DOTALL | re.ASCII)
ESCAPED = re.compile(r"\\(.|\Z)", re.DOTALL)
QUOTING = "in a URI, @ : / ? # and % of a password are written %40 %3A %2F %3F %23 %25"


class _Unreadable(Exception):
    """Why a connection string cannot be read; says nothing of its text."""


def is_dsn(text: str) -> bool:
    """Tell a connection string from a name, as psql does."""
    return URI.match(text) is not None or "=" in text


def parse_dsn(text: str, *, allow_password: bool = False, origin: str = "DSN") -> Layer:
    """Read a connection string into libpq's keywords.

    With `allow_password=False`, right for what is typed into a cell, a string that holds a
    password is refused. Raises SettingsError, which repeats nothing of the text.
    """
    problem, layer = _read(text, origin)
    # The error below must not carry a frame that holds the text.
    del text
    if layer is None:
        raise SettingsError(f"{origin} cannot be read: {problem}")
    if layer.secrets and not allow_password:
        raise SettingsError(
            f"{origin} holds a password, which would stay in the notebook and its history",
            hint="leave it out; use ~/.pgpass, a service, password_env, keyring or dsn_env",
        )
    return layer


def _read(text: str, origin: str) -> tuple[str, Layer | None]:
    try:
        if URI.match(text):
            pairs = list(_uri_pairs(text))
        elif "=" in text:
            pairs = list(_keyword_pairs(text))
        else:
            return "neither postgresql://… nor keyword=value", None
        return "", Layer.of(origin, [_checked(keyword, value) for keyword, value in pairs])
    except _Unreadable as error:
        return str(error), None


def _checked(keyword: str, value: str) -> tuple[str, str | Secret]:
    if "\0" in value:
        raise _Unreadable("it holds a NUL character")
    if keyword == "requiressl":
        return "sslmode", "require" if value.startswith("1") else "prefer"
    if keyword not in KEYWORDS:
        raise _Unreadable("it holds a word that is not a connection parameter")
    return keyword, Secret(value) if keyword in SECRETS else value


def _uri_pairs(uri: str) -> Iterator[tuple[str, str]]:
    match = URI.match(uri)
    assert match is not None, "the caller has looked"
    at = match.end()
    if credentials := AUTHORITY.match(uri, at):
        user, _, password = credentials[0][:-1].partition(":")
        at = credentials.end()
        for keyword, value in (("user", user), ("password", password)):
            if value:
                yield keyword, _decoded(value)
    hosts, ports, at = _hosts(uri, at)
    # Commas alone count: `postgresql://,` means two default hosts.
    for keyword, values in (("host", hosts), ("port", ports)):
        if any(values) or len(values) > 1:
            yield keyword, _decoded(",".join(values))
    path, question, query = uri[at:].partition("?")
    # What libpq would take for a host or a database may be half of a password: such a thing
    # must not go on to where hosts and databases are shown.
    if "@" in path or any("@" in host for host in hosts):
        raise _Unreadable(f'there is a second "@"; {QUOTING}')
    if any(port and not port.isdigit() for port in ports):
        raise _Unreadable(f"a port is not a number; {QUOTING}")
    if path not in ("", "/"):
        yield "dbname", _decoded(path[1:])
    if question and query:
        yield from map(_query_pair, query.removesuffix("&").split("&"))


def _hosts(uri: str, at: int) -> tuple[list[str], list[str], int]:
    """Read `host:port,host:port…`; the ends of both lists match."""
    hosts, ports = [], []
    while True:
        host = HOST.match(uri, at)
        assert host is not None, "the pattern matches the empty text as well"
        if host["address"] == "":
            raise _Unreadable("an IPv6 address is empty")
        hosts.append(host["address"] or host["name"] or "")
        at = host.end()
        if host["address"] and uri[at : at + 1] not in ("", ":", "/", "?", ","):
            raise _Unreadable("an IPv6 address is followed by something else than a port")
        if (host["name"] or "").startswith("["):
            raise _Unreadable('an IPv6 address lacks its "]"')
        port = PORT.match(uri, at)
        ports.append(port[1] if port else "")
        at = port.end() if port else at
        if uri[at : at + 1] != ",":
            return hosts, ports, at
        at += 1


def _query_pair(pair: str) -> tuple[str, str]:
    keyword, equals, value = pair.partition("=")
    if not equals or "=" in value:
        raise _Unreadable("a part of its query is not keyword=value")
    keyword, value = _decoded(keyword), _decoded(value)
    if (keyword, value) == ("ssl", "true"):
        return "sslmode", "require"
    return keyword, value


def _decoded(text: str) -> str:
    """Undo percent signs; unlike a form's, a plus sign is itself."""

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise _Unreadable("a percent sign is not followed by two hexadecimal digits")
        return bytes.fromhex(match[1].decode())

    raw = PERCENT.sub(byte, text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def _keyword_pairs(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        keyword = KEYWORD.match(text, at)
        if keyword is None:
            raise _Unreadable('a keyword is not followed by "="')
        at = keyword.end()
        quoted = text.startswith("'", at)
        value = (QUOTED if quoted else BARE).match(text, at)
        if value is None:
            raise _Unreadable("a quoted value does not end")
        at = value.end()
        yield keyword[1], ESCAPED.sub(r"\1", value[1])
