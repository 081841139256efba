"""Every place that a password can come from."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pgmagic.database.settings import DatabaseSettings
from tests.secrets.keys import put_key

__all__ = ["SOURCES", "Surroundings", "put", "settings_from", "surrounded"]

SOURCES = (
    "PGPASSWORD", ".pgpass", "PGPASSFILE", "service", "password_env", "URI", "URI's query",
    "key=value", "keyring", "callable", "async callable", "prompt", "sslpassword",
)  # fmt: skip
# Of these there is one for all, or one for each account: a second password goes into a variable.
ONE_FOR_ALL = frozenset({"PGPASSWORD", ".pgpass", "PGPASSFILE", "keyring", "prompt", "sslpassword"})

Put = Callable[[str, str], None]


def put(source: str, secret: str, folder: Path, setenv: Put, name: str = "h") -> dict[str, Any]:
    """Put a secret into a place, for the database of this name; give the settings that find it.

    Files go into the folder, variables to `setenv`. The keyring is `keyring.py` of the folder.
    Nothing is put anywhere for a callable or a prompt. The passphrase of a client's key is the
    password as well: who speaks no TLS asks for that.
    """
    settings: dict[str, Any] = {}
    variable = f"CANARY_{name.upper()}"
    match source:
        case "PGPASSWORD":
            setenv("PGPASSWORD", secret)
        case ".pgpass" | "PGPASSFILE":
            path = folder / ("pgpass" if source == "PGPASSFILE" else ".pgpass")
            path.touch(mode=0o600)
            escaped = secret.replace("\\", "\\\\").replace(":", "\\:")
            path.write_text(f"*:*:*:*:{escaped}\n")
            if source == "PGPASSFILE":
                setenv("PGPASSFILE", str(path))
            else:
                setenv("HOME", str(folder))
        case "service":
            path = folder / "pg_service.conf"
            before = path.read_text() if path.exists() else ""
            path.write_text(f"[canary_{name}]\npassword={secret}\n{before}")
            setenv("PGSERVICEFILE", str(path))
            settings["service"] = f"canary_{name}"
        case "password_env":
            setenv(variable, secret)
            settings["password_env"] = variable
        case "URI" | "URI's query" | "key=value":
            quoted = quote(secret, safe="")
            escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
            written = {
                "URI": f"postgresql://:{quoted}@/",
                "URI's query": f"postgresql:///?password={quoted}",
                "key=value": f"password='{escaped}'",
            }
            setenv(variable, written[source])
            settings["dsn_env"] = variable
        case "sslpassword":
            quoted = quote(secret, safe="")
            setenv(variable, f"postgresql:///?password={quoted}&sslpassword={quoted}")
            settings |= {"dsn_env": variable, "sslmode": "require"} | put_key(folder)
        case "keyring":
            (folder / "keyring.py").write_text(f"KEPT = {json.dumps(secret)}\n{KEYRING}")
            settings["keyring"] = True
    return settings


KEYRING = """
def get_password(service, account):
    return KEPT
"""


class Surroundings:
    """A process whose passwords all come from one kind of place; `setenv` sets its variables."""

    def __init__(self, source: str, folder: Path, setenv: Put) -> None:
        self.source = source
        self._folder = folder
        self._setenv = setenv
        self._first: str | None = None

    def settings(self, name: str, secret: str) -> dict[str, Any]:
        """Give the settings with which a database of this name finds this password."""
        self._first = self._first or secret
        if self.source in ONE_FOR_ALL and secret != self._first:
            return put("password_env", secret, self._folder, self._setenv, name)
        given = _given(self.source, secret)
        return put(self.source, secret, self._folder, self._setenv, name) | given


@contextmanager
def surrounded(source: str, folder: Path) -> Iterator[Surroundings]:
    """Let this process have its passwords from one kind of place while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("PGPASSWORD", "PGSERVICEFILE", "PGPASSFILE"):
            patch.delenv(variable, raising=False)
        patch.setenv("HOME", str(folder))
        patch.delitem(sys.modules, "keyring", raising=False)
        if source == "keyring":
            patch.syspath_prepend(folder)
        yield Surroundings(source, folder, patch.setenv)
        patch.delitem(sys.modules, "keyring", raising=False)


def settings_from(
    source: str, secret: str, place: dict[str, Any], around: Surroundings, **changes: Any
) -> DatabaseSettings:
    """Give settings that find a secret in a place. `prompt` finds none."""
    where = {name: place[name] for name in ("host", "port", "user", "database")}
    found = around.settings("h", secret)
    # What is asked need not know TLS; a client's key is read all the same.
    found["sslmode"] = "prefer" if source == "sslpassword" else "disable"
    return DatabaseSettings(**({"name": "h"} | where | found | changes))


def _given(source: str, secret: str) -> dict[str, Any]:
    async def give() -> str:
        return secret

    given = {"callable": lambda: secret, "async callable": give}
    return {"password": given[source]} if source in given else {}
