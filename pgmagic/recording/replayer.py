"""Answer in place of the databases, from what was recorded."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from pgmagic.errors import NotRecorded, RecordingError
from pgmagic.language.plan import Plan
from pgmagic.outcome import Outcome
from pgmagic.receipts import Origin
from pgmagic.recording.nearest import differences, nearest
from pgmagic.recording.occurrences import Occurrences
from pgmagic.recording.question import Question, question_of
from pgmagic.recording.recorder import Live, noted
from pgmagic.recording.recordings import Recordings

if TYPE_CHECKING:
    from pgmagic.recording.recording import Recording

__all__ = ["Replayer"]


class Replayer:
    """Answers every question as it was answered when it was recorded, and asks nobody.

    The first time with the first recording of it, the second time with the second; where it was
    asked less often then, the last one answers again, and the caption says so.
    """

    def __init__(self, recordings: Recordings, *, origin: Callable[[], Origin]) -> None:
        if not len(recordings):
            raise RecordingError(
                f"there is nothing to replay: {recordings.directory} holds no recording",
                hint="run the notebook with PGMAGIC_MODE=record once, or name the folder with "
                "PGMAGIC_RECORDINGS",
            )
        self.recordings = recordings
        self.used: set[str] = set()
        self._origin = origin
        self._occurrences = Occurrences()

    def prepared(self, plan: Plan) -> Plan:
        """Leave a plan as it is."""
        return plan

    async def outcomes(self, plan: Plan, _live: Live) -> tuple[Outcome, ...]:
        """Give what was recorded. Raises `NotRecorded`, `RecordingError`."""
        question = question_of(plan)
        known = self.recordings.of(question.key)
        if not known:
            raise self._unknown(question)
        time = self._occurrences.next(question.key, self._origin())
        recording = next((each for each in known if each.occurrence == time), known[-1])
        self.used.add(recording.name)
        outcomes = await asyncio.to_thread(recording.outcomes)
        if recording.occurrence == time:
            return outcomes
        note = f"asked {time} times, recorded {known[-1].occurrence}: the last answer again"
        return tuple(noted(outcome, note) for outcome in outcomes)

    def _unknown(self, question: Question) -> NotRecorded:
        near: Recording | None = nearest(question, self.recordings)
        hint = "run the notebook with PGMAGIC_MODE=record, or after %pg_record, once more"
        if near is None:
            return NotRecorded("this was not recorded, nor anything like it", hint=hint)
        return NotRecorded(
            f"this was not recorded; the nearest is {near.name}, and differs:",
            differences=tuple(differences(question, near.question)),
            hint=hint,
        )
