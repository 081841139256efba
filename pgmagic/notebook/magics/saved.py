"""Saved queries: `--save` of `%%pg`, and the magic that lists, shows and deletes them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class, no_var_expand

from pgmagic.columns import listing
from pgmagic.errors import CellError
from pgmagic.language.line import Cell, read_words
from pgmagic.language.options import OPTIONS, Options
from pgmagic.language.saved import SavedQueries
from pgmagic.notebook.display import show_text
from pgmagic.notebook.help import SAVED, described
from pgmagic.notebook.magics.group import MagicGroup

if TYPE_CHECKING:
    from pgmagic.notebook.magics.cells import PgMagics

__all__ = ["SavedMagics", "save"]


def save(pg: "PgMagics", cell: Cell, names: Mapping[str, Any], defaults: Options) -> None:
    """Keep a cell's SELECT under the name that `--save` gives it, and say what that means."""
    name = cell.options.save
    assert name is not None
    _refuse_others(cell, defaults)
    # A misspelt target is worth an error, although the query belongs to no database.
    targets = pg.client.targets(cell.targets) if cell.targets else tuple(pg.client.databases)
    replaced = name.lower() in pg.client.saved
    query = pg.client.save(name, cell.sql, values=names)
    said = [f"{query.name} is {'replaced' if replaced else 'saved'}"]
    said += _relations(pg.client.saved, query.name)
    said += pg.completions.hidden_tables([query.name], targets)
    show_text(" · ".join(said))


def _refuse_others(cell: Cell, defaults: Options) -> None:
    """Refuse what is about a result: there is none."""
    if cell.into is not None and cell.options.into is None:
        raise CellError(f"--save runs nothing, and so {cell.into} << has nothing to take")
    for option in OPTIONS:
        given = getattr(cell.options, option.field) != getattr(defaults, option.field)
        if given and option.field != "save":
            raise CellError(f"--save runs nothing: it takes no {option.name}")


def _relations(saved: SavedQueries, name: str) -> list[str]:
    reads, readers = saved.read_by(name), saved.readers(name)
    return [f"reads {', '.join(reads)}"] * bool(reads) + [f"read by {', '.join(readers)}"] * bool(
        readers
    )


@magics_class
class SavedMagics(MagicGroup):
    """List, show and delete saved queries."""

    @no_var_expand
    @line_magic
    @described(SAVED)
    def pg_saved(self, line: str) -> Any:
        """List the saved queries as a frame; show one; delete one.

            %pg_saved [NAME | --delete NAME]

        %%pg --save NAME keeps the SELECT of its cell. Later cells read from NAME like from a
        table: what is sent has `with NAME as (…)` in front.
        """
        words, given = read_words(line, "%pg_saved", SAVED)
        saved = self.client.saved
        if "delete" in given:
            if words:
                raise CellError("%pg_saved shows one query or deletes one, not both")
            show_text(self._delete(saved, given["delete"]))
            return None
        if not words:
            return listing(("name", "reads", "values", "sql"), _rows(saved))
        if len(words) > 1:
            raise CellError(f"%pg_saved shows one query, not {len(words)}")
        query = saved.find(words[0])
        about = " · ".join([query.name, *_relations(saved, query.name)])
        show_text(f"{about}\n{query.sql}")
        return None

    @staticmethod
    def _delete(saved: SavedQueries, name: str) -> str:
        deleted = saved.delete(name).name
        left = saved.readers(deleted)
        return f"{deleted} is deleted" + (f" · still read by {', '.join(left)}" if left else "")


def _rows(saved: SavedQueries) -> Sequence[Mapping[str, str]]:
    return [
        {
            "name": name,
            "reads": ", ".join(saved.read_by(name)),
            "values": ", ".join(f"{{{path}}}" for path in query.statement.parameters),
            "sql": query.sql,
        }
        for name, query in saved.items()
    ]
