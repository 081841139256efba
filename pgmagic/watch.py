"""What can be seen of a cell while it runs."""

from dataclasses import dataclass, field

from pgmagic.columns import Progress
from pgmagic.outcome import Outcome

__all__ = ["Watch"]


@dataclass(frozen=True, slots=True)
class Watch:
    """Rows and bytes so far, who is done, and, in a few words, what the others are busy with.

    All by database. The cell writes; a face may look at any time.
    """

    progress: dict[str, Progress] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
