"""The same configuration takes pgmagic and psql to the same place.

Run as a script, this prints the table of cases as Markdown.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from pgmagic.database.connecting import connect
from pgmagic.database.places import system_user
from pgmagic.database.resolver import resolve
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SettingsError
from tests.servers import missing

PASSWORD = r"p:w\d '/@#?%[é"
IN_FILE = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
IN_URI = quote(PASSWORD, safe="")
IN_STRING = "'" + PASSWORD.replace("\\", "\\\\").replace("'", "\\'") + "'"

WHERE = """
select current_user, current_database(), current_setting('port'),
       coalesce(host(inet_server_addr()), 'socket'),
       (select ssl from pg_stat_ssl where pid = pg_backend_pid()),
       current_setting('application_name'), current_setting('search_path'),
       current_setting('TimeZone'), current_setting('DateStyle'), current_setting('work_mem'),
       current_setting('geqo'), current_setting('is_superuser')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration. `$host`, `$port` and so on stand for what the servers are.

    `refused` cases end in failure on both sides; without it a case where neither connects
    would prove nothing.
    """

    name: str
    dsn: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    passfile: str = ""
    services: str = ""
    system_services: str = ""
    refused: bool = False
    loose: bool = False  # others may read the password file


def tcp(**more: str) -> dict[str, str]:
    """The variables that lead to the first server."""
    basis = {
        "PGHOST": "127.0.0.1",
        "PGPORT": "$port",
        "PGUSER": "clerk",
        "PGDATABASE": "sales",
        "PGPASSWORD": PASSWORD,
    }
    return {name: value for name, value in {**basis, **more}.items() if value != "-"}


NO_PASSWORD = {"PGPASSWORD": "-"}
SERVICE = f"[sales]\nhost=127.0.0.1\nport=$port\nuser=clerk\ndbname=sales\npassword={PASSWORD}\n"
LOGIN = f"clerk:{IN_URI}@"

CASES = [
    # The environment.
    Case(name="PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD", environ=tcp()),
    Case(name="PGHOST is the directory of a socket", environ=tcp(PGHOST="$host")),
    Case(name="PGHOST is a name", environ=tcp(PGHOST="localhost")),
    Case(name="PGDATABASE not set: the database of the user", environ=tcp(PGDATABASE="-")),
    Case(name="PGDATABASE empty: the database of the user", environ=tcp(PGDATABASE="")),
    Case(name="PGUSER not set: the user of the system", environ=tcp(PGUSER="-")),
    Case(name="PGUSER and PGDATABASE not set", environ=tcp(PGUSER="-", PGDATABASE="-")),
    Case(name="PGUSER is not taken from USER", environ=tcp(PGUSER="-", USER="clerk")),
    Case(name="PGHOSTADDR alone", environ=tcp(PGHOST="-", PGHOSTADDR="127.0.0.1")),
    Case(
        name="PGHOSTADDR wins, PGHOST only names",
        environ=tcp(PGHOST="no-such-host.invalid", PGHOSTADDR="127.0.0.1"),
    ),
    Case(name="PGAPPNAME", environ=tcp(PGAPPNAME="monthly report")),
    Case(name="PGOPTIONS -c", environ=tcp(PGOPTIONS="-c search_path=a,b -c work_mem=7MB")),
    Case(name="PGOPTIONS --name", environ=tcp(PGOPTIONS="--search-path=a --WORK-MEM=7MB")),
    Case(name="PGOPTIONS -cname", environ=tcp(PGOPTIONS="-csearch_path=a -cgeqo=off")),
    Case(name="PGOPTIONS with escapes", environ=tcp(PGOPTIONS=r"-c search_path=a,\ b\\c")),
    Case(name="PGOPTIONS with short switches", environ=tcp(PGOPTIONS="-S 7000 -c geqo=off")),
    Case(
        name="PGOPTIONS that the server refuses",
        environ=tcp(PGOPTIONS="-c no_such=1"),
        refused=True,
    ),
    Case(
        name="PGTZ PGDATESTYLE PGGEQO",
        environ=tcp(PGTZ="UTC+3", PGDATESTYLE="German", PGGEQO="off"),
    ),
    Case(
        name="PGTZ wins over PGOPTIONS",
        environ=tcp(PGTZ="UTC+3", PGOPTIONS="-c timezone=UTC+5"),
    ),
    Case(name="wrong password", environ=tcp(PGPASSWORD="wrong"), refused=True),
    Case(name="no password", environ=tcp(**NO_PASSWORD), refused=True),
    Case(name="unknown database", environ=tcp(PGDATABASE="nowhere"), refused=True),
    Case(name="a port that is none", environ=tcp(PGPORT="54x"), refused=True),
    Case(name="a port out of range", environ=tcp(PGPORT="70000"), refused=True),
    Case(name="an unknown sslmode", environ=tcp(PGSSLMODE="full"), refused=True),
    Case(
        name="sslmode=require where there is no TLS", environ=tcp(PGSSLMODE="require"), refused=True
    ),
    Case(
        name="sslmode=require does not matter on a socket",
        environ=tcp(PGHOST="$host", PGSSLMODE="require"),
    ),
    Case(name="sslmode=prefer where there is no TLS", environ=tcp(PGSSLMODE="prefer")),
    Case(name="sslmode=allow where there is no TLS", environ=tcp(PGSSLMODE="allow")),
    Case(name="PGREQUIRESSL", environ=tcp(PGREQUIRESSL="1"), refused=True),
    Case(
        name="PGSSLMODE wins over PGREQUIRESSL", environ=tcp(PGREQUIRESSL="1", PGSSLMODE="disable")
    ),
    # Several hosts.
    Case(
        name="the first host is dead",
        environ=tcp(PGHOST="127.0.0.1,127.0.0.1", PGPORT="$dead,$port"),
    ),
    Case(
        name="the second server comes first",
        environ=tcp(PGHOST="127.0.0.1,$host", PGPORT="$port2,$port"),
    ),
    Case(name="one port for two hosts", environ=tcp(PGHOST="/nowhere,127.0.0.1")),
    Case(
        name="three ports for two hosts",
        environ=tcp(PGHOST="127.0.0.1,$host", PGPORT="$port,$port,$port"),
        refused=True,
    ),
    Case(
        name="more names than addresses",
        environ=tcp(PGHOST="a,b", PGHOSTADDR="127.0.0.1"),
        refused=True,
    ),
    Case(
        name="a refused password ends the search",
        environ=tcp(PGHOST="127.0.0.1,127.0.0.1", PGPORT="$port,$port2", PGUSER="only_second"),
        refused=True,
    ),
    Case(
        name="target_session_attrs=read-write",
        environ=tcp(
            PGHOST="127.0.0.1,127.0.0.1",
            PGPORT="$port,$port2",
            PGDATABASE="sometimes_read_only",
            PGTARGETSESSIONATTRS="read-write",
        ),
    ),
    Case(
        name="target_session_attrs=read-only",
        environ=tcp(
            PGHOST="127.0.0.1,127.0.0.1",
            PGPORT="$port2,$port",
            PGDATABASE="sometimes_read_only",
            PGTARGETSESSIONATTRS="read-only",
        ),
    ),
    Case(
        name="target_session_attrs=prefer-standby without one",
        environ=tcp(PGTARGETSESSIONATTRS="prefer-standby"),
    ),
    Case(
        name="target_session_attrs=standby without one",
        environ=tcp(PGTARGETSESSIONATTRS="standby"),
        refused=True,
    ),
    Case(
        name="target_session_attrs that is none",
        environ=tcp(PGTARGETSESSIONATTRS="master"),
        refused=True,
    ),
    # URIs.
    Case(name="URI", dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales"),
    Case(name="URI postgres://", dsn=f"postgres://{LOGIN}127.0.0.1:$port/sales"),
    Case(
        name="URI wins over the environment",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales",
        environ=tcp(PGHOST="/nowhere", PGPORT="1", PGDATABASE="nowhere", PGPASSWORD="wrong"),
    ),
    Case(
        name="URI with parts, the rest from the environment",
        dsn="postgresql:///sales",
        environ=tcp(PGDATABASE="nowhere"),
    ),
    Case(name="URI with nothing", dsn="postgresql://", environ=tcp()),
    Case(name="URI with a path of nothing", dsn="postgresql://127.0.0.1/", environ=tcp()),
    Case(name="URI with a socket as host", dsn=f"postgresql://{LOGIN}$quoted_host:$port/sales"),
    Case(
        name="URI with a socket in the query",
        dsn=f"postgresql://{LOGIN}/sales?host=$host&port=$port",
    ),
    Case(
        name="URI whose query wins over its host",
        dsn=f"postgresql://{LOGIN}nowhere.invalid:1/none?host=127.0.0.1&port=$port&dbname=sales",
    ),
    Case(
        name="URI with user and password in the query",
        dsn=f"postgresql://127.0.0.1:$port/sales?user=clerk&password={IN_URI}",
    ),
    Case(
        name="URI with several hosts",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$dead,127.0.0.1:$port/sales",
    ),
    Case(
        name="URI with an IPv6 address that is not there, then another",
        dsn=f"postgresql://{LOGIN}[::1]:$dead,127.0.0.1:$port/sales",
    ),
    Case(
        name="URI with options",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales?options=-c%20geqo%3Doff"
        "&application_name=a%20b",
    ),
    Case(name="URI with a quoted database", dsn=f"postgresql://{LOGIN}127.0.0.1:$port/my%20db"),
    Case(
        name="URI with ssl=true",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales?ssl=true",
        refused=True,
    ),
    Case(
        name="URI with a plus sign, which is one",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales?application_name=a+b",
    ),
    Case(
        name="URI with an unknown word",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales?pool=1",
        refused=True,
    ),
    Case(
        name="URI with a broken escape",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/s%zzales",
        refused=True,
    ),
    Case(
        name="URI with an open bracket", dsn=f"postgresql://{LOGIN}[::1:$port/sales", refused=True
    ),
    Case(
        name="URI with two equals signs",
        dsn=f"postgresql://{LOGIN}127.0.0.1:$port/sales?application_name=a=b",
        refused=True,
    ),
    # Strings of keywords.
    Case(
        name="keywords",
        dsn=f"host=127.0.0.1 port=$port user=clerk dbname=sales password={IN_STRING}",
    ),
    Case(
        name="keywords with blanks around the sign",
        dsn=f"host = 127.0.0.1  port= $port user =clerk dbname='my db' password = {IN_STRING} ",
    ),
    Case(
        name="keywords, the last one counts",
        dsn=f"host=nowhere host=127.0.0.1 port=$port user=clerk dbname=sales password={IN_STRING}",
    ),
    Case(
        name="keywords with escapes",
        dsn=rf"host=127.0.0.1 port=$port user=cl\erk dbname=my\ db password={IN_STRING}",
    ),
    Case(
        name="keywords with an empty value hide the environment",
        dsn="dbname=''",
        environ=tcp(PGDATABASE="sales"),
    ),
    Case(
        name="keywords without an end",
        dsn="host=127.0.0.1 dbname='sales",
        environ=tcp(),
        refused=True,
    ),
    Case(
        name="keywords with an unknown one",
        dsn="host=127.0.0.1 pool=3",
        environ=tcp(),
        refused=True,
    ),
    Case(name="keywords without a sign", dsn="host=127.0.0.1 sales", environ=tcp(), refused=True),
    # Services.
    Case(name="PGSERVICE", environ={"PGSERVICE": "sales"}, services=SERVICE),
    Case(name="service in a string", dsn="service=sales", services=SERVICE),
    Case(name="service in a URI", dsn="postgresql:///?service=sales", services=SERVICE),
    Case(
        name="service wins over the environment",
        environ=tcp(PGSERVICE="sales", PGHOST="nowhere.invalid", PGPASSWORD="wrong"),
        services=SERVICE,
    ),
    Case(
        name="a string wins over its service", dsn="service=sales dbname='my db'", services=SERVICE
    ),
    Case(
        name="the environment fills what a service leaves open",
        environ=tcp(PGSERVICE="half"),
        services="[half]\napplication_name=half\n",
    ),
    Case(name="service of the system", environ={"PGSERVICE": "sales"}, system_services=SERVICE),
    Case(
        name="service of the user comes before the system's",
        environ={"PGSERVICE": "sales"},
        services=SERVICE,
        system_services="[sales]\nhost=nowhere.invalid\n",
    ),
    Case(
        name="service with comments, blanks and a percent sign",
        environ={"PGSERVICE": "sales"},
        services=f"# mine\n\n[other]\nhost=x\n  [sales]  \n  application_name=100%\n{SERVICE[8:]}",
    ),
    Case(
        name="service twice: the first",
        environ={"PGSERVICE": "sales"},
        services=SERVICE + "[sales]\nhost=nowhere.invalid\n",
    ),
    Case(
        name="service with a keyword twice: the first",
        environ={"PGSERVICE": "sales"},
        services=SERVICE + "dbname=nowhere\n",
    ),
    Case(name="unknown service", environ=tcp(PGSERVICE="sale"), services=SERVICE, refused=True),
    Case(name="service without a file", environ=tcp(PGSERVICE="sales"), refused=True),
    Case(
        name="service with an unknown keyword",
        environ={"PGSERVICE": "sales"},
        services=SERVICE + "pool=1\n",
        refused=True,
    ),
    Case(
        name="service with blanks around the sign",
        environ={"PGSERVICE": "sales"},
        services="[sales]\nhost = 127.0.0.1\n" + SERVICE[8:],
        refused=True,
    ),
    Case(
        name="service that names another",
        environ={"PGSERVICE": "other"},
        services="[other]\nservice=sales\n" + SERVICE,
        refused=True,
    ),
    Case(
        name="PGSERVICEFILE",
        environ={"PGSERVICE": "sales", "PGSERVICEFILE": "$home/mine"},
        services=SERVICE,
    ),
    # The password file.
    Case(
        name=".pgpass with escapes",
        environ=tcp(**NO_PASSWORD),
        passfile=f"127.0.0.1:$port:sales:clerk:{IN_FILE}\n",
    ),
    Case(name=".pgpass with wildcards", environ=tcp(**NO_PASSWORD), passfile=f"*:*:*:*:{IN_FILE}"),
    Case(
        name=".pgpass, the first match counts",
        environ=tcp(**NO_PASSWORD),
        passfile=f"*:$port:*:clerk:wrong\n*:*:*:*:{IN_FILE}\n",
        refused=True,
    ),
    Case(
        name=".pgpass with other lines and comments",
        environ=tcp(**NO_PASSWORD),
        passfile="# mine\n\nbroken\nother:*:*:*:x\n*:1:*:*:x\n*:*:no:*:x\n*:*:*:no:x\n"
        f"*:*:*:*:{IN_FILE}\n",
    ),
    Case(
        name=".pgpass with carriage returns",
        environ=tcp(**NO_PASSWORD),
        passfile=f"*:*:*:*:{IN_FILE}\r\n",
    ),
    Case(
        name=".pgpass, a socket by its path",
        environ=tcp(PGHOST="$host", **NO_PASSWORD),
        passfile=f"localhost:*:*:*:wrong\n$host:*:*:*:{IN_FILE}\n",
    ),
    Case(
        name=".pgpass, a name and not its address",
        environ=tcp(PGHOST="db.invalid", PGHOSTADDR="127.0.0.1", **NO_PASSWORD),
        passfile=f"127.0.0.1:*:*:*:wrong\ndb.invalid:*:*:*:{IN_FILE}\n",
    ),
    Case(
        name=".pgpass, one password for each host",
        environ=tcp(PGHOST="127.0.0.1,localhost", PGPORT="$dead,$port", **NO_PASSWORD),
        passfile=f"127.0.0.1:*:*:*:wrong\nlocalhost:*:*:*:{IN_FILE}\n",
    ),
    Case(
        name=".pgpass that others may read",
        environ=tcp(**NO_PASSWORD),
        passfile=f"*:*:*:*:{IN_FILE}\n",
        loose=True,
        refused=True,
    ),
    Case(
        name="PGPASSFILE",
        environ=tcp(PGPASSFILE="$home/.pgpass", HOME="/nowhere", **NO_PASSWORD),
        passfile=f"*:*:*:*:{IN_FILE}\n",
    ),
    Case(
        name="PGPASSWORD wins over .pgpass",
        environ=tcp(PGPASSWORD="wrong"),
        passfile=f"*:*:*:*:{IN_FILE}\n",
        refused=True,
    ),
    Case(
        name="PGPASSWORD empty: .pgpass",
        environ=tcp(PGPASSWORD=""),
        passfile=f"*:*:*:*:{IN_FILE}\n",
    ),
    Case(
        name="a password that ends at a colon",
        environ=tcp(**NO_PASSWORD),
        passfile=f"*:*:*:*:{IN_FILE}:more\n",
    ),
    Case(
        name=".pgpass with an escaped star is not a wildcard",
        environ=tcp(**NO_PASSWORD),
        passfile=f"\\*:*:*:*:{IN_FILE}\n",
        refused=True,
    ),
]


@pytest.fixture(scope="module")
def words(administrator, second_administrator):
    """Prepare both servers alike; give what the words of the cases stand for."""
    user = system_user()
    literal = PASSWORD.replace("'", "''")
    databases = ["sales", "my db", "clerk", "sometimes_read_only"]
    for each in (administrator, second_administrator):
        each.execute("set standard_conforming_strings = on")
        each.execute(f"create role clerk login password '{literal}'")
        if user != each.server.user:
            each.execute(f"""create role "{user}" login password '{literal}'""")
            databases.append(user)
        for database in databases:
            each.execute(f'create database "{database}"')
        if user in databases:
            databases.remove(user)
    second_administrator.execute(f"create role only_second login password '{literal}'")
    administrator.execute(
        "alter database sometimes_read_only set default_transaction_read_only = on"
    )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        one, two = administrator.server, second_administrator.server
        yield {
            "host": one.host,
            "quoted_host": quote(one.host, safe=""),
            "port": str(one.port),
            "port2": str(two.port),
            "dead": str(unused.getsockname()[1]),
        }
    for each in (administrator, second_administrator):
        for database in (*databases, *([] if user == each.server.user else [user])):
            each.execute(f'drop database "{database}" with (force)')
        for role in ("clerk", *([] if user == each.server.user else [user])):
            each.execute(f'drop role "{role}"')
    second_administrator.execute("drop role only_second")


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


def furnish(case: Case, home: Path, words: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Write the files of a case; give its DSN and its environment."""
    words = {**words, "home": str(home)}
    environ = {"HOME": str(home), "PGSYSCONFDIR": str(home / "etc"), "PGCONNECT_TIMEOUT": "5"}
    environ |= {name: Template(value).substitute(words) for name, value in case.environ.items()}
    (home / "etc").mkdir()
    service_file = "mine" if "PGSERVICEFILE" in case.environ else ".pg_service.conf"
    for path, text in (
        (home / ".pgpass", case.passfile),
        (home / service_file, case.services),
        (home / "etc" / "pg_service.conf", case.system_services),
    ):
        if text:
            path.write_bytes(Template(text).substitute(words).encode())
            path.chmod(0o600)
    if case.loose:
        (home / ".pgpass").chmod(0o640)
    return Template(case.dsn).substitute(words), environ


