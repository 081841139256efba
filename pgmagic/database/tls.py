"""libpq's `sslmode` as an `ssl.SSLContext`.

https://www.postgresql.org/docs/current/libpq-ssl.html
"""

import ipaddress
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgmagic.database.parameters import Parameters
from pgmagic.database.places import Places
from pgmagic.errors import SettingsError

__all__ = ["is_local", "tls_context"]

VERIFYING = ("verify-ca", "verify-full")
ALPN = ["postgresql"]  # PostgreSQL 17 wants it where TLS is negotiated directly


def is_local(host: str) -> bool:
    """Say whether a host is this machine: a socket, `localhost`, a loopback address."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _NamingContext(ssl.SSLContext):
    """Holds a certificate against the host's name where the address was given (`hostaddr`)."""

    names: Mapping[str, str]

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        address = kwargs.get("server_hostname")
        if isinstance(address, str):
            kwargs["server_hostname"] = self.names.get(address, address)
        return super().wrap_bio(*args, **kwargs)


def tls_context(
    mode: str, parameters: Parameters, places: Places, *, names: Mapping[str, str]
) -> ssl.SSLContext | None:
    """Make the context for an `sslmode`; None where TLS is off.

    `names` maps an address to the name that its certificate must bear. Raises SettingsError where
    a file is missing or cannot be read. As in libpq a root certificate that is there is used in
    every mode; other than libpq, `verify-full` without one trusts the system's authorities.
    """
    if mode == "disable":
        return None
    context = _NamingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.names = names
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(ALPN)
    if _trust(context, mode, parameters, places):
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = mode == "verify-full"
        _revoke(context, parameters, places)
    _identify(context, parameters, places)
    _bound(context, parameters)
    return context


def _trust(context: ssl.SSLContext, mode: str, parameters: Parameters, places: Places) -> bool:
    """Load the authorities to trust, if there are any."""
    written = parameters["sslrootcert"]
    if written == "system":
        context.load_default_certs()
        return True
    path = places.path(written) if written else places.certificates / "root.crt"
    if path.exists():
        _load(context, path, "root certificate file", cafile=str(path))
        return True
    if mode == "verify-full" and not written:
        context.load_default_certs()
        return True
    if mode in VERIFYING:
        raise SettingsError(
            f'root certificate file "{places.shown(path)}" does not exist',
            hint="set sslrootcert to the file, or to system for the system's authorities",
        )
    return False


def _revoke(context: ssl.SSLContext, parameters: Parameters, places: Places) -> None:
    """Load the lists of revoked certificates, if there are any."""
    file, directory = parameters["sslcrl"], parameters["sslcrldir"]
    lists: dict[str, str] = {}
    if file:
        lists["cafile"] = str(places.path(file))
    if directory:
        lists["capath"] = str(places.path(directory))
    usual = places.certificates / "root.crl"
    if not lists and usual.exists():
        lists["cafile"] = str(usual)
    # A list that is named and not there is passed over, as libpq does.
    lists = {kind: path for kind, path in lists.items() if Path(path).exists()}
    if lists:
        _load(context, Path(next(iter(lists.values()))), "revocation list", **lists)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load(context: ssl.SSLContext, path: Path, what: str, **locations: str) -> None:
    try:
        context.load_verify_locations(**locations)
    except OSError:  # ssl.SSLError is one
        raise SettingsError(f'{what} "{path}" could not be read') from None


def _identify(context: ssl.SSLContext, parameters: Parameters, places: Places) -> None:
    """Load the client's own certificate, if there is one."""
    if parameters["sslcertmode"] == "disable":
        return
    written, key_written = parameters["sslcert"], parameters["sslkey"]
    certificate = places.path(written) if written else places.certificates / "postgresql.crt"
    if not certificate.exists():
        return
    key = places.path(key_written) if key_written else places.certificates / "postgresql.key"
    if not key.exists():
        raise SettingsError(
            f'certificate "{places.shown(certificate)}" is there,'
            f' but not its private key "{places.shown(key)}"'
        )
    _refuse_loose(key, places)
    passphrase = parameters.secret("sslpassword")
    try:
        # Without a callable OpenSSL would ask on the terminal.
        context.load_cert_chain(
            certificate, key, password=lambda: passphrase.reveal() if passphrase else ""
        )
    except OSError:
        raise SettingsError(
            f'certificate "{places.shown(certificate)}" could not be read with its private key'
            f' "{places.shown(key)}"'
        ) from None


def _refuse_loose(key: Path, places: Places) -> None:
    """Refuse a key that others may read, unless root gave it to a group."""
    if os.name != "posix":
        return
    status = key.stat()
    loose = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
    if status.st_uid != 0:
        loose |= stat.S_IRGRP
    if status.st_mode & loose:
        raise SettingsError(
            f'private key file "{places.shown(key)}" may be read by others',
            hint="its permissions should be u=rw (0600) or less",
        )


def _bound(context: ssl.SSLContext, parameters: Parameters) -> None:
    """Set the oldest and the newest TLS allowed."""
    for keyword, attribute in (
        ("ssl_min_protocol_version", "minimum_version"),
        ("ssl_max_protocol_version", "maximum_version"),
    ):
        version = parameters[keyword] or ("TLSv1.2" if attribute == "minimum_version" else "")
        if version:
            known = {"tlsv1": "TLSv1", "tlsv1.1": "TLSv1_1", "tlsv1.2": "TLSv1_2"}
            member = {**known, "tlsv1.3": "TLSv1_3"}.get(version.lower())
            if member is None:
                raise SettingsError(f"invalid {keyword} ({parameters.origin(keyword)})")
            setattr(context, attribute, ssl.TLSVersion[member])
