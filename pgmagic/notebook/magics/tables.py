"""The magics about tables: what there is, how it differs, and frames that become tables."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.core.magic import line_magic, magics_class, needs_local_scope, no_var_expand

from pgmagic.errors import CellError, FanOutError, MissingVariable
from pgmagic.language.line import read_words
from pgmagic.language.parameters import is_path, resolve
from pgmagic.language.repeating import repeated
from pgmagic.legible import legible
from pgmagic.notebook.caption import caption
from pgmagic.notebook.display import notices
from pgmagic.notebook.help import WRITE, described
from pgmagic.notebook.magics.group import MagicGroup
from pgmagic.notebook.progress import CellProgress
from pgmagic.schema import differences, schema, targets_and_pattern
from pgmagic.watch import Watch

__all__ = ["TableMagics"]

USAGE = "%pg_write FRAME target --table NAME --write"


@magics_class
class TableMagics(MagicGroup):
    """Look at tables, compare them, write them."""

    @no_var_expand
    @line_magic
    def pg_schema(self, line: str) -> Any:
        """Show the tables of databases and their columns, as a frame.

            %pg_schema [target …] [pattern]

        The pattern is a table's name or schema.table, with * and ?, as in %pg_schema jfk sales.o*
        """
        words, _ = read_words(line, "%pg_schema", ())
        targets, pattern = targets_and_pattern(self.client, words)
        return _to_look_at(self.home.run(schema(self.client, targets, pattern)))

    @no_var_expand
    @line_magic
    def pg_diff(self, line: str) -> Any:
        """Show how the schemas of two databases differ, as a frame: empty where they don't.

            %pg_diff one other

        Compared are tables, views, sequences, columns with their types, nullability and defaults,
        indexes and constraints, all by name; of views, the definition as the server writes it.
        """
        words, _ = read_words(line, "%pg_diff", ())
        if len(words) != 2:
            raise CellError(f"%pg_diff compares two databases, not {len(words)}")
        return _to_look_at(self.home.run(differences(self.client, *words)))

    @no_var_expand
    @needs_local_scope
    @line_magic
    @described(WRITE)
    def pg_write(self, line: str, local_ns: Mapping[str, Any] | None = None) -> None:
        """Write a frame into a table, on one database, or on all of several or none.

            %pg_write FRAME target [target …] --table NAME --write [--if-exists …]

        FRAME is a variable, or a path from one as in {…}: frames['jan']. It is a frame of pandas,
        polars or Arrow. A new table takes its types from the frame, rows that are appended go by
        the names of their columns.
        """
        words, given = read_words(line, "%pg_write", WRITE)
        names = ChainMap(dict(local_ns or {}), self.shell.user_ns)
        if not words:
            raise MissingVariable("%pg_write begins with the variable of a frame", hint=USAGE)
        frame = _frame(words[0], names)
        if "table" not in given:
            raise CellError("%pg_write needs --table NAME")
        if not given.pop("write", False):
            raise CellError("%pg_write changes data, and that has to be said: --write")
        self.home.run(self._write(frame, words[1:], given))

    async def _write(self, frame: Any, words: Sequence[str], given: Mapping[str, Any]) -> None:
        targets, watch = self.client.targets(words), Watch()
        async with CellProgress(watch, targets, awaited=False, mode=self.pg.progress) as progress:
            try:
                answers = await self.client.write(frame, targets, watch=watch, **given)
            except FanOutError as error:
                error.retry_with(self.home.run)
                raise
            notes = notices(answers)
            progress.conclude(caption(answers, progress.elapsed, read_only=False, notes=notes))


def _frame(path: str, names: Mapping[str, Any]) -> Any:
    """Find a frame by what `{…}` of a cell may hold. Raises `CellError` for what it may not."""
    if not is_path(path):
        raise CellError(
            f"%pg_write takes a variable, or a path such as frames['jan'], not "
            f"{repeated(path, 'this expression')}",
            hint="give it a name first: frame = …",
        )
    return resolve(path, names)


def _to_look_at(frame: Any) -> Any:
    """Make names that hide something show it; most frames stay as they are."""
    texts = {value for name in frame.columns for value in frame[name] if isinstance(value, str)}
    if all(legible(text) == text for text in texts):
        return frame
    return frame.astype(object).map(lambda each: legible(each) if isinstance(each, str) else each)
