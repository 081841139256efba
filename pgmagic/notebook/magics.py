"""The magics. Each reads its line, asks the client, and shows; nothing else."""

import asyncio
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.display import display
from traitlets import Bool, Enum, Float, Integer, Unicode, observe

from pgmagic import sandbox
from pgmagic.client import Client
from pgmagic.database.configuration import from_options
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import CellError, FanOutError, MissingVariable, merged
from pgmagic.http import StatisticsServer
from pgmagic.language.line import Cell, read_cell, read_line, read_words
from pgmagic.language.options import OPTIONS, Options
from pgmagic.notebook.asking import leave_alone
from pgmagic.notebook.background import Background
from pgmagic.notebook.caption import caption
from pgmagic.notebook.completion import Completions
from pgmagic.notebook.display import SandboxProgress, notices, show_text
from pgmagic.notebook.help import CLOSE, CONNECT, LINE_OPTIONS, SANDBOX, SERVE, WRITE, described
from pgmagic.notebook.loop import NotebookLoop
from pgmagic.notebook.panel import PoolPanel
from pgmagic.notebook.progress import CellProgress
from pgmagic.schema import differences, schema, targets_and_pattern
from pgmagic.watch import Watch

if TYPE_CHECKING:
    from pgmagic.sandbox.databases import Sandbox

__all__ = ["PgMagics"]


