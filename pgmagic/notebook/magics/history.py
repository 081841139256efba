"""The magic that says which queries this notebook has run, and what became of each."""

from itertools import islice
from typing import Any

from IPython.core.magic import line_magic, magics_class, no_var_expand

from pgmagic.columns import listing
from pgmagic.language.line import read_words
from pgmagic.notebook.help import HISTORY, described
from pgmagic.notebook.magics.group import MagicGroup

__all__ = ["HistoryMagics"]

COLUMNS = (
    "cell",
    "database",
    "sql",
    "fingerprint",
    "started",
    "elapsed",
    "rows",
    "bytes",
    "outcome",
    "error",
    "sqlstate",
    "server_version",
    "snapshot",
    "wal",
    "read_at",
)


@magics_class
class HistoryMagics(MagicGroup):
    """Look back."""

    @no_var_expand
    @line_magic
    @described(HISTORY)
    def pg_history(self, line: str) -> Any:
        """Show the queries of this kernel as a frame, the newest last.

            %pg_history [target …] [--last N]

        One row for each database of each query: the cell's number, the SQL as it was written,
        its fingerprint (equal for texts that differ in literals only), when it began, seconds,
        rows, bytes, outcome, and which state of which server was read: its version, its snapshot
        and the position of its write-ahead log, where pgmagic began the transaction.
        """
        words, given = read_words(line, "%pg_history", HISTORY)
        names = set(self.client.targets(words)) if words else None
        newest = islice(reversed(self.client.receipts), given.get("last"))
        lines = [
            each
            for receipt in reversed(list(newest))
            for each in receipt.lines()
            if names is None or each["database"] in names
        ]
        return listing(COLUMNS, lines)
