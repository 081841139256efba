"""A client's key that opens with the canary alone, and servers that let in no other over TLS."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import serialization

from tests.faults.world import SETTINGS
from tests.secrets.canary import CANARY

__all__ = ["put_key", "serving"]

HBA = (
    "local all all scram-sha-256",
    "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
    "host all all 127.0.0.1/32 scram-sha-256",
)


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


def serving() -> Mapping[str, Any]:
    """Give what a server needs to ask for the key."""
    certificate = _authority().issue_cert("127.0.0.1")
    return {
        "settings": SETTINGS | {"ssl": "on", "ssl_ca_file": "ca.crt"},
        "hba": HBA,
        "files": {
            "server.crt": certificate.cert_chain_pems[0].bytes(),
            "server.key": certificate.private_key_pem.bytes(),
            "ca.crt": _authority().cert_pem.bytes(),
        },
    }


def put_key(folder: Path) -> dict[str, str]:
    """Put the key and its certificate into a folder; give the settings that name them."""
    client = _authority().issue_cert(common_name="canary")
    key = serialization.load_pem_private_key(client.private_key_pem.bytes(), None)
    files = {
        "sslcert": (folder / "client.crt", client.cert_chain_pems[0].bytes()),
        "sslkey": (
            folder / "client.key",
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(CANARY.encode()),
            ),
        ),
    }
    for path, content in files.values():
        path.touch(mode=0o600)
        path.write_bytes(content)
    return {setting: str(path) for setting, (path, _) in files.items()}
