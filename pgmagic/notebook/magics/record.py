"""The magic that keeps what databases answer."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from IPython.core.magic import line_magic, magics_class, no_var_expand

from pgmagic.environment import VARIABLES
from pgmagic.errors import CellError, RecordingError
from pgmagic.language.line import read_words
from pgmagic.notebook.display import show_text
from pgmagic.notebook.help import RECORD, described
from pgmagic.notebook.magics.group import MagicGroup
from pgmagic.notebook.notebook_file import notebook_file
from pgmagic.recording import Recorder, Replayer, folder_to_write
from pgmagic.units import counted

__all__ = ["RecordMagics"]

MEGABYTE = 1 << 20


@magics_class
class RecordMagics(MagicGroup):
    """Record, and say what is recorded."""

    @no_var_expand
    @line_magic
    @described(RECORD)
    def pg_record(self, line: str) -> None:
        """Keep every answer from now on, so that the notebook can be run without its databases.

            %pg_record [directory] [--most MB] [--in-all MB]
            %pg_record --stop | --clean

        By itself the directory stands beside the notebook. Where it records already, it says what
        there is. With PGMAGIC_MODE=replay the notebook then runs on the recordings alone.
        """
        words, given = read_words(line, "%pg_record", RECORD)
        if len(words) > 1:
            raise CellError(f"%pg_record takes one directory, not {len(words)} words")
        if given.pop("clean", False):
            show_text(self._clean())
            return
        if given.pop("stop", False):
            self.client.stop_recording()
            show_text("replaying" if self.client.replaying else "recording no more")
            return
        tape = self.client.tape
        if not self.client.replaying:
            folder = self._folder(words, tape)
            if not isinstance(tape, Recorder) or tape.recordings.directory != folder:
                tape = self.client.record(folder)
            sizes = {name: megabytes * MEGABYTE for name, megabytes in given.items()}
            tape.room = replace(tape.room, **sizes)
        show_text(_status(tape))

    def _folder(self, words: tuple[str, ...], tape: Any) -> Path:
        if words:
            return Path(words[0]).expanduser().absolute()
        if isinstance(tape, Recorder):
            return tape.recordings.directory
        notebook = notebook_file(self.shell.user_ns)
        return folder_to_write(VARIABLES, self.client.recordings, notebook)

    def _clean(self) -> str:
        """Delete what was not recorded since this kernel began to."""
        tape = self.client.tape
        if isinstance(tape, Replayer):
            return "a replay deletes nothing"
        if not isinstance(tape, Recorder):
            raise RecordingError(
                "--clean deletes what this kernel has not recorded, and it records nothing",
                hint="run the whole notebook in a fresh kernel with %pg_record in it, then clean",
            )
        if not tape.used:
            raise RecordingError(
                "nothing was recorded yet: --clean would delete every recording",
                hint="run the whole notebook first",
            )
        unused = [each for each in tape.recordings if each.name not in tape.used]
        for each in unused:
            tape.recordings.delete(each)
        tape.recordings.sweep()
        deleted = counted(len(unused), "recording") + " deleted"
        return "\n".join([deleted, *(f"  {each.name}" for each in unused)])


def _status(tape: Any) -> str:
    recordings, used = tape.recordings, len(tape.used)
    doing = "replaying from" if isinstance(tape, Replayer) else "recording into"
    parts = [
        f"{doing} {os.path.relpath(recordings.directory)}",
        counted(len(recordings), "recording"),
        f"{used:,} used in this kernel",
        f"{recordings.size / MEGABYTE:,.1f} MB",
    ]
    return " · ".join(parts)
