"""Ask many PostgreSQL databases at once from a notebook cell."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgmagic.errors import (
    CellError,
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    ExportError,
    FanOutError,
    MissingVariable,
    NotCommitted,
    NotRecorded,
    PgMagicError,
    PoolTimeout,
    QueryCancelled,
    QueryError,
    QueryTimeout,
    RecordingError,
    ResultTooLarge,
    SandboxError,
    SettingsError,
    SnapshotEnded,
    Unavailable,
    UnknownDatabase,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pgmagic.client import Client
    from pgmagic.database.settings import DatabaseSettings

__version__ = "0.1.0"

__all__ = [
    "CellError",
    "CircuitOpen",
    "Client",
    "ConnectFailed",
    "ConnectionLost",
    "DatabaseSettings",
    "ExportError",
    "FanOutError",
    "MissingVariable",
    "NotCommitted",
    "NotRecorded",
    "PgMagicError",
    "PoolTimeout",
    "QueryCancelled",
    "QueryError",
    "QueryTimeout",
    "RecordingError",
    "ResultTooLarge",
    "SandboxError",
    "SettingsError",
    "SnapshotEnded",
    "Unavailable",
    "UnknownDatabase",
]


def __getattr__(name: str) -> Any:
    """Import pandas and the rest only when they are needed."""
    if name == "Client":
        from pgmagic.client import Client

        return Client
    if name == "DatabaseSettings":
        from pgmagic.database.settings import DatabaseSettings

        return DatabaseSettings
    if name == "dask":
        return import_module("pgmagic.dask")
    raise AttributeError(f"module 'pgmagic' has no attribute {name!r}")


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Put `%%pg` and its kin into the shell: `%load_ext pgmagic`."""
    from pgmagic.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """Take them out again and close every connection: `%unload_ext pgmagic`."""
    from pgmagic.notebook.extension import unload

    unload(shell)
