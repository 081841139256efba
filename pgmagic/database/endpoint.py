"""Where one database is and how to get in, with every convention resolved."""

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from ssl import SSLContext, SSLError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import asyncpg

from pgmagic.sandbox.watchdog import SOCKET_PREFIX

if TYPE_CHECKING:
    from pgmagic.database.passwords import Prompt, Prompts

__all__ = ["Address", "Attempt", "Endpoint", "PasswordSource", "goes_on"]


class Address(NamedTuple):
    """A host, an IP address or the directory of a socket, and a port."""

    host: str
    port: int

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def in_words(self) -> str:
        # A folder of the sandbox has another name each time, which tells nobody anything.
        if self.is_socket and PurePath(self.host).name.startswith(SOCKET_PREFIX):
            return "the sandbox's server"
        return f"{self.host}:{self.port}"


PasswordSource: TypeAlias = Callable[[], Awaitable[str | None]]
"""Gives the password of one address; asked anew for every connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One address, either under TLS or in clear.

    `arguments` are for `asyncpg.connect`: with them it reads no environment and no file.
    """

    address: Address
    tls: bool
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how to connect; nothing is left for asyncpg to decide.

    `names` are the hosts as they were written, one per address: where `hostaddr` is given, the
    certificate is held against the name and not against the address. `server_settings` is all
    that the startup packet carries, the limits of the settings included. `connect_timeout` is in
    seconds and counts for each address. `password` is that of the first address, its source said
    in words by `password_source` (`PGPASSWORD`, `~/.pgpass`, `keyring`, `none` …). `prompt` asks
    the user where no place has one.
    """

    addresses: tuple[Address, ...]
    names: tuple[str, ...]
    user: str
    database: str
    sslmode: str
    ssl: SSLContext | None = field(repr=False)
    direct_tls: bool = False
    target_session_attrs: str = "any"
    load_balance: bool = False
    server_settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: float
    passwords: tuple[PasswordSource, ...] = field(repr=False)
    password_source: str
    prompt: "Prompt | None" = field(default=None, repr=False)

    @property
    def password(self) -> PasswordSource:
        return self.passwords[0]

    @property
    def where(self) -> str:
        """The addresses in words."""
        return " or ".join(address.in_words for address in self.addresses)

    @property
    def has_password(self) -> bool:
        """Whether some place had a password when it was looked for."""
        return not self.password_source.startswith("none")

    @property
    def account(self) -> str:
        """Whose password it is, in words."""
        return f"{self.user}@{self.names[0]}:{self.addresses[0].port}/{self.database}"

    def with_prompt(self, prompts: "Prompts") -> Self:
        """Ask the user for the password instead."""
        prompt = prompts.prompt(self.account)
        return replace(self, prompt=prompt, passwords=(prompt,) * len(self.addresses))

    @property
    def is_proven(self) -> bool:
        """Whether a certificate must prove that the server is the host that was named."""
        return self.ssl is not None and self.ssl.check_hostname

    def attempts(self) -> Iterator[Attempt]:
        """Give what to try, in libpq's order.

        After a failure `goes_on` says of each that follows whether it may still be tried.
        """
        order = list(range(len(self.addresses)))
        if self.load_balance:
            random.shuffle(order)
        # With one address at a time, a preference is a second round with no demands.
        rounds = (
            ("standby", "any")
            if self.target_session_attrs == "prefer-standby"
            else (self.target_session_attrs,)
        )
        for wanted in rounds:
            for index in order:
                for tls in self._transports(self.addresses[index]):
                    yield self._attempt(index, tls, wanted)

    def _transports(self, address: Address) -> tuple[bool, ...]:
        if address.is_socket or self.ssl is None:
            return (False,)
        return {"allow": (False, True), "prefer": (True, False)}.get(self.sslmode, (True,))

    def _attempt(self, index: int, tls: bool, target_session_attrs: str) -> Attempt:
        address = self.addresses[index]
        context: SSLContext | bool = False
        if tls and self.ssl is not None:
            context = self.ssl
        arguments = {
            "host": address.host,
            "port": address.port,
            "user": self.user,
            "database": self.database,
            "password": self.passwords[index],
            "ssl": context,
            "direct_tls": self.direct_tls and tls,
            "server_settings": dict(self.server_settings),
            "target_session_attrs": target_session_attrs,
            "krbsrvname": "postgres",
            "gsslib": "gssapi",
        }
        return Attempt(address=address, tls=tls, arguments=MappingProxyType(arguments))


def goes_on(failed: Attempt, error: Exception, following: Attempt) -> bool:
    """Say whether libpq's rules allow `following` after `failed` ended in `error`.

    The same address is tried once more, in clear or under TLS, where the other way was refused;
    another address where this one could not be reached, is starting up, or plays another role.
    A refused password is never sent a second time.
    """
    refused_tls = isinstance(error, SSLError) or type(error) is ConnectionError
    if following.address == failed.address and following.tls != failed.tls:
        no_entry = isinstance(error, asyncpg.InvalidAuthorizationSpecificationError)
        return (failed.tls and refused_tls) or (
            no_entry and not isinstance(error, asyncpg.InvalidPasswordError)
        )
    unreachable = isinstance(
        error,
        OSError
        | TimeoutError
        | asyncpg.CannotConnectNowError
        | asyncpg.TargetServerAttributeNotMatched
        | asyncpg.ConnectionDoesNotExistError,
    )
    return unreachable and not refused_tls
