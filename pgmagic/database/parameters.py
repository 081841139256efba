"""libpq's connection parameters, and which of several places said what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pgmagic.errors import SettingsError
from pgmagic.secret import Secret

__all__ = [
    "ENVIRONMENT",
    "KEYWORDS",
    "SECRETS",
    "WITHOUT_EFFECT",
    "Layer",
    "Parameters",
    "environment_layer",
    "refuse_unsupported",
]

# https://www.postgresql.org/docs/current/libpq-envars.html
ENVIRONMENT: Mapping[str, str] = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "gssdelegation": "PGGSSDELEGATION",
    "gssencmode": "PGGSSENCMODE",
    "gsslib": "PGGSSLIB",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "krbsrvname": "PGKRBSRVNAME",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "password": "PGPASSWORD",
    "port": "PGPORT",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "service": "PGSERVICE",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslsni": "PGSSLSNI",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "user": "PGUSER",
}

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
KEYWORDS = frozenset(ENVIRONMENT) | {
    "authtype",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "replication",
    "sslpassword",
    "tcp_user_timeout",
    "tty",
}

SECRETS = frozenset({"password", "sslpassword"})

# Understood and passed over: asyncpg speaks UTF-8 and one protocol, has no GSSAPI encryption and
# no compression, always says the host's name to the server, and pgmagic sets its own keepalives.
WITHOUT_EFFECT = frozenset(
    {
        "authtype",
        "channel_binding",
        "client_encoding",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "max_protocol_version",
        "min_protocol_version",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
        "tty",
    }
)

# Demands that asyncpg cannot meet. To pass over one would be to connect with less safety than was
# asked for. Any value but these is a demand.
HARMLESS = {
    "channel_binding": ("", "disable", "prefer"),
    "gssencmode": ("", "disable", "prefer"),
    "sslcertmode": ("", "disable", "allow"),
    "require_auth": ("",),
    "requirepeer": ("",),
    "replication": ("", "false", "off", "no", "0"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one place says: the settings, a DSN, a service, the environment."""

    origin: str
    values: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @classmethod
    def of(cls, origin: str, pairs: Iterable[tuple[str, str | Secret]]) -> "Layer":
        values: dict[str, str] = {}
        secrets: dict[str, Secret] = {}
        for keyword, value in pairs:
            if isinstance(value, Secret):
                secrets[keyword] = value
            else:
                values[keyword] = value
        return cls(origin=origin, values=values, secrets=secrets)


class Parameters:
    """Several layers, the first of which that names a keyword decides.

    An empty value decides as well: as in libpq it means the built-in default, whatever the
    layers below say.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = tuple(layers)

    def __getitem__(self, keyword: str) -> str:
        layer = self._deciding(keyword)
        return layer.values[keyword] if layer else ""

    def secret(self, keyword: str) -> Secret | None:
        """Give a password, or None where there is none or an empty one."""
        for layer in self.layers:
            if keyword in layer.secrets:
                return layer.secrets[keyword] or None
        return None

    def origin(self, keyword: str) -> str:
        """Say in words where a parameter comes from."""
        for layer in self.layers:
            if keyword in layer.values or keyword in layer.secrets:
                if layer.origin == "environment":
                    return ENVIRONMENT.get(keyword, layer.origin)
                return layer.origin
        return "default"

    def _deciding(self, keyword: str) -> Layer | None:
        return next((layer for layer in self.layers if keyword in layer.values), None)


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Read the `PG*` variables that are connection parameters."""
    pairs: list[tuple[str, str | Secret]] = [
        (keyword, Secret(environ[variable]) if keyword in SECRETS else environ[variable])
        for keyword, variable in ENVIRONMENT.items()
        if variable in environ
    ]
    if "PGSSLMODE" not in environ and environ.get("PGREQUIRESSL", "").startswith("1"):
        pairs.append(("sslmode", "require"))
    return Layer.of("environment", pairs)


def refuse_unsupported(parameters: Parameters) -> None:
    """Raise SettingsError where something is demanded that asyncpg cannot do."""
    for keyword, harmless in HARMLESS.items():
        if parameters[keyword] not in harmless:
            raise SettingsError(
                f"{parameters.origin(keyword)}: {keyword} is not supported",
                hint="leave it out if you can; sslmode=verify-full proves who the server is",
            )
