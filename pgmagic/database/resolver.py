"""From settings to an endpoint, by libpq's rules."""

import os
from collections.abc import Mapping
from pathlib import Path

from pgmagic.database.endpoint import Endpoint
from pgmagic.database.settings import DatabaseSettings

__all__ = ["Endpoint", "resolve"]


def resolve(
    settings: DatabaseSettings,
    *,
    environ: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> Endpoint:
    """Work out where and how to connect. Raises SettingsError."""
    raise NotImplementedError
