"""TLS as psql does it: the modes, certificates, names, keys and revocation lists."""

import asyncio
import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pgmagic.database.connecting import connect
from pgmagic.database.resolver import resolve
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SandboxError
from pgmagic.sandbox.server import Server
from tests.server.test_settings_psql import ask_pgmagic, ask_psql

PASSWORD = "clerk's"
HBA = [
    "local all all scram-sha-256",
    "hostssl all certified 127.0.0.1/32 cert",
    "hostssl all only_tls 127.0.0.1/32 scram-sha-256",
    "hostnossl all only_clear 127.0.0.1/32 scram-sha-256",
    "host all clerk 127.0.0.1/32 scram-sha-256",
]
ROLES = ("clerk", "certified", "only_tls", "only_clear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Variables beside host, port and user; `file:` stands for one of the test's files."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)  # name in ~/.postgresql: file
    refused: bool = False
    loose: str | None = None  # file that others may read


def mode(mode: str, **more: str) -> dict[str, str]:
    return {"PGSSLMODE": mode, **more}


ROOT = {"PGSSLROOTCERT": "file:ca.crt"}
OTHER = {"PGSSLROOTCERT": "file:other.crt"}
BY_ADDRESS = {"PGHOST": "127.0.0.1"}  # the certificate names localhost only
CLIENT = {"PGUSER": "certified", "PGSSLCERT": "file:client.crt", "PGSSLKEY": "file:client.key"}

CASES = [
    Case(name="nothing said on this machine"),
    Case(name="disable", environ=mode("disable")),
    Case(name="allow", environ=mode("allow")),
    Case(name="prefer", environ=mode("prefer")),
    Case(name="require", environ=mode("require")),
    Case(
        name="disable where TLS is wanted", environ=mode("disable", PGUSER="only_tls"), refused=True
    ),
    Case(name="allow where TLS is wanted", environ=mode("allow", PGUSER="only_tls")),
    Case(name="prefer where TLS is not wanted", environ=mode("prefer", PGUSER="only_clear")),
    Case(
        name="require where TLS is not wanted",
        environ=mode("require", PGUSER="only_clear"),
        refused=True,
    ),
    Case(name="allow where TLS is not wanted", environ=mode("allow", PGUSER="only_clear")),
    Case(name="require, right authority", environ=mode("require", **ROOT)),
    Case(name="require, wrong authority", environ=mode("require", **OTHER), refused=True),
    Case(
        name="require, wrong authority installed",
        environ=mode("require"),
        installed={"root.crt": "other.crt"},
        refused=True,
    ),
    Case(name="require, file not there", environ=mode("require", PGSSLROOTCERT="/nowhere")),
    Case(name="prefer, wrong authority: in clear", environ=mode("prefer", **OTHER)),
    Case(name="verify-ca, right authority", environ=mode("verify-ca", **ROOT)),
    Case(
        name="verify-ca, authority installed",
        environ=mode("verify-ca"),
        installed={"root.crt": "ca.crt"},
    ),
    Case(name="verify-ca, other name", environ=mode("verify-ca", **ROOT, **BY_ADDRESS)),
    Case(name="verify-ca, wrong authority", environ=mode("verify-ca", **OTHER), refused=True),
    Case(name="verify-ca without authority", environ=mode("verify-ca"), refused=True),
    Case(
        name="verify-ca, file not there",
        environ=mode("verify-ca", PGSSLROOTCERT="/nowhere"),
        refused=True,
    ),
    Case(
        name="verify-ca, file unreadable",
        environ=mode("verify-ca", PGSSLROOTCERT="file:junk"),
        refused=True,
    ),
    Case(name="verify-full", environ=mode("verify-full", **ROOT)),
    Case(
        name="verify-full, other name",
        environ=mode("verify-full", **ROOT, **BY_ADDRESS),
        refused=True,
    ),
    Case(
        name="verify-full, name and address",
        environ=mode("verify-full", **ROOT, PGHOSTADDR="127.0.0.1"),
    ),
    Case(
        name="verify-full, wrong name and address",
        environ=mode("verify-full", **ROOT, PGHOST="db.invalid", PGHOSTADDR="127.0.0.1"),
        refused=True,
    ),
    Case(name="verify-full, wrong authority", environ=mode("verify-full", **OTHER), refused=True),
    Case(name="verify-full, authority of nobody", environ=mode("verify-full"), refused=True),
    Case(name="client's certificate", environ=mode("require", **CLIENT)),
    Case(
        name="client's certificate installed",
        environ=mode("require", PGUSER="certified"),
        installed={"postgresql.crt": "client.crt", "postgresql.key": "client.key"},
    ),
    Case(
        name="client's certificate missing",
        environ=mode("require", PGUSER="certified"),
        refused=True,
    ),
    Case(name="client's certificate not there", environ=mode("require", PGSSLCERT="/nowhere")),
    Case(
        name="client's certificate without key",
        environ=mode("require", **{**CLIENT, "PGSSLKEY": "/nowhere"}),
        refused=True,
    ),
    Case(
        name="client's key that others may read",
        environ=mode("require", **CLIENT),
        loose="client.key",
        refused=True,
    ),
    Case(
        name="server's certificate revoked",
        environ=mode("verify-full", **ROOT, PGSSLCRL="file:all.crl"),
        refused=True,
    ),
    Case(
        name="list of revoked certificates, empty",
        environ=mode("verify-full", **ROOT, PGSSLCRL="file:none.crl"),
    ),
    Case(
        name="revoked by the list installed",
        environ=mode("verify-full"),
        installed={"root.crt": "ca.crt", "root.crl": "all.crl"},
        refused=True,
    ),
    Case(
        name="oldest TLS newer than the server's newest",
        environ=mode("require", PGSSLMINPROTOCOLVERSION="TLSv1.3"),
        refused=True,
    ),
    Case(name="newest TLS", environ=mode("require", PGSSLMAXPROTOCOLVERSION="TLSv1.2")),
    Case(
        name="oldest TLS that is none",
        environ=mode("require", PGSSLMINPROTOCOLVERSION="3"),
        refused=True,
    ),
]


