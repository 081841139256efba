"""Open connections to one database, and learn on the way what stands in between."""

import asyncio
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, cast

import asyncpg

from pgmagic import events
from pgmagic.database import connecting
from pgmagic.database.connection import Connection
from pgmagic.database.endpoint import Address, Endpoint
from pgmagic.database.fault import Fault, fault_of, why
from pgmagic.database.passwords import PasswordWanted, Prompts, no_password
from pgmagic.database.resolver import resolve
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import SettingsError

__all__ = ["Connect", "Connector"]

Connect: TypeAlias = Callable[..., Awaitable[Any]]
"""Opens a connection to an endpoint; `connecting.connect` unless a test says otherwise."""

# The server looks every so many milliseconds whether its client still lives, so that a killed
# kernel leaves no query behind. PostgreSQL 14 and later, not on every system:
# https://www.postgresql.org/docs/current/runtime-config-connection.html
CHECK_INTERVAL = "client_connection_check_interval"
CHECK_INTERVAL_MS = "1000"
UNKNOWN_SETTING = ("42704", "22023")  # undefined_object, invalid_parameter_value

# PgBouncer passes on these, and refuses connections that bring others along:
# https://www.pgbouncer.org/config.html#ignore_startup_parameters
PASSED_ON = frozenset(
    {"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings"}
)

# Both sides of each pair are what the server makes of the value: 30000 and 30s are the same.
UNSETTLED = """
select name
from unnest($1::text[], $2::text[]) as wanted (name, value)
where pg_catalog.current_setting(name) is distinct from
      pg_catalog.set_config(name, value, true)
"""
LIMITS = frozenset({"statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"})

KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, times
USER_TIMEOUT_MS = 20_000


class Connector:
    """Makes new connections to one database.

    `pooled` is whether PgBouncer stands in between: then limits cannot be sent with the first
    packet and nothing is prepared. `local_settings` are the statements that set in a transaction
    what the first packet could not.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        prompts: Prompts | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._settings = settings
        self._prompts = prompts
        self._connect = connect or connecting.connect
        self._endpoint: Endpoint | None = None
        self._checks_client = True
        self.pooled = settings.pooler is True
        self.local_settings: tuple[str, ...] = ()

    @property
    def endpoint(self) -> Endpoint:
        """Where the next connection goes. Raises SettingsError."""
        return self._resolved()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where connections go; nothing before it was looked up."""
        return () if self._endpoint is None else self._endpoint.addresses

    @property
    def where(self) -> str:
        """The addresses in words."""
        if self._endpoint is None:
            return "its server"
        return self._endpoint.where

    @property
    def connect_timeout(self) -> float:
        """Seconds that one address may take."""
        return 10.0 if self._endpoint is None else self._endpoint.connect_timeout

    def forget(self) -> None:
        """Look everything up again before the next connection: files and variables may change."""
        self._endpoint = None

    async def connect(self) -> Connection:
        """Open a connection that is ready for use.

        Raises SettingsError, ConnectFailed where there is no password, and what
        `connecting.connect` raises.
        """
        started = time.monotonic()
        while True:
            endpoint = self._resolved()
            pooled = self.pooled  # others, who connect at the same time, may find out meanwhile
            settings = self._for_startup(endpoint)
            try:
                connection = await self._open(replace(endpoint, server_settings=settings))
            except PasswordWanted:
                self.forget()  # it may be found in the meantime
                raise
            except asyncpg.PostgresError as error:
                unasked = endpoint.prompt is None and not endpoint.has_password
                if unasked and connecting.refuses_password(error):
                    raise no_password(endpoint.account, self._settings.name) from None
                if not self._learn(error, settings, pooled):
                    raise
                continue
            try:
                if pooled or await self._holds(connection, settings):
                    await self._run_init(connection)
                    events.connected(self._settings.name, seconds=time.monotonic() - started)
                    return connection
            except BaseException:
                connection.terminate()
                raise
            connection.terminate()
            self._found_pooler("it keeps settings for itself")

    def _resolved(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = resolve(self._settings, prompts=self._prompts)
        if self.pooled and not self.local_settings:
            self.local_settings = tuple(
                _set_local(name, value)
                for name, value in self._endpoint.server_settings.items()
                if name.lower() not in PASSED_ON
            )
        return self._endpoint

    def _for_startup(self, endpoint: Endpoint) -> dict[str, str]:
        settings = dict(endpoint.server_settings)
        if self.pooled:
            return {name: value for name, value in settings.items() if name.lower() in PASSED_ON}
        if self._checks_client:
            settings.setdefault(CHECK_INTERVAL, CHECK_INTERVAL_MS)
        return settings

    async def _open(self, endpoint: Endpoint) -> Connection:
        connection = cast(
            "Connection",
            await self._connect(
                endpoint,
                connection_class=Connection,
                command_timeout=self._settings.command_timeout,
                statement_cache_size=0 if self.pooled else self._settings.statement_cache_size,
            ),
        )
        if sys.platform != "win32":
            connection.setsockopt(*_socket_options(endpoint))
        return connection

    def _learn(
        self, error: asyncpg.PostgresError, settings: Mapping[str, str], pooled: bool
    ) -> bool:
        """Say whether another try, with less in the first packet, may succeed."""
        added = settings.keys() - self._resolved().server_settings.keys()
        if added and error.sqlstate in UNKNOWN_SETTING:
            self._checks_client = False
            events.server_ignores_lost_clients(self._settings.name)
            return True
        may_be_pooler = not pooled and self._settings.pooler is None
        if may_be_pooler and error.sqlstate == "08P01" and "startup parameter" in str(error):
            self._found_pooler("it refuses settings")
            return True
        return False

    def _found_pooler(self, because: str) -> None:
        if not self.pooled:
            events.pooler_found(self._settings.name, because=because)
        self.pooled = True

    async def _run_init(self, connection: Connection) -> None:
        try:
            await connection.prepare_for_use(self._settings.init)
        except asyncpg.PostgresError as error:
            if fault_of(error) is not Fault.STATEMENT:
                raise
            raise SettingsError(f"{self._settings.name}: init: {why(error)}") from None

    async def _holds(self, connection: Connection, settings: Mapping[str, str]) -> bool:
        """Ask whether the limits are in force: a pooler may take and forget them."""
        limits = {name: value for name, value in settings.items() if name in LIMITS}
        if not limits or self._settings.pooler is False:
            return True
        async with asyncio.timeout(self.connect_timeout):
            lost = await connection.fetch(UNSETTLED, list(limits), list(limits.values()))
        return not lost


def _set_local(name: str, value: str) -> str:
    if re.fullmatch(r"\w+", name) and re.fullmatch(r"\w+", value):
        return f"set local {name} = {value}" if value.isdigit() else f"set local {name} = '{value}'"
    # As in the first packet, a list such as that of search_path is one text.
    return f"select pg_catalog.set_config({_literal(name)}, {_literal(value)}, true)"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def _socket_options(endpoint: Endpoint) -> list[tuple[int, int, int]]:
    """Let the kernel notice a dead network; asyncpg itself would wait for ever."""
    if all(address.is_socket for address in endpoint.addresses):
        return []
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    wanted = {**KEEPALIVE, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
    for name, value in wanted.items():
        if hasattr(socket, name):  # each system has some of them
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