@magics_class
class PgMagics(Magics):
    """`%%pg` and the magics around it. These are the defaults of this notebook's cells."""

    timeout = Float(None, allow_none=True, help="seconds until a cell gives up").tag(config=True)
    limit = Integer(None, allow_none=True, help="rows of each database at most").tag(config=True)
    tag = Unicode("database", help="name of the column that names databases").tag(config=True)
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
        self._panel: PoolPanel | None = None
        self._sandbox: Sandbox | None = None
        self._server = StatisticsServer(client.statistics)
        self._bound_memory()

    @observe("max_result_bytes")
    def _bound_memory(self, _change: object = None) -> None:
        if hasattr(self, "client"):  # the configuration is read before there is one
            self.client.max_result_bytes = self.max_result_bytes

    async def cell(self, line: str, body: str) -> Any:
        """Run a top-level `%%pg` cell: the input transformer has put an await before this."""
        names = self.shell.user_ns
        cell = read_cell(line, body, names, self._defaults())
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
        if cell.options.background:
            return self._background(cell, names)
        return self.home.run(self._run(cell, names, captioned=body is not None))

    @no_var_expand
    @line_magic
    @described(CONNECT)
    def pg_connect(self, line: str) -> Any:
        """Add a database and try it; without a NAME list the databases there are.

            %pg_connect NAME [DSN] [options]

        The DSN has no password: that comes from where libpq looks, from --password-env, from the
        keyring, or it is asked for.
        """
        words, given = read_words(line, "%pg_connect", CONNECT)
        if not words:
            return self.client.listing()
        if given.pop("retry", False):
            show_text(self.home.run(self.client.retry(*words)))
            return None
        name, *dsn = words
        if len(dsn) > 1:
            raise CellError(
                f"%pg_connect takes a name and one DSN, not {len(words)} words",
                hint="a DSN of the form key=value is written in quotes",
            )
        settings = from_options(name, dsn=dsn[0] if dsn else None, **given)
        show_text(self.home.run(self.client.connect(settings)))
        self.completions.learn_of(name)
        return None

    @no_var_expand
    @line_magic
    def pg_pools(self, line: str) -> None:
        """Show every pool, live: connections, waiting, acquire times, queries, errors, breaker."""
        read_words(line, "%pg_pools", ())
        self._show_panel()

    @no_var_expand
    @line_magic
    @described(CLOSE)
    def pg_close(self, line: str) -> None:
        """Close the pools of databases, or of all; with --session a session of theirs.

        %pg_close [target …] [--session NAME]
        """
        words, given = read_words(line, "%pg_close", CLOSE)
        names = self.client.targets(words) if words else ()
        if session := given.get("session"):
            show_text(self.home.run(self.client.close_session(session, *names)))
        else:
            self.home.run(self.client.close(*names))

    @no_var_expand
    @needs_local_scope
    @line_magic
    @described(WRITE)
    def pg_write(self, line: str, local_ns: Mapping[str, Any] | None = None) -> None:
        """Write a frame into a table, on one database, or on all of several or none.

            %pg_write FRAME target [target …] --table NAME --write [--if-exists …]

        FRAME is a variable: a frame of pandas, polars or Arrow. A new table takes its types from
        the frame, rows that are appended go by the names of their columns.
        """
        words, given = read_words(line, "%pg_write", WRITE)
        names = ChainMap(dict(local_ns or {}), self.shell.user_ns)
        if not words or words[0] not in names:
            raise MissingVariable(
                "%pg_write begins with the variable of a frame"
                + (f", and there is no {words[0]}" if words else ""),
                hint="%pg_write FRAME target --table NAME --write",
            )
        if "table" not in given:
            raise CellError("%pg_write needs --table NAME")
        if not given.pop("write", False):
            raise CellError("%pg_write changes data, and that has to be said: --write")
        self.home.run(self._write(names[words[0]], words[1:], given))

    @no_var_expand
    @line_magic
    @described(SANDBOX)
    def pg_sandbox(self, line: str) -> None:
        """Start three real databases to play with: ewr, jfk and lga.

            %pg_sandbox [--reset | --stop]

        Each holds the flights of 2013 that left its airport, and airlines, airports, planes and
        weather. The servers run on this machine and end with the last notebook that uses them;
        the data stays.
        """
        _, given = read_words(line, "%pg_sandbox", SANDBOX)
        if given.get("stop"):
            self.home.run(self._stop_sandbox())
        else:
            self.home.run(self._start_sandbox(reset=given.get("reset", False)))

    @no_var_expand
    @line_magic
    def pg_schema(self, line: str) -> Any:
        """Show the tables of databases and their columns, as a frame.

            %pg_schema [target …] [pattern]

        The pattern is a table's name or schema.table, with * and ?, as in %pg_schema jfk sales.o*
        """
        words, _ = read_words(line, "%pg_schema", ())
        targets, pattern = targets_and_pattern(self.client, words)
        return self.home.run(schema(self.client, targets, pattern))

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
        return self.home.run(differences(self.client, *words))

    @no_var_expand
    @line_magic
    def pg_check(self, line: str) -> Any:
        """Run the production checklist on databases, or on all, and give what was found.

            %pg_check [target …]

        What fails comes first, each with a remedy. Nothing is changed on any database.
        """
        words, _ = read_words(line, "%pg_check", ())
        return self.home.run(self.client.check(*words))

    @no_var_expand
    @line_magic
    @described(SERVE)
    def pg_serve(self, line: str) -> None:
        """Serve the health and the metrics of all pools over HTTP, to this machine only.

            %pg_serve [--port N] [--stop]

        GET /health, /metrics and /metrics/NAME answer in JSON, or in text for Prometheus.
        """
        _, given = read_words(line, "%pg_serve", SERVE)
        if given.get("stop"):
            stopped = self.home.run(self._server.stop())
            show_text("stopped serving" if stopped else "nothing was served")
        else:
            url = self.home.run(self._server.start(given.get("port", 0)))
            show_text(f"{url}/health and {url}/metrics, until %pg_serve --stop")

    async def shut_down(self) -> None:
        """Freeze the panels, cancel what runs, close every pool, give the sandbox up."""
        if self._panel is not None:
            self._panel.freeze()
            self._panel = None
        await self._server.stop()
        await self.home.cancel_tasks(2.0)
        await self.client.close()
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.stop)
            self._sandbox = None

    def _defaults(self) -> Options:
        return Options(
            timeout=self.timeout,
            limit=self.limit,
            tag=self.tag,
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
                        caption(error.outcomes, progress.elapsed, read_only=read_only)
                    )
                if error.partial is not None:
                    display(error.partial)
                raise
            self.completions.learn(answers.outcomes)
            notes = (
                *answers.notes,
                *notices(answers.outcomes),
                *("; ".join(error.report(names)) for error, names in merged(answers.failures)),
            )
            if notes or (captioned and not cell.options.wants_plan):
                progress.conclude(
                    caption(answers.outcomes, answers.elapsed, read_only=read_only, notes=notes)
                )
        if cell.options.stats:
            self._after_this_cell(self._show_panel)
        return self._deliver(cell, answers.value)

    async def _write(self, frame: Any, words: Sequence[str], given: Mapping[str, Any]) -> None:
        targets, watch = self.client.targets(words), Watch()
        async with CellProgress(watch, targets, awaited=False, mode=self.progress) as progress:
            try:
                answers = await self.client.write(frame, targets, watch=watch, **given)
            except FanOutError as error:
                error.retry_with(self.home.run)
                raise
            notes = notices(answers)
            progress.conclude(caption(answers, progress.elapsed, read_only=False, notes=notes))

    def _show_panel(self) -> None:
        """Show a panel; only the newest one is live."""
        if self._panel is not None:
            self._panel.freeze()
        self._panel = PoolPanel(
            self.client.statistics,
            history=self.client.history,
            retry=self._retry,
            cancel=self.client.cancel,
            loop=self.home.loop,
        )
        self._panel.show()

    def _after_this_cell(self, show: Callable[[], None]) -> None:
        """Show something below the result, which IPython displays when the cell has ended."""

        def once(*_: object) -> None:
            self.shell.events.unregister("post_run_cell", once)
            show()

        self.shell.events.register("post_run_cell", once)

    def _deliver(self, cell: Cell, value: Any) -> Any:
        if cell.into is not None:
            self.shell.user_ns[cell.into] = value
        return value if cell.show else None

    def _background(self, cell: Cell, names: Mapping[str, Any]) -> Any:
        plan = self.client.plan(cell, names)

        async def work() -> Any:
            leave_alone()
            try:
                return (await self.client.run(plan)).value
            except FanOutError as error:
                error.retry_with(self.home.run)
                raise

        task = self.home.background(work())
        return self._deliver(cell, Background(self.home, task, plan.targets))

    def _retry(self, name: str) -> None:
        """Try a database from the panel; whether it worked is seen there."""
        self.home.background(self.client.retry(name)).add_done_callback(
            lambda task: None if task.cancelled() else task.exception()
        )

    async def _start_sandbox(self, *, reset: bool) -> None:
        progress = SandboxProgress()
        if self._sandbox is not None:
            await self._stop_sandbox()
        self._sandbox = await asyncio.to_thread(sandbox.start, progress, reset=reset)
        for name, address in self._sandbox.databases.items():
            await self.client.add(
                DatabaseSettings(
                    name=name,
                    host=address.host,
                    port=address.port,
                    user=address.user,
                    database=address.database,
                    password=partial(getattr, address, "password"),
                )
            )
        self.client.groups["sandbox"] = tuple(self._sandbox.databases)
        names = ", ".join(self._sandbox.databases)
        progress.conclude(f"{names} are running; @sandbox means all of them")

    async def _stop_sandbox(self) -> None:
        if self._sandbox is None:
            raise CellError("this notebook has not started the sandbox")
        names = tuple(self._sandbox.databases)
        await self.client.remove(*names)
        self.client.groups.pop("sandbox", None)
        await asyncio.to_thread(self._sandbox.stop)
        self._sandbox = None