def revocations(ca: trustme.CA, serials: list[int]) -> bytes:
    """Sign a list of revoked certificates."""
    key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuer,
        last_update=now - datetime.timedelta(days=1),
        next_update=now + datetime.timedelta(days=1),
    )
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder(
                serial_number=serial, revocation_date=now - datetime.timedelta(hours=1)
            ).build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsServer:
    port: int
    files: Mapping[str, bytes]


@pytest.fixture(scope="module")
def tls_server(pg_binaries) -> Iterator[TlsServer]:
    """A server that speaks TLS 1.2; skipped where its build cannot."""
    ca, other = trustme.CA(), trustme.CA()
    certificate, client = ca.issue_cert("localhost"), ca.issue_cert(common_name="certified")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    server = Server(
        binaries=pg_binaries,
        settings={"ssl": "on", "ssl_ca_file": "ca.crt", "ssl_max_protocol_version": "TLSv1.2"},
        hba=HBA,
        files={
            "server.crt": chain,
            "server.key": certificate.private_key_pem.bytes(),
            "ca.crt": ca.cert_pem.bytes(),
        },
    )
    try:
        server.start()
    except SandboxError as error:
        if "SSL is not supported" in str(error):
            pytest.skip("this build of PostgreSQL has no TLS")
        raise
    serial = x509.load_pem_x509_certificate(chain).serial_number
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(create_roles(server))
    yield TlsServer(
        port=server.port,
        files={
            "ca.crt": ca.cert_pem.bytes(),
            "other.crt": other.cert_pem.bytes(),
            "client.crt": client.cert_chain_pems[0].bytes(),
            "client.key": client.private_key_pem.bytes(),
            "all.crl": revocations(ca, [serial]),
            "none.crl": revocations(ca, []),
            "junk": b"not a certificate\n",
        },
    )
    server.stop()


async def create_roles(server: Server) -> None:
    connection = await asyncpg.connect(server.dsn())
    for role in ROLES:
        literal = PASSWORD.replace("'", "''")
        await connection.execute(f"create role {role} login password '{literal}'")
    await connection.close(timeout=5)


def furnish(case: Case, tls_server: TlsServer, home: Path) -> dict[str, str]:
    """Write the files of a case; give its environment."""
    places = {name: home / name for name in tls_server.files}
    places |= {f"{home}/.postgresql/{name}": home / ".postgresql" / name for name in case.installed}
    (home / ".postgresql").mkdir()
    for name, content in tls_server.files.items():
        (home / name).write_bytes(content)
        (home / name).chmod(0o644 if case.loose == name else 0o600)
    for name, source in case.installed.items():
        (home / ".postgresql" / name).write_bytes(tls_server.files[source])
        (home / ".postgresql" / name).chmod(0o600)
    return {
        "HOME": str(home),
        "PGHOST": "localhost",
        "PGPORT": str(tls_server.port),
        "PGUSER": "clerk",
        "PGDATABASE": "postgres",
        "PGPASSWORD": PASSWORD,
        "PGCONNECT_TIMEOUT": "5",
        **{name: value.replace("file:", f"{home}/") for name, value in case.environ.items()},
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_tls_is_as_in_psql(case, tls_server, tmp_path):
    environ = furnish(case, tls_server, tmp_path)
    expected = ask_psql("", environ)
    assert (expected is None) == case.refused, "the case is not what it says"
    assert await ask_pgmagic("", environ) == expected


async def test_the_environment_of_asyncpg_decides_nothing(tls_server, tmp_path, monkeypatch):
    """asyncpg would read these itself if anything were left to it."""
    environ = furnish(Case(name="plain"), tls_server, tmp_path)
    for name, value in {
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/nowhere",
        "PGSSLNEGOTIATION": "direct",
        "PGTARGETSESSIONATTRS": "standby",
        "PGHOST": "nowhere.invalid",
        "PGUSER": "nobody",
        "PGPASSWORD": "wrong",
        "PGDATABASE": "nowhere",
        "PGSERVICE": "none",
        "PGGSSLIB": "none",
    }.items():
        monkeypatch.setenv(name, value)
    for mode in ("disable", "allow", "prefer", "require"):
        endpoint = resolve(DatabaseSettings(name="x", sslmode=mode), environ=environ)
        connection = await connect(endpoint)
        encrypted = await connection.fetchval(
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        )
        await connection.close(timeout=5)
        assert encrypted == (mode in ("prefer", "require"))


async def test_a_refused_password_is_sent_once(tls_server, tmp_path):
    """Some servers lock an account after a few wrong passwords."""
    environ = {**furnish(Case(name="plain"), tls_server, tmp_path), "PGHOST": "localhost"}
    asked = 0

    async def password() -> str:
        nonlocal asked
        asked += 1
        return "wrong"

    settings = DatabaseSettings(name="x", sslmode="prefer", password=password)
    endpoint = resolve(settings, environ=environ)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(endpoint)
    assert asked == 1
