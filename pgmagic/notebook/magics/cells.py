"""`%%pg` itself, and the defaults of its cells."""

import asyncio
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.display import display
from traitlets import Bool, Enum, Float, Integer, Unicode, observe
from traitlets.config import Config

from pgmagic.answers import Answers
from pgmagic.client import Client
from pgmagic.dask import close
from pgmagic.errors import FanOutError, merged
from pgmagic.language.line import Cell, read_cell, read_line
from pgmagic.language.options import OPTIONS, Options
from pgmagic.notebook.asking import leave_alone
from pgmagic.notebook.background import Background
from pgmagic.notebook.caption import Drawn, caption
from pgmagic.notebook.completion import Completions
from pgmagic.notebook.configuring import check
from pgmagic.notebook.display import notices, show_html
from pgmagic.notebook.help import LINE_OPTIONS, described
from pgmagic.notebook.loop import NotebookLoop
from pgmagic.notebook.magics.saved import save
from pgmagic.notebook.panels import Panels
from pgmagic.notebook.progress import CellProgress
from pgmagic.watch import Watch

if TYPE_CHECKING:
    from pgmagic.notebook.magics.group import MagicGroup

__all__ = ["PgMagics"]


@magics_class
class PgMagics(Magics):
    """`%%pg` and the magics around it. These are the defaults of this notebook's cells."""

    timeout = Float(None, allow_none=True, help="seconds until a cell gives up").tag(config=True)
    limit = Integer(None, allow_none=True, help="rows of each database at most").tag(config=True)
    tag = Unicode("database", help="name of the column that names databases").tag(config=True)
    dtypes = Enum(("numpy", "arrow"), "numpy", help="dtypes of frames: numpy's or Arrow's").tag(
        config=True
    )
    numeric = Enum(("float", "exact"), "float", help="numeric as float64 or exact").tag(config=True)
    json = Enum(("objects", "text"), "objects", help="json parsed, or as text").tag(config=True)
    tz = Unicode(None, allow_none=True, help="time zone of timestamptz columns").tag(config=True)
    stats = Bool(False, help="show the pools under every cell's result").tag(config=True)
    progress = Enum(("auto", "on", "off"), "auto", help="progress of cells that take a while").tag(
        config=True
    )
    max_result_bytes = Integer(
        None,
        allow_none=True,
        help="memory that a cell's rows may take; by itself a quarter of what is free, 0: any",
    ).tag(config=True)

    def __init__(self, shell: InteractiveShell, home: NotebookLoop, client: Client) -> None:
        super().__init__(shell)
        self.home = home
        self.client = client
        self.completions = Completions(shell, home, client, LINE_OPTIONS)
        self.panels = Panels(shell, home, client)
        self.groups: Sequence[MagicGroup] = ()
        self._bound_memory()

    @observe("max_result_bytes")
    def _bound_memory(self, _change: object = None) -> None:
        if hasattr(self, "client"):  # the configuration is read before there is one
            self.client.max_result_bytes = self.max_result_bytes

    def update_config(self, config: Config) -> None:
        """Take what `%config` sets. Raises `CellError`, and then nothing has changed."""
        check(self, config)
        super().update_config(config)

    async def cell(self, line: str, body: str) -> Any:
        """Run a top-level `%%pg` cell: the input transformer has put an await before this."""
        names = self.shell.user_ns
        cell = read_cell(line, body, names, self._defaults())
        if cell.options.save is not None:
            return save(self, cell, names, self._defaults())
        if cell.options.background:
            return self._background(cell, names)
        work = self._run(cell, names, captioned=True, awaited=True)
        return await self.home.cell(work)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    @described(OPTIONS)
    def pg(
        self, line: str, body: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Any:
        """Run SQL on one database, or on many at once, and give a DataFrame.

            %%pg [options] target [target …]        %pg [options] target [target …] SQL
            SQL

        A target is a database, a shell pattern (shard_*) or a group (@shards); without one the
        default database is asked. {name} in the SQL is the variable's value, bound on the server.
        """
        names = ChainMap(dict(local_ns or {}), self.shell.user_ns)
        if body is None:
            cell = read_line(line, self.client.databases, names, self._defaults())
        else:
            cell = read_cell(line, body, names, self._defaults())
        if cell.options.save is not None:
            return save(self, cell, names, self._defaults())
        if cell.options.background:
            return self._background(cell, names)
        return self.home.run(self._run(cell, names, captioned=body is not None))

    async def shut_down(self) -> None:
        """Freeze the panels, cancel what runs, and let every group of magics end its own."""
        self.panels.freeze()
        await self.home.cancel_tasks()
        await asyncio.to_thread(close)  # what Dask's threads have read with
        for group in self.groups:
            await group.shut_down()

    def _defaults(self) -> Options:
        return Options(
            timeout=self.timeout,
            limit=self.limit,
            tag=self.tag,
            dtypes=self.dtypes,
            numeric=self.numeric,
            json=self.json,
            tz=self.tz,
            stats=self.stats,
        )

    async def _run(
        self, cell: Cell, names: Mapping[str, Any], *, captioned: bool, awaited: bool = False
    ) -> Any:
        plan = self.client.plan(cell, names)
        watch = Watch()
        read_only = all(step.read_only for step in plan.steps)
        async with CellProgress(
            watch, plan.targets, awaited=awaited, mode=self.progress
        ) as progress:
            try:
                answers = await self.client.run(plan, watch)
            except FanOutError as error:
                error.retry_with(self.home.run)
                if len(error.failures) < len(error.outcomes):
                    progress.conclude(
                        caption(
                            error.outcomes,
                            progress.elapsed,
                            read_only=read_only,
                            every=cell.options.all,
                        )
                    )
                if error.partial is not None:
                    display(error.partial)
                raise
            self.completions.learn(answers.outcomes)
            notes = self._notes(answers)
            # Of a line that gave nothing the command tag is all there is to see.
            if notes or ((captioned or answers.value is None) and not cell.options.wants_plan):
                progress.conclude(_captioned(answers, notes))
        if cell.options.stats:
            self.panels.show_after_cell()
        return self._deliver(cell, answers.value)

    def _notes(self, answers: Answers) -> tuple[str, ...]:
        """Give all that one should know of a cell's answers."""
        plan = answers.plan
        saved = dict.fromkeys(each.name for stmt in plan.statements for each in stmt.saved)
        return (
            *answers.notes,
            *self.completions.hidden_tables(saved, plan.targets),
            *notices(answers.outcomes),
            # The first line only: a caret points at nothing in a note.
            *(error.report(names)[0] for error, names in merged(answers.failures)),
        )

    def _deliver(self, cell: Cell, value: Any) -> Any:
        if cell.into is not None:
            self.shell.user_ns[cell.into] = value
        return value if cell.show else None

    def _background(self, cell: Cell, names: Mapping[str, Any]) -> Any:
        plan = self.client.plan(cell, names)

        async def work() -> Answers:
            leave_alone()
            try:
                answers = await self.client.run(plan)
                self.completions.learn(answers.outcomes)
                return answers
            except FanOutError as error:
                error.retry_with(self.home.run)
                raise

        task = self.home.background(work())

        def conclude(answers: Answers) -> None:
            drawn = _captioned(answers, self._notes(answers))
            show_html(drawn.html, drawn.text)

        return self._deliver(cell, Background(self.home, task, plan.targets, conclude))


def _captioned(answers: Answers, notes: Sequence[str]) -> Drawn:
    """Draw the line over a cell's result."""
    return caption(
        answers.outcomes,
        answers.elapsed,
        read_only=all(step.read_only for step in answers.plan.steps),
        every=answers.plan.cell.options.all,
        notes=notes,
    )
