"""Whatever a server says where TLS is wished for, it gets no password and is not believed."""

import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgmagic.errors import PgMagicError
from tests.hostile import wire
from tests.hostile.lies import LIES, TLS, WORDS
from tests.hostile.outcomes import at_once, in_little_memory, outcome_at
from tests.hostile.scripted import CANARY, TIMEOUT, ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_stray")

ASKS = {"startup": wire.authentication(3)}  # for the password, in clear
UNDER_TLS = (
    "speaks nothing but zeros",
    "speaks garbage",
    "wants SCRAM for an hour",
    "goes on with SCRAM that was not begun",
    "refuses in words without an end",
    "claims a negative length",
    "lets us in, and speaks garbage",
)
SOON: dict[str, Any] = {"connect_timeout": TIMEOUT / 3}  # it is tried three times


@pytest.fixture
def proven(tmp_path: Path, certificate_authority: Any) -> dict[str, str]:
    """Give settings that trust one authority, and no server that another one speaks for."""
    certificate_authority.cert_pem.write_to_path(tmp_path / "root.crt")
    return {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "root.crt")}


async def outcome_and_heard(server: ScriptedServer, **settings: Any) -> tuple[Any, bytes]:
    """Ask a server; give the rows or the error, and all it has heard."""
    async with server:
        got = await outcome_at(server, **settings)
    return got, bytes(server.heard)


async def test_what_is_no_tls_is_one_error_and_hears_nothing(proven):
    answers = await at_once(
        partial(
            outcome_and_heard, ScriptedServer(ASKS | script), **proven | SOON | {"sslmode": mode}
        )
        for script in [*TLS.values(), {"tls": b"N"}]
        for mode in ("require", "verify-full")
    )
    for got, heard in answers:
        assert isinstance(got, PgMagicError)
        assert WORDS not in str(got)
        assert CANARY.encode() not in heard
        assert b"database" not in heard, "who we are and what we want"


async def test_what_is_no_tls_gives_one_error_or_goes_on_in_clear_where_that_is_allowed():
    async with in_little_memory():
        answers = await at_once(
            partial(outcome_and_heard, ScriptedServer(script), sslmode="prefer", **SOON)
            for script in TLS.values()
        )
    for got, heard in answers:
        assert isinstance(got, PgMagicError) or got == [[1]]
        assert WORDS not in str(got)
        assert CANARY.encode() not in heard


async def test_what_came_in_clear_is_not_read_as_if_it_came_under_tls(proven, server_tls):
    for stuffed in (wire.error(WORDS), wire.greeting() + wire.ready(b"E"), wire.authentication(3)):
        server = ScriptedServer({"tls": b"S" + stuffed} | ASKS, secured=server_tls)
        got, heard = await outcome_and_heard(server, **proven)
        assert isinstance(got, PgMagicError)
        assert WORDS not in str(got)
        assert b"database" not in heard


async def test_what_came_in_clear_before_tls_began_is_dropped_or_refused(proven, server_tls):
    stuffed = wire.error(WORDS, "28000", "FATAL")
    server = ScriptedServer({"tls": lambda: iter([b"S", stuffed])}, secured=server_tls)
    got, _ = await outcome_and_heard(server, **proven)
    assert got == [[1]] or isinstance(got, PgMagicError)
    assert WORDS not in str(got)


async def test_a_server_that_cannot_prove_who_it_is_hears_nothing(proven, tmp_path):
    import trustme

    stranger = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(stranger)
    server = ScriptedServer({"tls": b"S"} | ASKS, secured=stranger)
    got, heard = await outcome_and_heard(server, **proven)
    assert "its certificate is not trusted" in str(got)
    assert b"database" not in heard


async def test_the_test_would_notice_a_password(proven, server_tls):
    server = ScriptedServer({"tls": b"S"} | ASKS, secured=server_tls)
    got, heard = await outcome_and_heard(server, **proven | SOON)
    assert isinstance(got, PgMagicError)
    assert CANARY.encode() in heard


async def test_under_tls_each_lie_is_one_error_as_well(proven, server_tls):
    honest = ScriptedServer({"tls": b"S"}, secured=server_tls)
    assert (await outcome_and_heard(honest, **proven))[0] == [[1]]
    answers = await at_once(
        partial(outcome_and_heard, ScriptedServer(script, secured=server_tls), **proven | SOON)
        for script in ({"tls": b"S"} | LIES[name] for name in UNDER_TLS)
    )
    assert all(isinstance(got, PgMagicError) for got, _ in answers)


async def test_a_server_is_left_that_does_not_say_good_bye(proven, server_tls):
    said = (b"", wire.error("no", "28000", "FATAL"), bytes(100))
    answers = await at_once(
        partial(
            outcome_and_heard,
            ScriptedServer({"tls": b"S", "startup": each}, secured=server_tls, deaf=True),
            **proven | SOON,
        )
        for each in said
    )
    assert all(isinstance(got, PgMagicError) for got, _ in answers)
