"""From settings to an endpoint, by libpq's rules.

For each parameter the first that names it decides: the settings, the DSN in the variable that
`dsn_env` names, the service, the environment, the default.
https://www.postgresql.org/docs/current/libpq-connect.html
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from pgmagic.database.addresses import resolve_addresses
from pgmagic.database.dsn import parse_dsn
from pgmagic.database.endpoint import Endpoint
from pgmagic.database.parameters import (
    ENVIRONMENT,
    Layer,
    Parameters,
    environment_layer,
    refuse_unsupported,
)
from pgmagic.database.passwords import Prompts, password_sources
from pgmagic.database.places import Places, system_user
from pgmagic.database.server_options import server_settings
from pgmagic.database.service_file import read_service
from pgmagic.database.settings import SSL_MODES, TARGET_SESSION_ATTRS, DatabaseSettings
from pgmagic.database.tls import is_local, tls_context
from pgmagic.environment import VARIABLES
from pgmagic.errors import SettingsError

__all__ = ["Endpoint", "resolve"]

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds, where nobody says otherwise


def resolve(
    settings: DatabaseSettings,
    *,
    environ: Mapping[str, str] = VARIABLES,
    home: Path | None = None,
    prompts: Prompts | None = None,
) -> Endpoint:
    """Work out where and how to connect; reads files, opens no connection.

    `prompts` ask the user where no password is found and the server wants one. Raises
    SettingsError, named after the database.
    """
    try:
        endpoint = _resolve(settings, environ, Places.of(environ, home), prompts)
    except SettingsError as error:
        prefix = f"{settings.name}: "
        message = prefix + error.message.removeprefix(prefix)
        hint = error.hint
    else:
        logger.debug("%s: %r", settings.name, endpoint)
        return endpoint
    raise SettingsError(message, hint=hint)


def _resolve(
    settings: DatabaseSettings,
    environ: Mapping[str, str],
    places: Places,
    prompts: Prompts | None,
) -> Endpoint:
    parameters = Parameters(_layers(settings, environ, places))
    refuse_unsupported(parameters)
    hosts = resolve_addresses(
        host=parameters["host"], hostaddr=parameters["hostaddr"], port=parameters["port"]
    )
    user = parameters["user"] or system_user()
    database = parameters["dbname"] or user
    mode = _ssl_mode(parameters, local=all(is_local(each.host) for each in hosts.addresses))
    direct = _choice(parameters, "sslnegotiation", ("postgres", "direct")) == "direct"
    if direct and mode in ("disable", "allow", "prefer"):
        raise SettingsError(f'weak sslmode "{mode}" may not be used with sslnegotiation=direct')
    sources, source_name = password_sources(
        settings,
        parameters,
        places,
        addresses=hosts.addresses,
        names=hosts.names,
        user=user,
        database=database,
        environ=environ,
    )
    # libpq looks at no certificate either where there is nothing but sockets.
    context = None
    if not all(each.is_socket for each in hosts.addresses):
        context = tls_context(mode, parameters, places, names=hosts.certificate_names)
    endpoint = Endpoint(
        addresses=hosts.addresses,
        names=hosts.names,
        user=user,
        database=database,
        sslmode=mode,
        ssl=context,
        direct_tls=direct,
        target_session_attrs=_choice(parameters, "target_session_attrs", TARGET_SESSION_ATTRS)
        or "any",
        load_balance=_choice(parameters, "load_balance_hosts", ("disable", "random")) == "random",
        server_settings=server_settings(
            settings,
            options=parameters["options"],
            application_name=parameters["application_name"]
            or parameters["fallback_application_name"]
            or f"pgmagic/{settings.name}",
            environ=environ,
        ),
        connect_timeout=_connect_timeout(parameters),
        passwords=tuple(sources),
        password_source=source_name,
    )
    return endpoint.with_prompt(prompts) if prompts and not endpoint.has_password else endpoint


def _layers(settings: DatabaseSettings, environ: Mapping[str, str], places: Places) -> list[Layer]:
    layers = [_settings_layer(settings)]
    if settings.dsn_env is not None:
        if settings.dsn_env not in environ:
            raise SettingsError(f"dsn_env names {settings.dsn_env}, which is not set")
        layers.append(
            parse_dsn(
                environ[settings.dsn_env],
                allow_password=True,
                origin=f"DSN in {settings.dsn_env}",
            )
        )
    surroundings = environment_layer(environ)
    service = Parameters([*layers, surroundings])["service"]
    if service:
        layers.append(read_service(service, places.service_files))
    return [*layers, surroundings]


def _settings_layer(settings: DatabaseSettings) -> Layer:
    """Take from the settings what libpq has a word for."""
    values: dict[str, str] = {}
    for keyword in ENVIRONMENT:
        value = getattr(settings, "database" if keyword == "dbname" else keyword, None)
        if isinstance(value, str | int | float):
            values[keyword] = str(value)
    return Layer(origin="settings", values=values)


def _choice(parameters: Parameters, keyword: str, choices: tuple[str, ...]) -> str:
    value = parameters[keyword]
    if value and value not in choices:
        raise SettingsError(
            f"invalid {keyword} value ({parameters.origin(keyword)})",
            hint=f"one of {', '.join(choices)}",
        )
    return value


def _ssl_mode(parameters: Parameters, *, local: bool) -> str:
    mode = _choice(parameters, "sslmode", SSL_MODES)
    system = parameters["sslrootcert"] == "system"
    if system and mode and mode != "verify-full":
        raise SettingsError(
            f'weak sslmode "{mode}" may not be used with sslrootcert=system',
            hint="use verify-full",
        )
    return mode or ("prefer" if local and not system else "verify-full")


def _connect_timeout(parameters: Parameters) -> float:
    """Seconds for each address. libpq waits for ever on 0; a notebook does not."""
    written = parameters["connect_timeout"]
    try:
        seconds = float(written or 0)
    except ValueError:
        raise SettingsError(
            f"connect_timeout ({parameters.origin('connect_timeout')}) must be a number of seconds"
        ) from None
    return seconds if 0 < seconds < float("inf") else CONNECT_TIMEOUT
