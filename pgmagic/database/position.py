"""Ask a server, at no cost of a round trip, which state of its database it is about to read."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pgmagic.outcome import Position

if TYPE_CHECKING:
    import asyncpg

__all__ = ["TELL", "position_in"]

MARK = "pgmagic reads"

# A message, since the simple protocol, which takes several statements at once, hands no rows to
# us. INFO is sent whatever `client_min_messages` says. The older name of the function is known to
# every version: https://www.postgresql.org/docs/current/functions-info.html
TELL = f"""do $$ begin raise info '{MARK} % % %', pg_catalog.txid_current_snapshot(),
case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
else pg_catalog.pg_current_wal_lsn() end, extract(epoch from pg_catalog.clock_timestamp());
end $$"""


def position_in(message: "asyncpg.PostgresLogMessage | Any") -> Position | None:
    """Read what `TELL` made the server say; None of any other message."""
    text = message.message or ""
    if not text.startswith(MARK):
        return None
    try:
        snapshot, wal, epoch = text.removeprefix(MARK).split()
        at = datetime.fromtimestamp(float(epoch), tz=UTC)
    except (ValueError, OverflowError, OSError):  # a server may write anything there
        return None
    return Position(snapshot=snapshot, wal=None if wal == "<NULL>" else wal, at=at)