def ask_psql(dsn: str, environ: Mapping[str, str]) -> list[str] | None:
    """Say where psql comes out, or None where it fails."""
    program = shutil.which("psql")
    if program is None:
        missing("psql is not installed")
    command = [program, "-X", "-w", "-A", "-t", "-F", "\t", "-c", WHERE, *([dsn] if dsn else [])]
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PGCLIENTENCODING": "UTF8", **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout.rstrip("\n").split("\t") if done.returncode == 0 else None


async def ask_pgmagic(dsn: str, environ: Mapping[str, str]) -> list[str] | None:
    """Say where pgmagic comes out, or None where it fails."""
    settings = DatabaseSettings(name="x", dsn_env="THE_DSN" if dsn else None)
    try:
        endpoint = resolve(settings, environ={**environ, **({"THE_DSN": dsn} if dsn else {})})
        connection = await connect(endpoint)
    except (SettingsError, asyncpg.PostgresError, asyncpg.InternalClientError, OSError) as error:
        refusal = str(error)
    else:
        try:
            row = await connection.fetchrow(WHERE)
        finally:
            await connection.close(timeout=5)
        return shown(row)
    assert PASSWORD not in refusal
    assert IN_URI not in refusal
    return None


def shown(row: Any) -> list[str]:
    """Write a row as psql does; the name that each gives itself counts as the same."""
    answer = [{True: "t", False: "f"}.get(value, value) for value in row]
    return ["psql" if value == "pgmagic/x" else value for value in answer]


async def test_pgmagic_and_psql_come_out_at_the_same_place(case, words, tmp_path):
    dsn, environ = furnish(case, tmp_path, words)
    expected = ask_psql(dsn, environ)
    assert (expected is None) == case.refused, "the case is not what it says"
    assert await ask_pgmagic(dsn, environ) == expected


def markdown() -> str:
    """Show the cases as a table, for people."""
    lines = ["| configuration | both |", "|---|---|"]
    lines += [f"| {case.name} | {'refuse' if case.refused else 'connect'} |" for case in CASES]
    return "\n".join([*lines, "", f"{len(CASES)} cases"])


if __name__ == "__main__":
    print(markdown())
