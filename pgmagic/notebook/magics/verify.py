"""The magic that compares what was recorded with the live databases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython.core.magic import line_magic, magics_class, no_var_expand
from IPython.display import display

from pgmagic.columns import listing
from pgmagic.environment import VARIABLES
from pgmagic.errors import CellError
from pgmagic.language.line import read_words
from pgmagic.notebook.display import LineProgress, show_text
from pgmagic.notebook.help import VERIFY, described
from pgmagic.notebook.magics.group import MagicGroup
from pgmagic.notebook.notebook_file import notebook_file
from pgmagic.recording import Recorder, Recordings, folder_to_read
from pgmagic.verification import verify
from pgmagic.verified import DIFFERENCES, VERDICTS, CellCheck, differences, summary, verdicts

__all__ = ["VerifyMagics"]


@magics_class
class VerifyMagics(MagicGroup):
    """Has anything changed since it was recorded?"""

    @no_var_expand
    @line_magic
    @described(VERIFY)
    def pg_verify(self, line: str) -> Any:
        """Ask the live databases again what was recorded, and say cell by cell what has changed.

            %pg_verify [target …] [--timeout SECONDS] [--recordings DIR]

        Gives a frame with a verdict for each cell: same, another order (of a statement without
        ORDER BY), changed, or not verified; and shows what differs, by database, row and column.
        Only what is proven to read is asked again, always READ ONLY.
        """
        words, given = read_words(line, "%pg_verify", VERIFY)
        if self.client.replaying:  # a notebook that verifies itself has to run through
            show_text("%pg_verify does nothing in a replay: no database is asked")
            return listing(VERDICTS, [])
        recordings = Recordings(self._folder(given.get("recordings")))
        if not len(recordings):
            raise CellError(
                f"there are no recordings in {recordings.directory}",
                hint="%pg_record before the cells records them; --recordings DIR names the folder",
            )
        checks = self.home.run(self._verify(recordings, words, given.get("timeout")))
        if lines := differences(checks):
            display(listing(DIFFERENCES, lines))
        return listing(VERDICTS, verdicts(checks))

    async def _verify(
        self, recordings: Recordings, targets: Sequence[str], timeout: float | None
    ) -> list[CellCheck]:
        progress, checks = LineProgress("verifying"), []
        async for check in verify(self.client, recordings, on=targets, timeout=timeout):
            checks.append(check)
            progress("cells", len(checks), len(recordings))
        progress.conclude(summary(checks))
        return checks

    def _folder(self, given: str | None) -> Path:
        """Find the recordings: those that are being written, if any."""
        if given is not None:
            return Path(given).expanduser().absolute()
        if isinstance(tape := self.client.tape, Recorder):
            return tape.recordings.directory
        notebook = notebook_file(self.shell.user_ns)
        return folder_to_read(VARIABLES, self.client.recordings, notebook)
