"""Passwords that we make up, in files that only we can read."""

import hashlib
import hmac
import os
import secrets
from base64 import b64encode
from pathlib import Path

from pgmagic.secret import Secret

__all__ = ["new_password", "verifier", "write_secret"]

ROUNDS = 4096  # as PostgreSQL does


def new_password() -> Secret:
    """Make a password that needs no quoting anywhere."""
    return Secret(secrets.token_urlsafe(18))


def verifier(password: Secret) -> str:
    """Give what a server keeps of a password: in a statement it may be logged.

    https://www.postgresql.org/docs/current/catalog-pg-authid.html
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, ROUNDS)
    client, server = (hmac.digest(salted, key, "sha256") for key in (b"Client Key", b"Server Key"))
    written = [b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(ROUNDS, *written)


def write_secret(path: Path, text: Secret) -> None:
    """Write a file, all or nothing, that others can't read at any moment."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text.reveal())
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
