"""The magic that holds databases at one state."""

from typing import Any

from IPython.core.magic import line_magic, magics_class, no_var_expand

from pgmagic.columns import listing
from pgmagic.errors import CellError
from pgmagic.language.line import read_words
from pgmagic.notebook.display import show_text
from pgmagic.notebook.help import SNAPSHOT, described
from pgmagic.notebook.magics.group import MagicGroup
from pgmagic.snapshots import SECONDS
from pgmagic.units import duration

__all__ = ["SnapshotMagics"]


@magics_class
class SnapshotMagics(MagicGroup):
    """Read the same state of databases, cell after cell."""

    @no_var_expand
    @line_magic
    @described(SNAPSHOT)
    def pg_snapshot(self, line: str) -> Any:
        """Let all cells from now on read databases as they are now; without a target say of which.

            %pg_snapshot target [target …] [--for SECONDS]        %pg_snapshot --end [target …]

        Each database is held by itself, one a moment after the other. It keeps what is deleted or
        changed meanwhile from vacuum, so it ends after 10 minutes; cells are refused then, until
        another snapshot is taken or this one is ended.
        """
        words, given = read_words(line, "%pg_snapshot", SNAPSHOT)
        if given.get("end"):
            if "seconds" in given:
                raise CellError("--for says how long a snapshot lasts, and --end ends it: take one")
            ended = self.home.run(self.client.end_snapshot(*words))
            show_text(f"{', '.join(ended)}: read as of now again" if ended else NOTHING)
            return None
        if words:
            seconds = given.get("seconds", SECONDS)
            held = self.home.run(self.client.hold_snapshot(*words, seconds=seconds))
            names = ", ".join(snapshot.database for snapshot in held)
            show_text(
                f"{names}: cells read the state of now, for {duration(seconds, 0)} at most; "
                "%pg_snapshot --end ends it"
            )
            return None
        if given:
            raise CellError("%pg_snapshot --for SECONDS wants targets")
        if not self.client.snapshots:
            show_text(NOTHING)
            return None
        return listing(
            ("database", "state", "taken", "ends", "snapshot", "wal"),
            [
                {
                    "database": name,
                    "state": snapshot.state,
                    "taken": snapshot.position.at,
                    "ends": snapshot.ends_at,
                    "snapshot": snapshot.position.snapshot,
                    "wal": snapshot.position.wal,
                }
                for name, snapshot in self.client.snapshots.items()
            ],
        )


NOTHING = "no database is held at a snapshot"
