"""Keep what databases answer, and answer in their place."""

from pgmagic.recording.outcomes import Room
from pgmagic.recording.place import folder_to_read, folder_to_write, mode_of
from pgmagic.recording.question import Asked, Question, question_of
from pgmagic.recording.recorder import Recorder
from pgmagic.recording.recording import Recording
from pgmagic.recording.recordings import Index, Recordings
from pgmagic.recording.replayer import Replayer

__all__ = [
    "Asked",
    "Index",
    "Question",
    "Recorder",
    "Recording",
    "Recordings",
    "Replayer",
    "Room",
    "folder_to_read",
    "folder_to_write",
    "mode_of",
    "question_of",
]
