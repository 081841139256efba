"""Every place that a password can come from."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from pgmagic.database.settings import DatabaseSettings

__all__ = ["SOURCES", "settings_from"]

SOURCES = (
    "PGPASSWORD", "passfile", "service", "password_env", "URI", "key=value", "keyring",
    "callable", "async callable", "prompt",
)  # fmt: skip


def settings_from(
    source: str,
    secret: str,
    place: dict[str, Any],
    patch: pytest.MonkeyPatch,
    folder: Path,
    **changes: Any,
) -> DatabaseSettings:
    """Put a secret into a place, and give settings that find it there. `prompt` finds none."""
    for variable in ("PGPASSWORD", "PGSERVICEFILE"):
        patch.delenv(variable, raising=False)
    patch.setenv("PGPASSFILE", str(folder / "none"))
    where = {name: place[name] for name in ("host", "port", "user", "database")}
    settings: dict[str, Any] = {"name": "h", **where, "sslmode": "disable"}
    match source:
        case "PGPASSWORD":
            patch.setenv("PGPASSWORD", secret)
        case "passfile":
            path = folder / "pgpass"
            path.touch(mode=0o600)
            escaped = secret.replace("\\", "\\\\").replace(":", "\\:")
            path.write_text(f"*:*:*:*:{escaped}\n")
            patch.setenv("PGPASSFILE", str(path))
        case "service":
            path = folder / "pg_service.conf"
            path.write_text(f"[canary]\npassword={secret}\n")
            patch.setenv("PGSERVICEFILE", str(path))
            settings["service"] = "canary"
        case "password_env":
            patch.setenv("CANARY_PASSWORD", secret)
            settings["password_env"] = "CANARY_PASSWORD"
        case "URI":
            patch.setenv("CANARY_DSN", f"postgresql://{place['user']}:{quote(secret, safe='')}@/")
            settings["dsn_env"] = "CANARY_DSN"
        case "key=value":
            escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
            patch.setenv("CANARY_DSN", f"password='{escaped}'")
            settings["dsn_env"] = "CANARY_DSN"
        case "keyring":
            ring = SimpleNamespace(get_password=lambda service, account: secret)
            ring.__spec__ = SimpleNamespace(name="keyring")
            patch.setitem(sys.modules, "keyring", ring)
            settings["keyring"] = True
        case "callable":
            settings["password"] = lambda: secret
        case "async callable":

            async def give() -> str:
                return secret

            settings["password"] = give
    return DatabaseSettings(**(settings | changes))
