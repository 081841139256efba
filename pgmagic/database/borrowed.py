"""A snapshot that another process holds, to be read here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pgmagic.database.lease import Lease
from pgmagic.database.snapshot import UNKNOWN, Snapshot
from pgmagic.errors import SnapshotEnded
from pgmagic.outcome import Position

__all__ = ["BorrowedSnapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowedSnapshot:
    """How to read what a `Snapshot` holds: it can be sent to other processes.

    `begin` is the SQL that begins a transaction in it.
    """

    database: str
    begin: str
    position: Position

    @classmethod
    def of(cls, held: Snapshot) -> Self:
        """Borrow a snapshot. Raises SnapshotEnded."""
        return cls(database=held.database, begin=held.begin, position=held.position)

    def check(self) -> None:
        """Do nothing: only the server knows here whether it is still held."""

    async def begin_on(self, lease: Lease, settings: Sequence[str] = ()) -> None:
        """Begin a transaction in it; `settings` are statements that the transaction begins with.

        Raises SnapshotEnded, and the driver's errors.
        """
        try:
            await lease.connection.execute(self.begin)
        except UNKNOWN:
            raise SnapshotEnded(
                "the snapshot that this was planned in is held no more, or this is another "
                "server; nothing was read",
                database=self.database,
                hint=f"%pg_snapshot {self.database} takes a new one; then plan again",
            ) from None
        lease.position = self.position
        if settings:
            await lease.connection.execute("; ".join(settings))
