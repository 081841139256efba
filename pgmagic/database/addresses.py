"""libpq's lists of hosts and ports.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pgmagic.database.endpoint import Address
from pgmagic.database.places import default_socket_directory, socket_directory
from pgmagic.errors import SettingsError

__all__ = ["Hosts", "resolve_addresses"]

DEFAULT_PORT = 5432


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Where to connect, and under which name the password file has each place."""

    addresses: tuple[Address, ...]
    names: tuple[str, ...]

    @property
    def certificate_names(self) -> Mapping[str, str]:
        """The name that a certificate must bear, where the address is not it."""
        return {
            address.host: name
            for address, name in zip(self.addresses, self.names, strict=True)
            if name != address.host and not address.is_socket
        }


def resolve_addresses(*, host: str, hostaddr: str, port: str) -> Hosts:
    """Match hosts, addresses and ports; each is a list with commas or empty.

    Raises SettingsError where their numbers differ or a port is none.
    """
    count = len((hostaddr or host).split(","))
    hosts = host.split(",") if host else [""] * count
    hostaddrs = hostaddr.split(",") if hostaddr else [""] * count
    ports = [_port(each) for each in port.split(",")]
    if len(hosts) != count:
        raise SettingsError(f"could not match {len(hosts)} hosts to {count} addresses")
    if len(ports) not in (1, count):
        raise SettingsError(f"could not match {len(ports)} ports to {count} hosts")
    if len(ports) == 1:
        ports *= count
    places = [_place(*each) for each in zip(hosts, hostaddrs, ports, strict=True)]
    return Hosts(
        addresses=tuple(address for address, _ in places),
        names=tuple(name for _, name in places),
    )


def _port(text: str) -> int:
    text = text.strip()
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise SettingsError("a port must be a number between 1 and 65535")
    return int(text)


def _place(host: str, hostaddr: str, port: int) -> tuple[Address, str]:
    """Give where to connect, and the name for password file and certificate."""
    if hostaddr:
        return Address(hostaddr, port), host or hostaddr
    if host.startswith("@"):
        raise SettingsError("sockets in the abstract namespace (@…) are not supported")
    if not host:
        return Address(socket_directory(port) or "localhost", port), "localhost"
    # The password file calls the default socket directory localhost, others by their path.
    return Address(host, port), "localhost" if host == default_socket_directory() else host
