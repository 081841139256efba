"""All databases of a cell commit, or none."""

from pgmagic.database.pool import Lease
from pgmagic.database.translation import translated
from pgmagic.meeting import Meeting
from pgmagic.watch import Watch

__all__ = ["PATIENT", "vote"]

PATIENT = "set local idle_in_transaction_session_timeout = 0"
"""Lets a transaction wait for the others' for as long as their statements take.

Where we vanish meanwhile, the server sees the connection end and rolls back all the same.
"""


async def vote(lease: Lease, meeting: Meeting, watch: Watch) -> None:
    """Go on to commit only where every database has come this far.

    Raises `NotCommitted` where one has failed, and `QueryError` where this one would fail in its
    commit: what is checked only there is checked now, while nobody has committed.
    """
    with translated(lease.database):
        await lease.connection.execute("set constraints all immediate")
    watch.state[lease.database] = "waiting to commit"
    await meeting.vote(lease.database)
