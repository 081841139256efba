"""The magics. Each reads its line, asks the client, and shows; nothing else."""

from pgmagic.notebook.magics.cells import PgMagics
from pgmagic.notebook.magics.group import MagicGroup
from pgmagic.notebook.magics.history import HistoryMagics
from pgmagic.notebook.magics.pools import PoolMagics
from pgmagic.notebook.magics.record import RecordMagics
from pgmagic.notebook.magics.sandbox import SandboxMagics
from pgmagic.notebook.magics.saved import SavedMagics
from pgmagic.notebook.magics.snapshot import SnapshotMagics
from pgmagic.notebook.magics.tables import TableMagics
from pgmagic.notebook.magics.verify import VerifyMagics

__all__ = ["GROUPS", "MagicGroup", "PgMagics"]

GROUPS: tuple[type[MagicGroup], ...] = (
    PoolMagics,
    TableMagics,
    HistoryMagics,
    RecordMagics,
    SavedMagics,
    SnapshotMagics,
    VerifyMagics,
    SandboxMagics,
)
"""Every group of magics beside `%%pg` itself. They are shut down in the order given, the pools
while servers are still there."""
