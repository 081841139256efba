"""Keep every answer on its way from the databases to the cell."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

from pgmagic.errors import RecordingError
from pgmagic.language.fingerprint import fingerprint
from pgmagic.language.plan import Plan, Transaction
from pgmagic.outcome import Answer, Outcome
from pgmagic.receipts import Origin
from pgmagic.recording.occurrences import Occurrences
from pgmagic.recording.outcomes import Room
from pgmagic.recording.question import question_of
from pgmagic.recording.recording import Recording
from pgmagic.recording.recordings import Index, Recordings

__all__ = ["Live", "Recorder", "noted"]

Live: TypeAlias = Callable[[], Awaitable[tuple[Outcome, ...]]]


class Recorder:
    """Asks the databases, and keeps what they answer, failures too.

    `origin` says which cell asks, `index` what targets mean at the moment. A cell that is
    cancelled is not recorded. Where a recording can't be written, the cell has its answer all
    the same, and its caption says so.
    """

    def __init__(
        self,
        recordings: Recordings,
        *,
        origin: Callable[[], Origin],
        index: Callable[[], Index],
        room: Room | None = None,
    ) -> None:
        self.recordings = recordings
        self.room = room or Room()
        self.used: set[str] = set()
        self._origin = origin
        self._index = index
        self._occurrences = Occurrences()

    def prepared(self, plan: Plan) -> Plan:
        """Let a cell read one state of each database, the one that its receipt tells of."""
        own = plan.transaction is not Transaction.SESSION
        return replace(plan, one_state=True) if own else plan

    async def outcomes(self, plan: Plan, live: Live) -> tuple[Outcome, ...]:
        """Ask the databases, and keep what they answer."""
        question, origin = question_of(plan), self._origin()
        # Counted before the first await: several cells may be on their way at once.
        occurrence = self._occurrences.next(question.key, origin)
        began, started = datetime.now(UTC), time.monotonic()
        outcomes = await live()
        elapsed = time.monotonic() - started

        def keep() -> Recording:
            return self.recordings.write(
                plan,
                question,
                occurrence,
                outcomes,
                sql=plan.cell.sql,
                fingerprint=fingerprint(plan.cell.sql),
                origin=origin,
                started=began,
                elapsed=elapsed,
                index=self._index(),
                room=self.room,
            )

        try:
            recording = await asyncio.to_thread(keep)
        except RecordingError as error:
            return tuple(noted(outcome, f"not recorded: {error.message}") for outcome in outcomes)
        self.used.add(recording.name)
        left_out = recording.left_out
        return tuple(
            noted(outcome, f"recorded without its rows: {left_out[outcome.database]}")
            if outcome.database in left_out
            else outcome
            for outcome in outcomes
        )


def noted(outcome: Outcome, note: str) -> Outcome:
    """Add a note for the caption to the last result of an answer."""
    if not isinstance(outcome, Answer) or not outcome.results:
        return outcome
    *others, last = outcome.results
    last = replace(last, notes=(*last.notes, note))
    return replace(outcome, results=(*others, last))
