"""Keep what databases answer, and answer in their place."""

from pgmagic.recording.outcomes import Room
from pgmagic.recording.question import Asked, Question, question_of
from pgmagic.recording.recordings import Index, Recording, Recordings

__all__ = ["Asked", "Index", "Question", "Recording", "Recordings", "Room", "question_of"]
